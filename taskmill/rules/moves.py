"""How one task changes: what its record is afterwards, if the move is legal."""

from __future__ import annotations

from typing import Any

import attrs

from taskmill.model.changes import Ready
from taskmill.model.effects import Move
from taskmill.model.record import TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TRANSITIONS, TaskStatus
from taskmill.model.times import from_ms, to_ms


def move(record: TaskRecord, **fields: Any) -> Move:
    """The record with other fields; a move that `TRANSITIONS` does not have is a bug."""
    after = attrs.evolve(record, **fields)
    if after.status is not record.status and after.status not in TRANSITIONS.get(record.status, ()):
        raise AssertionError(f"task {record.id}: {record.status} cannot become {after.status}")
    return Move(before=record, after=after)


def ended(record: TaskRecord, status: TaskStatus, reason: str, now_ms: int) -> Move:
    """A task that does not run ends without a result."""
    return move(record, status=status, reason=reason, finished_at=from_ms(now_ms), due_at=None)


def stopped(record: TaskRecord, ends_as: TaskStatus, reason: str, now_ms: int) -> Move | None:
    """A task is to end: at once, or after its handler has stopped, or its ``on_cancel`` has run.

    None for one that has ended, or is to end already.
    """
    if record.ends_as is not None or record.status.is_terminal:
        return None
    if record.status is TaskStatus.RUNNING:
        return move(record, ends_as=ends_as, reason=reason)
    if record.has_undo:
        return owing(record, ends_as, reason, now_ms)
    if record.status is TaskStatus.WAITING:  # its finalize has not begun: revived, it executes
        record_as = attrs.evolve(record, stage=record.stage & Stage.ALONE, memo=None)
        return Move(record, ended(record_as, ends_as, reason, now_ms).after)
    return ended(record, ends_as, reason, now_ms)


def owing(record: TaskRecord, ends_as: TaskStatus, reason: str | None, now_ms: int) -> Move:
    """A task ends when its ``on_cancel`` has run, which is its next run."""
    return move(
        record,
        status=TaskStatus.PENDING,
        stage=Stage.UNDO | (record.stage & Stage.ALONE),
        ends_as=ends_as,
        reason=reason,
        ready_at=from_ms(now_ms),
        due_at=None,
        attempt=0,
        interruptions=0,
    )


def released(record: TaskRecord, now_ms: int, *, is_blocked: bool = False) -> Move:
    """A blocked task may run now, or at its start time; or is blocked by less than before."""
    now = from_ms(now_ms)
    if is_blocked:
        return move(record, is_follow_up=False)
    is_early = record.run_at is not None and record.run_at > now
    return move(
        record,
        is_follow_up=False,
        status=TaskStatus.PENDING,
        ready_at=max(now, record.ready_at),
        due_at=record.run_at if is_early else None,
    )


def ready_place(record: TaskRecord) -> Ready | None:
    """The place of a task in the ready queue; None where it has none."""
    if record.status is not TaskStatus.PENDING or record.due_at is not None:
        return None
    if record.stage is Stage.ARRIVING:
        return None
    return Ready(
        record.type,
        record.group,
        record.priority,
        to_ms(record.ready_at),
        record.id,
        int(record.stage),
    )


def title(record: TaskRecord) -> str:
    """How a reason names a task."""
    return f"task {record.id} ({record.type})"
