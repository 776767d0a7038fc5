"""What a person can do about a task: revive it, run it anyway, or move it in the queue."""

from __future__ import annotations

from typing import Any

from taskmill.model.changes import Reorder, Revive, ReviveWhere, SetTags
from taskmill.model.effects import Changed, Move, Refused
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.cascade import free, put
from taskmill.rules.dependencies import weigh
from taskmill.rules.ending import chunks
from taskmill.rules.moves import move, title
from taskmill.rules.steps import (
    FindHolder,
    FindNeeds,
    FindTask,
    FindTasks,
    Mark,
    Meet,
    PutTags,
    Renew,
    Rule,
    Select,
    Untie,
    ask,
)

REVIVABLE = frozenset(
    {
        TaskStatus.DEAD,
        TaskStatus.FAILED,
        TaskStatus.CANCELLED,
        TaskStatus.DEPENDENCY_FAILED,
    }
)


def revive(change: Revive) -> Rule[Changed | Refused | None]:
    """Make one task pending again; run one that a failed dependency, or its payload, holds."""
    record = yield from ask(FindTask(change.id))
    if record is None or change.domain not in (None, record.domain):
        return None
    moves: list[Move] = []
    refused = yield from _revive(record, change.now_ms, moves)
    return refused or Changed(named=(record.id,), moves=tuple(moves))


def revive_where(change: ReviveWhere) -> Rule[Changed]:
    """Revive all that are meant and can be."""
    moves: list[Move] = []
    named: list[TaskId] = []
    for ids in chunks((yield from ask(Select(change.selection)))):
        for record in (yield from ask(FindTasks(ids))):
            refused = yield from _revive(record, change.now_ms, moves)
            named += [record.id] if refused is None else []
    return Changed(named=tuple(named), moves=tuple(moves))


def _revive(record: TaskRecord, now_ms: int, moves: list[Move]) -> Rule[Refused | None]:
    if record.status is TaskStatus.BLOCKED:
        return (yield from _run_anyway(record, now_ms, moves))
    if record.status is TaskStatus.PENDING and record.stage.is_unreadable:
        stage = record.stage & ~Stage.UNREADABLE
        yield from put([move(record, stage=stage, due_at=None)], moves)
        return None
    if record.status not in REVIVABLE:
        return Refused(
            f"{title(record)} is {record.status}; only a task that is dead, failed, cancelled or "
            "whose dependency failed can be retried"
        )
    holder = yield from ask(FindHolder(record.id, now_ms))
    if holder is not None:
        return Refused(
            f"{title(record)} cannot be retried: {title(holder)}, which is {holder.status}, does "
            "the same work"
        )
    states = yield from ask(FindNeeds(record.id))
    needs = weigh(states, record.on_dependency_failure)
    if needs.failed is not None:
        return Refused(
            f"{title(record)} depends on task {needs.failed}, which ended as "
            f"{states[needs.failed]}; retry that one first"
        )
    if needs.met:
        yield from ask(Meet(tuple((record.id, other) for other in needs.met)))
    yield from ask(Untie(record.id))
    alone = record.stage & Stage.ALONE
    finalizes = record.stage.part is Stage.FINALIZE and record.status is not TaskStatus.CANCELLED
    expires_ms = yield from ask(Renew(record.id, now_ms))
    now = from_ms(now_ms)
    again = move(
        record,
        status=TaskStatus.BLOCKED if needs.unmet else TaskStatus.PENDING,
        stage=(Stage.FINALIZE if finalizes else Stage.EXECUTE) | alone,
        memo=record.memo if finalizes else None,
        attempt=0,
        interruptions=0,
        ready_at=now,
        due_at=None,
        run_at=None,
        finished_at=None,
        reason=None,
        ends_as=None,
        is_follow_up=False,
        expires_at=from_ms(expires_ms),
        has_undo=record.has_undo and record.ends_as is None,  # else it has run
    )
    yield from put([again], moves)
    return None


def _run_anyway(record: TaskRecord, now_ms: int, moves: list[Move]) -> Rule[Refused | None]:
    """What a blocked task depends on that has failed is to be looked at no longer."""
    states = yield from ask(FindNeeds(record.id))
    failed = tuple(task for task, status in states.items() if status.is_terminal)
    if not failed:
        what = ", ".join(f"task {task} ({status})" for task, status in states.items())
        return Refused(
            f"{title(record)} is blocked by {what or 'the task it follows'}, which has not ended"
        )
    yield from ask(Meet(tuple((record.id, task) for task in failed)))
    yield from free([record], moves, now_ms)
    return None


def reorder(change: Reorder) -> Rule[Changed | Refused | None]:
    """Give a task another priority, or another start time."""
    record = yield from ask(FindTask(change.id))
    if record is None or change.domain not in (None, record.domain):
        return None
    if record.status.is_terminal:
        return Refused(f"{title(record)} has ended as {record.status}; nothing is to be moved")
    fields: dict[str, Any] = {}
    if change.priority is not None:
        fields = {"priority": change.priority, "effective_priority": change.priority}
    if change.run_at_ms is not None:
        if record.status not in (TaskStatus.PENDING, TaskStatus.BLOCKED) or record.ends_as:
            return Refused(
                f"{title(record)} is {record.status}; only one that waits to start can be given "
                "another start time"
            )
        is_early = change.run_at_ms > change.now_ms
        ready_ms = change.run_at_ms if is_early else min(to_ms(record.ready_at), change.now_ms)
        is_due = is_early and record.status is TaskStatus.PENDING
        fields |= {
            "run_at": from_ms(change.run_at_ms),
            "ready_at": from_ms(ready_ms),
            "due_at": from_ms(change.run_at_ms) if is_due else None,
        }
    moves: list[Move] = []
    yield from put([move(record, **fields)], moves)
    yield from ask(Mark((record.id,)))  # its run was claimed with what it was before
    return Changed(named=(record.id,), moves=tuple(moves))


def set_tags(change: SetTags) -> Rule[Changed | None]:
    """Replace the tags of a task."""
    record = yield from ask(FindTask(change.id))
    if record is None:
        return None
    tagged = move(record, tags=change.tags)
    yield from ask(PutTags(tagged.after))
    yield from ask(Mark((record.id,)))
    return Changed(named=(record.id,), moves=(tagged,))
