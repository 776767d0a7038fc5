"""What the end of a run, a cancel or the passing of time ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from taskmill.model.changes import CancelTask, CancelWhere, Expire, Settlement
from taskmill.model.effects import Changed, Move, Settled, Swept
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.cascade import after_children, completed, put, spread, with_memo
from taskmill.rules.moves import ended, move, owing, stopped
from taskmill.rules.settle import CANCELLED_RUNNING
from taskmill.rules.steps import (
    FindExpired,
    FindNextExpiry,
    FindOpen,
    FindTask,
    FindTasks,
    Mark,
    RecordError,
    Rule,
    Select,
    Settle,
    ask,
)

CHUNK = 1000
"""How many tasks of one change are looked at together."""


KEPT_ERRORS = 10
"""How many errors of a task are kept, the last ones."""

# --- the end of a run ---


def end_run(settlement: Settlement) -> Rule[Settled]:
    """Settle a run: as decided, or as its stop says where that was on record before."""
    is_plain = not (settlement.finalizes or settlement.is_interrupted or settlement.is_unreadable)
    if is_plain and (yield from ask(Settle(settlement))):
        if settlement.error is not None:
            yield from ask(RecordError(settlement))
        return Settled(status=settlement.status)
    record = yield from ask(FindTask(settlement.id))
    if record is None or record.status is not TaskStatus.RUNNING or record.run != settlement.run:
        return Settled(status=None)
    if settlement.error is not None:
        yield from ask(RecordError(settlement))
        errors = (*record.errors, settlement.error)[-KEPT_ERRORS:]
        record = attrs.evolve(record, errors=errors)
    after = yield from _after_run(record, settlement)
    moves: list[Move] = []
    yield from put([Move(record, after)], moves)
    if settlement.finalizes:
        yield from ask(Mark((record.id,)))  # what it completes with is not what it has returned
    yield from spread(moves, settlement.now_ms)
    return Settled(status=after.status, after=after, moves=tuple(moves[1:]))


def _after_run(record: TaskRecord, settlement: Settlement) -> Rule[TaskRecord]:
    now_ms = settlement.now_ms
    is_whole = settlement.attempt == record.attempt
    if settlement.io is not None:
        record = attrs.evolve(record, io=settlement.io)
    if record.stage.is_alone and is_whole:  # it was not its fault
        record = attrs.evolve(record, stage=record.stage.part, interruptions=0)
    if record.ends_as is not None:
        if record.has_undo and not settlement.is_undone:
            return owing(record, record.ends_as, record.reason, now_ms).after
        reason = record.reason or CANCELLED_RUNNING
        return ended(record, record.ends_as, reason, now_ms).after
    record = attrs.evolve(
        record,
        attempt=settlement.attempt,
        preemptions=record.preemptions + settlement.preempted,
        interruptions=record.interruptions + settlement.is_interrupted,
    )
    if settlement.status is TaskStatus.COMPLETED:
        return (yield from _after_return(record, settlement))
    if settlement.is_unreadable:
        record = attrs.evolve(record, stage=record.stage | Stage.UNREADABLE)
    if settlement.status is TaskStatus.PENDING:
        return move(record, status=TaskStatus.PENDING, due_at=from_ms(settlement.due_at_ms)).after
    return ended(record, settlement.status, settlement.reason or "", now_ms).after


def _after_return(record: TaskRecord, settlement: Settlement) -> Rule[TaskRecord]:
    """The handler has returned: the task completes when its children have ended."""
    now_ms = settlement.now_ms
    returned = with_memo(record, settlement.result, finalizes=settlement.finalizes)
    still_open = yield from ask(FindOpen((record.id,)))
    if still_open:
        return move(returned, status=TaskStatus.WAITING).after
    if record.stage.part is Stage.FINALIZE and not settlement.finalizes:
        # it has made of its children what it would
        return completed(attrs.evolve(record, memo=settlement.result), now_ms).after
    return (yield from after_children(returned, now_ms)).after


# --- cancel ---


def cancel(change: CancelTask) -> Rule[Changed | None]:
    """End a waiting task; have a running one stop; leave one that has ended alone."""
    record = yield from ask(FindTask(change.id))
    if record is None or change.domain not in (None, record.domain):
        return None
    if record.status.is_terminal:
        return Changed(named=())
    moves: list[Move] = []
    yield from put(_cancelled([record], change.reason, change.now_ms), moves)
    yield from spread(moves, change.now_ms)
    return Changed(named=(record.id,), moves=tuple(moves))


def cancel_where(change: CancelWhere) -> Rule[Changed]:
    """End all active tasks that are meant; each sees what the ends before it have done."""
    moves: list[Move] = []
    stopping: set[TaskId] = set()
    selected = yield from ask(Select(change.selection))
    for ids in chunks(selected):
        records = yield from ask(FindTasks(ids))
        active = [record for record in records if not record.status.is_terminal]
        stopping |= {record.id for record in active if record.ends_as is not None}
        fresh: list[Move] = []
        yield from put(_cancelled(active, change.reason, change.now_ms), fresh)
        yield from spread(fresh, change.now_ms)
        moves += fresh
    ended_or_told = stopping | {each.after.id for each in moves}
    named = [task for task in selected if task in ended_or_told]
    return Changed(named=tuple(named), moves=tuple(moves))


def _cancelled(records: Sequence[TaskRecord], reason: str | None, now_ms: int) -> list[Move]:
    stops = [
        stopped(
            record,
            TaskStatus.CANCELLED,
            reason or (CANCELLED_RUNNING if record.status is TaskStatus.RUNNING else "cancelled"),
            now_ms,
        )
        for record in records
    ]
    return [stop for stop in stops if stop is not None]


def chunks(ids: Sequence[TaskId]) -> Iterator[tuple[TaskId, ...]]:
    """The ids, so many at a time."""
    for start in range(0, len(ids), CHUNK):
        yield tuple(ids[start : start + CHUNK])


# --- time ---


def expire(change: Expire) -> Rule[Swept]:
    """End what has not started in its time to live, up to the limit."""
    records = yield from ask(FindExpired(change.now_ms, change.limit))
    moves: list[Move] = []
    yield from put([_expired(record, change.now_ms) for record in records], moves)
    yield from spread(moves, change.now_ms)
    return Swept(moves=tuple(moves), next_ms=(yield from ask(FindNextExpiry())))


def _expired(record: TaskRecord, now_ms: int) -> Move:
    how = "could not start" if record.run == 0 else "could not start again"
    return ended(record, TaskStatus.EXPIRED, f"{how} in its time to live", now_ms)


# --- crashes ---


def recover(
    stopping: Sequence[TaskRecord], suspects: Sequence[TaskRecord], *, now_ms: int
) -> Rule[None]:
    """What becomes of runs that a crash interrupted, and that cannot simply run again.

    ``stopping`` were to end: they do, after their ``on_cancel`` where that is owed. ``suspects``
    ran alone, for they had been there at too many crashes before: nothing else did it.
    """
    moves: list[Move] = []
    ends = [_recovered(record, now_ms) for record in stopping]
    ends += [
        ended(
            record,
            TaskStatus.DEAD,
            f"the process died {record.interruptions + 1} times while it ran; the last time it ran "
            "alone",
            now_ms,
        )
        for record in suspects
    ]
    yield from put(ends, moves)
    yield from spread(moves, now_ms)


def _recovered(record: TaskRecord, now_ms: int) -> Move:
    """A run that was to stop; an ``on_cancel`` at which processes keep dying is given up."""
    tries = record.interruptions if record.stage.part is Stage.UNDO else 0
    ends_as = record.ends_as or TaskStatus.CANCELLED
    reason = record.reason or CANCELLED_RUNNING
    if record.has_undo and tries < _TRIES:
        again = owing(record, ends_as, reason, now_ms).after
        return Move(record, attrs.evolve(again, interruptions=tries + 1))
    return ended(record, ends_as, reason, now_ms)


_TRIES = 5
"""How often an ``on_cancel`` is begun again after a crash."""
