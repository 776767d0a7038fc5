"""Which task stands for a submitted piece of work: a new one, or one that is active already."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import attrs

from taskmill.model.changes import NewTask, Ready
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Fault, Move, Placed, Refused
from taskmill.model.limits import MAX_TAGS
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.cascade import dependency_failed, put, spread
from taskmill.rules.dependencies import Needs, check_circle, held_up_by, judge, tie
from taskmill.rules.moves import move, stopped, title
from taskmill.rules.steps import (
    EndWindow,
    FindActive,
    FindTask,
    FindWindow,
    Insert,
    Link,
    Mark,
    Put,
    Redirect,
    Rule,
    Tie,
    ask,
)


def identity(task_type: str, key: str | None, payload: str) -> bytes:
    """The 16 bytes that two submits share when they mean the same work."""
    kind, own = ("payload", payload) if key is None else ("key", key)
    return hashlib.blake2b(f"{task_type}\0{kind}\0{own}".encode(), digest_size=16).digest()


def place(new: NewTask) -> Rule[Placed | Refused]:
    """Insert ``new``, or find the task that already stands for its work."""
    if new.parent is not None:
        own = yield from adopted(new, new.parent)
        if isinstance(own, Refused):
            return own
        new = own
    needs = yield from judge(new)
    if isinstance(needs, Refused):
        return needs
    refused = yield from check_circle(new, ())
    if refused is not None:
        return refused
    status = TaskStatus.BLOCKED if needs.unmet else TaskStatus.PENDING
    task = yield from ask(Insert(new, status))
    if task is not None:
        return (yield from _settle_in(new, task, needs, SubmitOutcome.INSERTED))
    standing = yield from ask(FindActive(new.identity, follow_up=False))
    if standing is None:
        return (yield from _in_window(new, needs, status))
    if new.on_duplicate is OnDuplicate.SUPERSEDE:
        return (yield from _supersede(standing, new, needs))
    if standing.ends_as is not None:
        return (yield from _follow_one_that_ends(standing, new, needs))
    if new.on_duplicate is OnDuplicate.REJECT:
        return Placed(id=standing.id, outcome=SubmitOutcome.REJECTED)
    if _can_be_joined(standing):
        return (yield from _join(standing, new))
    return (yield from _follow(standing, new, needs))


def adopted(new: NewTask, parent_id: TaskId) -> Rule[NewTask | Refused]:
    """``new`` with what its parent gives it, if that may have children."""
    parent = yield from ask(FindTask(parent_id))
    if parent is None:
        return Refused(f"parent {parent_id} does not exist")
    if parent.status not in (TaskStatus.RUNNING, TaskStatus.WAITING):
        return Refused(
            f"parent {parent_id} is {parent.status}; only a task that runs, or waits for its "
            "children, can have new ones"
        )
    if parent.ends_as is not None:
        return Refused(f"parent {parent_id} is to end as {parent.ends_as}: {parent.reason}")
    expires_ms = None if parent.expires_at is None else to_ms(parent.expires_at)
    if not new.has_ttl and expires_ms is not None and expires_ms > new.created_at_ms:
        new = attrs.evolve(new, expires_at_ms=expires_ms)
    return _with_tags_of(parent, new)


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
    """Where a task went that was inserted with this id, and that nothing blocks."""
    ready = (
        Ready(new.type, new.group, new.priority, new.ready_at_ms, task)
        if new.due_at_ms is None
        else None
    )
    return Placed(
        id=task,
        outcome=SubmitOutcome.INSERTED,
        ready=ready,
        is_due=new.due_at_ms is not None,
        tags=_merged(new),
        expires_at_ms=new.expires_at_ms,
    )


def _settle_in(
    new: NewTask,
    task: TaskId,
    needs: Needs,
    outcome: SubmitOutcome,
    replaced: Sequence[Move] = (),
) -> Rule[Placed]:
    """Tie an inserted task to its parent, to what it depends on, and to who waited for others."""
    if new.parent is not None:
        yield from ask(Mark((new.parent,)))
    yield from tie(task, needs)
    is_free = outcome is SubmitOutcome.INSERTED and not needs.unmet
    if is_free and not replaced:
        return inserted(new, task)
    for each in replaced:
        yield from ask(Redirect(each.after.id, task))
    if replaced:
        yield from ask(Mark((task,)))
    moves = [*replaced]
    if needs.failed is not None:
        record = yield from ask(FindTask(task))
        other = yield from ask(FindTask(needs.failed))
        if record is not None and other is not None:
            yield from put([dependency_failed(record, other, new.created_at_ms)], moves)
    yield from spread(moves, new.created_at_ms)
    if is_free:
        return attrs.evolve(inserted(new, task), moves=tuple(moves))
    return Placed(
        id=task,
        outcome=outcome,
        tags=_merged(new),
        expires_at_ms=new.expires_at_ms,
        moves=tuple(moves),
    )


# --- somebody stands for the work already ---


def _can_be_joined(standing: TaskRecord) -> bool:
    """Whether a task has yet to do the work that is asked for."""
    waits = standing.status in (TaskStatus.PENDING, TaskStatus.BLOCKED)
    return waits and standing.stage.part is Stage.EXECUTE


def _in_window(new: NewTask, needs: Needs, status: TaskStatus) -> Rule[Placed | Refused]:
    """The identity is taken by a task that completed not long ago."""
    held = yield from ask(FindWindow(new.identity, new.created_at_ms))
    if held is None:
        raise AssertionError("the store refused an identity that nothing holds")
    if new.on_duplicate is OnDuplicate.REJECT:
        return Placed(id=held.id, outcome=SubmitOutcome.REJECTED)
    if new.on_duplicate is OnDuplicate.KEEP:
        return Placed(id=held.id, outcome=SubmitOutcome.DUPLICATE)
    task = yield from _take_over(new, status)
    return (yield from _settle_in(new, task, needs, SubmitOutcome.INSERTED))


def _take_over(new: NewTask, status: TaskStatus) -> Rule[TaskId]:
    """Insert a task whose identity nothing holds but what has completed not long ago."""
    yield from ask(EndWindow(new.identity))
    task = yield from ask(Insert(new, status))
    if task is None:
        raise AssertionError("the store refused an identity that nothing holds")
    return task


def _follow_one_that_ends(
    standing: TaskRecord, new: NewTask, needs: Needs
) -> Rule[Placed | Refused]:
    """What stands for the work will not do it: a follow-up will, and is ``new`` if it has none."""
    follow_up = yield from ask(FindActive(new.identity, follow_up=True))
    if follow_up is not None and new.on_duplicate is OnDuplicate.REJECT:
        return Placed(id=follow_up.id, outcome=SubmitOutcome.REJECTED)
    return (yield from _follow(standing, attrs.evolve(new, requeue=True), needs))


def _follow(standing: TaskRecord, new: NewTask, needs: Needs) -> Rule[Placed | Refused]:
    """The work is under way: ``new`` is to follow it."""
    if not new.requeue:
        yield from _wait_for(standing, new)
        return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
    follow_up = yield from ask(FindActive(new.identity, follow_up=True))
    if follow_up is not None:
        return (yield from _join(follow_up, new))
    refused = yield from _check_not_behind(standing, new)
    if refused is not None:
        return refused
    task = yield from _insert_follow_up(standing, new)
    return (yield from _settle_in(new, task, needs, SubmitOutcome.REQUEUED))


def _insert_follow_up(standing: TaskRecord, new: NewTask) -> Rule[TaskId]:
    task = yield from ask(Insert(new, TaskStatus.BLOCKED, follow_up=True))
    if task is None:
        raise AssertionError("the store refused a follow-up where there is none")
    yield from ask(Mark((standing.id,)))
    return task


def _check_not_behind(standing: TaskRecord, new: NewTask) -> Rule[Refused | None]:
    """A child cannot follow, or replace, a task that waits for it."""
    if new.parent is None:
        return None
    behind = yield from held_up_by([new.parent])
    if standing.id not in behind:
        return None
    return Refused(
        f"{title(standing)} does this work already, and cannot end before this child of task "
        f"{new.parent} has; submit it without a parent, and it will follow",
        Fault.DEPENDENCY,
    )


def _join(standing: TaskRecord, new: NewTask) -> Rule[Placed]:
    yield from _wait_for(standing, new)
    if new.priority >= standing.priority:
        return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
    moves: list[Move] = []
    better = move(standing, priority=new.priority, effective_priority=new.priority)
    yield from put([better], moves)
    return Placed(id=standing.id, outcome=SubmitOutcome.UPGRADED, moves=tuple(moves))


def _wait_for(standing: TaskRecord, new: NewTask) -> Rule[None]:
    """A parent that spawned what is there waits for it, unless that waits for the parent."""
    if new.parent is None or standing.parent == new.parent:
        return
    behind = yield from held_up_by([new.parent])
    if standing.id not in behind:
        yield from ask(Link(new.parent, (standing.id,), Tie.JOINS))
        yield from ask(Mark((standing.id, new.parent)))


def _supersede(standing: TaskRecord, new: NewTask, needs: Needs) -> Rule[Placed | Refused]:
    """``new`` takes the place of the task that stands for the work, and of its follow-up."""
    follow_up = yield from ask(FindActive(new.identity, follow_up=True))
    old = [standing] if follow_up is None else [follow_up, standing]
    refused = yield from check_circle(new, [record.id for record in old])
    if refused is None:
        refused = yield from _check_not_behind(standing, new)
    if refused is not None:
        return refused
    stops = [stopped(each, TaskStatus.SUPERSEDED, "superseded", new.created_at_ms) for each in old]
    moves = [stop for stop in stops if stop is not None]
    yield from ask(Put(tuple(each.after for each in moves)))
    if stops[-1] is not None and stops[-1].after.status.is_terminal:
        outcome = SubmitOutcome.INSERTED
        task = yield from _take_over(new, TaskStatus.BLOCKED if needs.unmet else TaskStatus.PENDING)
    else:
        outcome = SubmitOutcome.REQUEUED
        yield from ask(EndWindow(new.identity))
        task = yield from _insert_follow_up(standing, new)
    replaced: list[Move] = []
    reason = f"superseded by task {task}"
    again = [Move(each.before, attrs.evolve(each.after, reason=reason)) for each in moves]
    yield from put(again, replaced)
    placed = yield from _settle_in(new, task, needs, outcome, replaced)
    if not replaced:
        return placed
    old_id = replaced[-1].after.id
    return attrs.evolve(placed, outcome=SubmitOutcome.SUPERSEDED, replaced=old_id)
