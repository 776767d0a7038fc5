"""Where a task goes when a run of it has ended: the one place that decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias, assert_never

import attrs

from taskmill.model.changes import Settlement, StopCause
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.status import TaskStatus
from taskmill.model.times import ceil_ms

CANCELLED_RUNNING = "cancelled while running"
"""The reason on record of a cancelled run, whatever its handler made of being stopped."""


@attrs.frozen
class Returned:
    """The handler returned; its result as JSON, or what its ``finalize`` gets."""

    result: str | None
    finalizes: bool = False


@attrs.frozen(kw_only=True)
class Raised:
    """The handler raised."""

    error: ErrorRecord
    max_retries: int
    delay: timedelta | None
    """When to try again if retries are left; None for an error that is never retried."""
    dead_letter: bool = True
    reason: str = ""
    """What to say of a task that fails for good; by default the error."""


@attrs.frozen
class Snoozed:
    """The handler asked to be run again later."""

    delay: timedelta


@attrs.frozen
class Halted:
    """The handler was told to stop before it had an outcome, and has stopped."""

    cause: StopCause
    is_undone: bool = False
    """Whether its ``on_cancel`` has run since, or is not owed."""
    reason: str | None = None
    """Why, where it is the handler itself that ended the task."""
    error: ErrorRecord | None = None
    """What its ``on_cancel`` raised."""


@attrs.frozen
class Interrupted:
    """What ran the handler, or was to run it, is gone."""

    reason: str
    max_interruptions: int
    has_begun: bool = True


@attrs.frozen
class Unreadable:
    """What is stored does not fit the type any more, so that no handler was called."""

    error: ErrorRecord


_PAUSE = timedelta(seconds=1)
"""How long a task waits where nothing could begin it."""

Result: TypeAlias = Returned | Raised | Snoozed | Halted | Interrupted | Unreadable


def settle(
    record: TaskRecord, result: Result, *, now_ms: int, io: IoTotals | None = None
) -> Settlement:
    """Decide how the run that ``record`` describes is settled; ``io`` is what all runs moved."""
    match result:
        case Returned(result=value, finalizes=finalizes):
            return _ended(
                record, now_ms, TaskStatus.COMPLETED, result=value, finalizes=finalizes, io=io
            )
        case Raised():
            return _failed(record, result, now_ms, io)
        case Snoozed(delay=delay):
            return _again(record, now_ms, io, delay=delay)
        case Halted():
            return _halted(record, result, now_ms, io)
        case Interrupted():
            return _interrupted(record, result, now_ms, io)
        case Unreadable(error=error):
            back = _again(record, now_ms, io)
            return attrs.evolve(back, error=error, is_unreadable=True)
        case _:
            assert_never(result)


def _halted(record: TaskRecord, halted: Halted, now_ms: int, io: IoTotals | None) -> Settlement:
    match halted.cause:
        case StopCause.CANCELLED | StopCause.SUPERSEDED | StopCause.FAILED:
            status = _ENDS[halted.cause]
            reason = halted.reason or CANCELLED_RUNNING
            return _ended(
                record,
                now_ms,
                status,
                reason=reason,
                error=halted.error,
                is_undone=halted.is_undone,
                io=io,
            )
        case StopCause.SHUTDOWN | StopCause.PAUSED | StopCause.PREEMPTED:
            return _again(record, now_ms, io, preempted=halted.cause is StopCause.PREEMPTED)
        case StopCause.TIMEOUT:
            raise ValueError("a timeout is settled as the TimeoutError that it raises")
        case _:
            assert_never(halted.cause)


_ENDS = {
    StopCause.CANCELLED: TaskStatus.CANCELLED,
    StopCause.SUPERSEDED: TaskStatus.SUPERSEDED,
    StopCause.FAILED: TaskStatus.FAILED,
}


def _again(
    record: TaskRecord,
    now_ms: int,
    io: IoTotals | None,
    *,
    delay: timedelta = timedelta(0),
    preempted: bool = False,
) -> Settlement:
    """Back to the queue; the run is no attempt."""
    return Settlement(
        id=record.id,
        run=record.run,
        now_ms=now_ms,
        status=TaskStatus.PENDING,
        attempt=record.attempt - 1,
        due_at_ms=now_ms + ceil_ms(delay) if delay else None,
        preempted=preempted,
        io=io,
    )


def _interrupted(
    record: TaskRecord, lost: Interrupted, now_ms: int, io: IoTotals | None
) -> Settlement:
    """Back to the queue, unless it would go on losing its workers for ever."""
    if not lost.has_begun:
        return _again(record, now_ms, io, delay=_PAUSE)
    if record.interruptions < lost.max_interruptions:
        again = _again(record, now_ms, io)
        return attrs.evolve(again, is_interrupted=True)
    often = record.interruptions + 1
    reason = f"interrupted {often} times while it ran; last: {lost.reason}"
    return _ended(record, now_ms, TaskStatus.DEAD, reason=reason, io=io)


def _failed(record: TaskRecord, raised: Raised, now_ms: int, io: IoTotals | None) -> Settlement:
    error = raised.error
    if raised.delay is None:
        reason = raised.reason or _summary(error)
        return _ended(record, now_ms, TaskStatus.FAILED, reason=reason, error=error, io=io)
    if record.attempt <= raised.max_retries:
        delay_ms = ceil_ms(raised.delay)
        return Settlement(
            id=record.id,
            run=record.run,
            now_ms=now_ms,
            status=TaskStatus.PENDING,
            attempt=record.attempt,
            due_at_ms=now_ms + delay_ms if delay_ms else None,
            error=error,
            io=io,
        )
    status = TaskStatus.DEAD if raised.dead_letter else TaskStatus.FAILED
    often = "once:" if record.attempt == 1 else f"{record.attempt} times; last:"
    reason = f"failed {often} {_summary(error)}"
    return _ended(record, now_ms, status, reason=reason, error=error, io=io)


def _summary(error: ErrorRecord) -> str:
    """The error in a line: the name of its class, and its message where it has one."""
    name = error.type.rpartition(".")[2]
    return f"{name}: {error.message}" if error.message else name


def _ended(
    record: TaskRecord,
    now_ms: int,
    status: TaskStatus,
    *,
    result: str | None = None,
    reason: str | None = None,
    error: ErrorRecord | None = None,
    finalizes: bool = False,
    is_undone: bool = False,
    io: IoTotals | None = None,
) -> Settlement:
    return Settlement(
        id=record.id,
        run=record.run,
        now_ms=now_ms,
        status=status,
        attempt=record.attempt,
        result=result,
        reason=reason,
        error=error,
        finalizes=finalizes,
        is_undone=is_undone,
        io=io,
        has_tags=bool(record.tags),
    )
