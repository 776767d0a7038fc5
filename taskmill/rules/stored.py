"""What can be told of a task by what is stored alone, while nobody can be asked who dispatches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs

from taskmill.model.explanation import Explanation, Hold
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.rules.explain import due_hold, paused, purpose_of, story_of, unreadable_hold
from taskmill.rules.gates import GateKind
from taskmill.rules.hindrance import hindrances
from taskmill.rules.pauses import Pauses

WAITING = (TaskStatus.PENDING, TaskStatus.PAUSED)


def story(record: TaskRecord, others: Sequence[TaskRecord], now: datetime) -> Explanation:
    """What happened to a task that does not wait for its turn, or what it waits for.

    ``others`` have to end before it goes on.
    """
    holds = tuple(hindrances(record, others)) if others else ()
    sentence = story_of(record, now)
    if holds:
        sentence = f"{sentence.removesuffix('.')}: {holds[0].sentence}"
    return Explanation(
        id=record.id, type=record.type, status=record.status, sentence=sentence, holds=holds
    )


def as_stored(
    record: TaskRecord, others: Sequence[TaskRecord], pauses: Pauses, now: datetime
) -> Explanation:
    """The same where it may wait for its turn, and the dispatcher cannot be asked."""
    if record.status not in WAITING:
        told = story(record, others, now)
        return attrs.evolve(told, sentence=f"As stored: {told.sentence}")
    holds = tuple(_holds(record, pauses, now))
    text = f"As stored: task {record.id} ({record.type}) is {record.status}"
    why = holds[0].sentence if holds else _NOBODY
    return Explanation(
        id=record.id,
        type=record.type,
        status=record.status,
        sentence=f"{text}: {why}{purpose_of(record)}",
        holds=holds,
    )


_NOBODY = "whoever dispatches from this database cannot be asked, or nobody does."


def _holds(record: TaskRecord, pauses: Pauses, now: datetime) -> Iterator[Hold]:
    if record.due_at is not None and record.due_at > now:
        yield due_hold(record, record.due_at, now)
    if record.stage.is_unreadable:
        yield unreadable_hold(record)
    scopes = [
        (PauseScope.SCHEDULER, "", GateKind.SCHEDULER_PAUSE),
        (PauseScope.DOMAIN, record.domain, GateKind.DOMAIN_PAUSE),
    ]
    if record.group is not None:
        scopes.append((PauseScope.GROUP, record.group, GateKind.GROUP_PAUSE))
    for scope, name, gate in scopes:
        pause = pauses.find(scope, name)
        if pause is not None:
            whose = f"{scope.value.capitalize()} {name!r}" if name else "The scheduler"
            sentence, figures = paused(whose, pause)
            yield Hold(gate=gate.value, name=name, sentence=sentence, figures=figures)
