"""How far each running task is held to be, and how long it still takes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.snapshot import SchedulerSnapshot


@attrs.frozen(kw_only=True)
class Estimate:
    """What is shown of one running task; None for what nobody knows."""

    fraction: float | None = None
    """0 to 1."""
    left: timedelta | None = None
    message: str | None = None
    """What its handler said last."""
    rate: float | None = None
    """Bytes per second."""


UNKNOWN = Estimate()


def estimates_of(snapshot: SchedulerSnapshot, now: datetime) -> Mapping[TaskId, Estimate]:
    """The estimates of all running tasks."""
    return {record.id: _estimate(record, now) for record in snapshot.running}


def _estimate(record: TaskRecord, now: datetime) -> Estimate:
    """By what its handler has said, as if it went on at the same pace."""
    if not record.progress or record.started_at is None:
        return Estimate(fraction=record.progress)
    elapsed = max(now - record.started_at, timedelta(0))
    left = elapsed * (1 - record.progress) / record.progress
    return Estimate(fraction=record.progress, left=left)
