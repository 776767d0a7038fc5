"""What the end of a run, or a cancel, changes in the store."""

from __future__ import annotations

from taskmill.model.changes import CancelTask, Ended, Settled, Settlement, Stopping, Unchanged
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.dedup import ready_place
from taskmill.rules.steps import (
    EndWaiting,
    FindTask,
    RecordError,
    ReleaseFollowUp,
    RequestStop,
    Rule,
    Settle,
    SettleStopped,
)


def end_run(settlement: Settlement) -> Rule[Settled]:
    """Settle a run: as decided, or as cancelled where its stop was on record before."""
    status = settlement.status
    if (yield Settle(settlement)) is None:
        if (yield SettleStopped(settlement)) is None:
            return Settled(status=None)
        status = TaskStatus.CANCELLED
    if settlement.error is not None:
        yield RecordError(settlement)
    unblocked = None
    if status.is_terminal:
        unblocked = yield ReleaseFollowUp(id=settlement.id, now_ms=settlement.now_ms)
    return Settled(status=status, unblocked=_record(unblocked))


def cancel(change: CancelTask) -> Rule[Ended | Stopping | Unchanged | None]:
    """End a waiting task; have a running one stop; leave one that has ended alone."""
    record = yield FindTask(change.id)
    if not isinstance(record, TaskRecord) or change.domain not in (None, record.domain):
        return None
    if record.status.is_terminal:
        return Unchanged(record.status)
    if record.status is TaskStatus.RUNNING:
        yield RequestStop(record.id)
        return Stopping(record.id)
    reason = change.reason or "cancelled"
    yield EndWaiting(id=record.id, now_ms=change.now_ms, reason=reason)
    unblocked = yield ReleaseFollowUp(id=record.id, now_ms=change.now_ms)
    return Ended(
        record=record,
        reason=reason,
        left=ready_place(record),
        was_due_at_ms=None if record.due_at is None else to_ms(record.due_at),
        unblocked=_record(unblocked),
    )


def _record(answer: TaskId | TaskRecord | None) -> TaskRecord | None:
    return answer if isinstance(answer, TaskRecord) else None
