"""Which tasks may start as they are submitted: claimed in the transaction of their submit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskmill.model.changes import Change, NewTask, Ready, Submit
from taskmill.model.record import TaskId
from taskmill.rules.limits import Limits

_NO_ID = 2**62
"""From here on no task has an id: what arrives goes by one, which puts it behind its elders."""


def arrives(change: Change) -> NewTask | None:
    """The one task of a submit that is ready as soon as it is there, if it is new."""
    if not isinstance(change, Submit) or len(change.tasks) != 1:
        return None
    new = change.tasks[0]
    return new if new.due_at_ms is None and not new.depends_on else None


def arrivals_of(
    batch: Sequence[tuple[Change, Any]], limits: Limits, now_ns: int
) -> dict[Ready, int]:
    """What arrives in a batch at gates that are open, and at which place of the batch.

    Nothing, where not all of it could have a slot: who goes first is decided when it is there.
    """
    arrivals: dict[Ready, int] = {}
    if not limits.all.is_open(now_ns):
        return arrivals
    for place, (change, _) in enumerate(batch):
        new = arrives(change)
        if new is None:
            continue
        if limits.lane(new.type, new.group, new.priority).first_closed(now_ns) is None:
            task = TaskId(_NO_ID + place)
            ready = Ready(new.type, new.group, new.priority, new.ready_at_ms, task)
            arrivals[ready] = place
    room = limits.all.room
    return arrivals if room is None or len(arrivals) <= room else {}


def is_arriving(task: TaskId) -> bool:
    """Whether it is an id that stands for one that the store will give."""
    return task >= _NO_ID
