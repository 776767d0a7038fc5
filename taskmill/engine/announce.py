"""Which events a committed change makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskmill.engine.registry import Registry
from taskmill.model.changes import Settlement, StopCause
from taskmill.model.errors import PayloadError
from taskmill.model.events import (
    AnyTaskEvent,
    Cancelled,
    Completed,
    DeadLettered,
    Failed,
    InterruptCause,
    Interrupted,
    Preempted,
    TaskHeader,
)
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import CANCELLED_RUNNING

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


def load_of(registry: Registry, record: TaskRecord) -> Load:
    """What decodes the payload of a task when an event's reader asks for it."""

    def load() -> Any:
        known = registry.find(record.type)
        if known is None:
            raise PayloadError(f"no domain here has task type {record.type!r}")
        return known.codec.decode(record.payload)

    return load


def end_of_run(
    record: TaskRecord,
    load: Load,
    settlement: Settlement,
    status: TaskStatus,
    *,
    result: object,
    cause: StopCause | None,
) -> AnyTaskEvent:
    """What happened to a task whose run was settled and that is in ``status`` now.

    ``result`` is what its handler returned, ``cause`` why it was told to stop.
    """
    header = header_of(record)
    match status:
        case TaskStatus.COMPLETED:
            started_at = record.started_at or record.created_at
            duration = from_ms(settlement.now_ms) - started_at
            return Completed(header=header, load=load, result=result, duration=duration)
        case TaskStatus.CANCELLED:
            return Cancelled(header=header, load=load, reason=CANCELLED_RUNNING)
        case TaskStatus.DEAD:
            return DeadLettered(header=header, load=load, error=_error_of(settlement))
        case TaskStatus.PENDING if settlement.preempted:
            return Preempted(header=header, load=load)
        case TaskStatus.PENDING if settlement.error is None:
            paused = cause is StopCause.PAUSED
            why = InterruptCause.PAUSED if paused else InterruptCause.SHUTDOWN
            return Interrupted(header=header, load=load, cause=why)
        case TaskStatus.PENDING:
            retry_at = from_ms(settlement.due_at_ms or settlement.now_ms)
            return Failed(
                header=header,
                load=load,
                error=_error_of(settlement),
                will_retry=True,
                retry_at=retry_at,
            )
        case _:
            return Failed(header=header, load=load, error=_error_of(settlement), will_retry=False)


def _error_of(settlement: Settlement) -> ErrorRecord:
    if settlement.error is not None:
        return settlement.error
    return ErrorRecord(
        type="",
        message=settlement.reason or "",
        traceback="",
        run=settlement.run,
        at=from_ms(settlement.now_ms),
    )
