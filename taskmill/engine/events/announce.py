"""Which events a committed change makes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from taskmill.engine.registry import Registry
from taskmill.executors.tasklog import about
from taskmill.model.changes import NewTask, Settlement, StopCause
from taskmill.model.effects import Move, Placed, Settled
from taskmill.model.errors import PayloadError
from taskmill.model.events import (
    AnyTaskEvent,
    Cancelled,
    Completed,
    DeadLettered,
    DependencyFailed,
    Enqueued,
    Expired,
    Failed,
    InterruptCause,
    Interrupted,
    Preempted,
    Revived,
    Superseded,
    TaskHeader,
    Unblocked,
    Waiting,
)
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms

log = logging.getLogger("taskmill.engine")

Load = Callable[[], Any]


def header_of(record: TaskRecord) -> TaskHeader:
    """The header of events about a task."""
    return TaskHeader(
        id=record.id,
        type=record.type,
        domain=record.domain,
        key=record.key,
        label=record.label,
        tags=record.tags,
        group=record.group,
        priority=record.priority,
        effective_priority=record.effective_priority,
        attempt=record.attempt,
    )


def enqueued(new: NewTask, placed: Placed, load: Load) -> Enqueued[Any]:
    """The event of a task that is in the store now."""
    header = TaskHeader(
        id=placed.id,
        type=new.type,
        domain=new.domain,
        key=new.key,
        label=new.label or new.type,
        tags=new.tags if placed.tags is None else placed.tags,
        group=new.group,
        priority=new.priority,
        effective_priority=new.priority,
        attempt=0,
    )
    return Enqueued(header=header, load=load, due_at=from_ms(new.due_at_ms))


def load_of(registry: Registry, of: TaskRecord | NewTask) -> Load:
    """What decodes the payload of a task when an event's reader asks for it."""

    def load() -> Any:
        known = registry.find(of.type)
        if known is None:
            raise PayloadError(f"no domain here has task type {of.type!r}")
        return known.codec.decode(of.payload)

    return load


def end_of_run(
    record: TaskRecord,
    load: Load,
    settlement: Settlement,
    settled: Settled,
    *,
    result: object,
    cause: StopCause | None,
) -> AnyTaskEvent | None:
    """What happened to a task whose run was settled; None where that is nothing yet.

    ``result`` is what its handler returned, ``cause`` why it was told to stop.
    """
    header = header_of(record)
    status = settled.status
    if status is TaskStatus.COMPLETED:
        started_at = record.started_at or record.created_at
        duration = from_ms(settlement.now_ms) - started_at
        return Completed(header=header, load=load, result=result, duration=duration)
    if status is TaskStatus.PENDING:
        return _back(header, load, settlement, settled, cause)
    if status is TaskStatus.WAITING:
        return Waiting(header=header, load=load)
    reason = settlement.reason if settled.after is None else settled.after.reason
    error = settlement.error
    if error is None:
        error = _error(reason, settlement.run, settlement.now_ms)
    return _end(header, load, status, reason, error)


def _back(
    header: TaskHeader,
    load: Load,
    settlement: Settlement,
    settled: Settled,
    cause: StopCause | None,
) -> AnyTaskEvent | None:
    """What happened to a task that is back in the queue."""
    if settlement.status is not TaskStatus.PENDING:
        return None  # it goes on, to its finalize or its on_cancel
    if settlement.preempted:
        return Preempted(header=header, load=load)
    if settlement.error is not None and not settlement.is_unreadable:
        retry_at = from_ms(settlement.due_at_ms or settlement.now_ms)
        error = settlement.error
        return Failed(header=header, load=load, error=error, will_retry=True, retry_at=retry_at)
    if settled.after is not None and settled.after.ends_as is not None:
        return None
    why = interrupt_cause(settlement, cause)
    return Interrupted(header=header, load=load, cause=why)


def interrupt_cause(settlement: Settlement, cause: StopCause | None) -> InterruptCause:
    """Why a run that went back to the queue did not count; ``cause``: it was told to stop."""
    if settlement.is_interrupted:
        return InterruptCause.CRASH
    if settlement.is_unreadable:
        return InterruptCause.UNREADABLE
    if cause is StopCause.PAUSED:
        return InterruptCause.PAUSED
    return InterruptCause.SNOOZED if cause is None else InterruptCause.SHUTDOWN


def event_of(registry: Registry, move: Move) -> AnyTaskEvent | None:
    """What happened to a task that a change has moved; None for what is no event."""
    before, after = move.before, move.after
    if after.status is before.status:
        return None
    header, load = header_of(after), load_of(registry, after)
    if before.status.is_terminal:
        return Revived(header=header, load=load)
    if after.status is TaskStatus.PENDING:
        return Unblocked(header=header, load=load) if after.ends_as is None else None
    if after.status is TaskStatus.COMPLETED and after.finished_at is not None:
        duration = after.finished_at - (after.started_at or after.created_at)
        result = _result_of(registry, after)
        return Completed(header=header, load=load, result=result, duration=duration)
    now_ms = to_ms(after.finished_at or after.created_at)
    error = after.last_error or _error(after.reason, after.run, now_ms)
    return _end(header, load, after.status, after.reason, error)


def _end(
    header: TaskHeader,
    load: Load,
    status: TaskStatus | None,
    reason: str | None,
    error: ErrorRecord,
) -> AnyTaskEvent | None:
    match status:
        case TaskStatus.CANCELLED:
            return Cancelled(header=header, load=load, reason=reason)
        case TaskStatus.SUPERSEDED:
            return Superseded(header=header, load=load, reason=reason)
        case TaskStatus.EXPIRED:
            return Expired(header=header, load=load, reason=reason)
        case TaskStatus.DEPENDENCY_FAILED:
            return DependencyFailed(header=header, load=load, reason=reason)
        case TaskStatus.DEAD:
            return DeadLettered(header=header, load=load, error=error)
        case TaskStatus.FAILED:
            return Failed(header=header, load=load, error=error, will_retry=False)
        case _:
            return None


def _result_of(registry: Registry, record: TaskRecord) -> object:
    """The result of a task that completed; None where it does not fit its type any more."""
    known = registry.find(record.type)
    try:
        return None if known is None else known.codec.decode_result(record.result)
    except PayloadError:  # what it says shows the value, which belongs in no log
        log.warning(
            "task %d: its stored result does not fit its type any more",
            record.id,
            extra=about(record),
        )
        return None


def _error(reason: str | None, run: int, now_ms: int) -> ErrorRecord:
    return ErrorRecord(type="", message=reason or "", traceback="", run=run, at=from_ms(now_ms))
