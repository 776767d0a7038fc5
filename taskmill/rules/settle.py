"""Where a task goes when a run of it has ended: the one place that decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias, assert_never

import attrs

from taskmill.model.changes import Settlement, StopCause
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import ceil_ms

CANCELLED_RUNNING = "cancelled while running"
"""The reason on record of a cancelled run, whatever its handler made of being stopped."""


@attrs.frozen
class Returned:
    """The handler returned; its result as JSON."""

    result: str | None


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
class Halted:
    """The handler was told to stop before it had an outcome, and has stopped."""

    cause: StopCause


Result: TypeAlias = Returned | Raised | Halted


def settle(record: TaskRecord, result: Result, *, now_ms: int) -> Settlement:
    """Decide how the run that ``record`` describes is settled."""
    match result:
        case Returned(result=value):
            return _ended(record, now_ms, TaskStatus.COMPLETED, result=value)
        case Raised():
            return _failed(record, result, now_ms)
        case Halted():
            return _halted(record, result.cause, now_ms)
        case _:
            assert_never(result)


def _halted(record: TaskRecord, cause: StopCause, now_ms: int) -> Settlement:
    match cause:
        case StopCause.CANCELLED:
            return _ended(record, now_ms, TaskStatus.CANCELLED, reason=CANCELLED_RUNNING)
        case StopCause.SHUTDOWN | StopCause.PAUSED | StopCause.PREEMPTED:
            return Settlement(
                id=record.id,
                run=record.run,
                now_ms=now_ms,
                status=TaskStatus.PENDING,
                attempt=record.attempt - 1,
                preempted=cause is StopCause.PREEMPTED,
            )
        case StopCause.TIMEOUT:
            raise ValueError("a timeout is settled as the TimeoutError that it raises")
        case _:
            assert_never(cause)


def _failed(record: TaskRecord, raised: Raised, now_ms: int) -> Settlement:
    error = raised.error
    if raised.delay is None:
        reason = raised.reason or _summary(error)
        return _ended(record, now_ms, TaskStatus.FAILED, reason=reason, error=error)
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
        )
    status = TaskStatus.DEAD if raised.dead_letter else TaskStatus.FAILED
    often = "once:" if record.attempt == 1 else f"{record.attempt} times; last:"
    reason = f"failed {often} {_summary(error)}"
    return _ended(record, now_ms, status, reason=reason, error=error)


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
    )
