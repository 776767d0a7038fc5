"""Which task stands for a submitted piece of work: a new one, or one that is active already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import attrs

from taskmill.model.changes import NewTask, Placed, Ready, Refused
from taskmill.model.limits import MAX_TAGS
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.steps import FindActive, FindTask, Insert, Rule, Upgrade

_WAITING = frozenset({TaskStatus.PENDING, TaskStatus.BLOCKED})


def identity(task_type: str, key: str | None, payload: str) -> bytes:
    """The 16 bytes that two submits share when they mean the same work."""
    kind, own = ("payload", payload) if key is None else ("key", key)
    return hashlib.blake2b(f"{task_type}\0{kind}\0{own}".encode(), digest_size=16).digest()


def place(new: NewTask) -> Rule[Placed | Refused]:
    """Insert ``new``, or find the active task that already stands for its work."""
    if new.parent is not None:
        parent = yield FindTask(new.parent)
        if not isinstance(parent, TaskRecord):
            return Refused(f"parent {new.parent} does not exist")
        if parent.status not in (TaskStatus.RUNNING, TaskStatus.WAITING):
            return Refused(
                f"parent {new.parent} is {parent.status}; only a running task can have new children"
            )
        new = _with_tags_of(parent, new)
    answer = yield Insert(new)
    if isinstance(answer, int):
        return inserted(new, TaskId(answer))
    standing = yield FindActive(new.identity, follow_up=False)
    if not isinstance(standing, TaskRecord):
        raise TypeError("the store refused an identity that nothing holds")
    if standing.status in _WAITING:
        return (yield from _join(standing, new))
    if not new.requeue:
        return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
    followed = yield Insert(new, follow_up=True)
    if isinstance(followed, int):
        return Placed(id=TaskId(followed), outcome=SubmitOutcome.REQUEUED, tags=_merged(new))
    waiting = yield FindActive(new.identity, follow_up=True)
    if not isinstance(waiting, TaskRecord):
        raise TypeError("the store refused a follow-up where there is none")
    return (yield from _join(waiting, new))


def _with_tags_of(parent: TaskRecord, new: NewTask) -> NewTask:
    """``new`` with the parent's tags where it sets none, as far as there is room for them."""
    if not (new.inherits_tags and parent.tags):
        return new
    room = MAX_TAGS - len(new.tags)
    taken = [key for key in parent.tags if key not in new.tags][:room]
    return attrs.evolve(new, tags={**{key: parent.tags[key] for key in taken}, **new.tags})


def _merged(new: NewTask) -> Mapping[str, str] | None:
    return None if new.parent is None else new.tags


def inserted(new: NewTask, task: TaskId) -> Placed:
    """Where a task went that was inserted with this id."""
    ready = (
        Ready(new.type, new.group, new.priority, new.ready_at_ms, task)
        if new.due_at_ms is None
        else None
    )
    return Placed(id=task, outcome=SubmitOutcome.INSERTED, ready=ready, tags=_merged(new))


def _join(standing: TaskRecord, new: NewTask) -> Rule[Placed]:
    if new.priority >= standing.priority:
        return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
    yield Upgrade(standing.id, new.priority)
    left = ready_place(standing)
    ready = left._replace(priority=new.priority) if left is not None else None
    return Placed(id=standing.id, outcome=SubmitOutcome.UPGRADED, left=left, ready=ready)


def ready_place(record: TaskRecord) -> Ready | None:
    """The place of a task in the ready queue; None where it has none."""
    if record.status is not TaskStatus.PENDING or record.due_at is not None:
        return None
    return Ready(record.type, record.group, record.priority, to_ms(record.ready_at), record.id)
