"""What is going on at one moment, in a domain and in a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from taskmill.model.record import TaskRecord
from taskmill.model.schedules import ScheduleRecord
from taskmill.model.sharing import Aging, RateLimit


@attrs.frozen
class ByteProgress:
    """Bytes that running tasks have done, of how many, as far as they say."""

    done: int
    total: int | None
    """None where one of them does not know."""


@attrs.frozen(kw_only=True)
class GroupSnapshot:
    """How one group stands that has tasks or a policy of its own."""

    name: str | None
    """None for the tasks without a group."""
    running: int
    pending: int
    max_concurrency: int | None
    weight: int
    min_slots: int
    entitled: int | None
    """Slots it is entitled to now; None while shares are off."""
    is_paused: bool


@attrs.frozen(kw_only=True)
class RateSnapshot:
    """One rate in force, and how many tasks may start under it now."""

    limit: RateLimit
    tokens: float


@attrs.frozen(kw_only=True)
class ExecutorSnapshot:
    """How one executor is used, since the scheduler opened."""

    name: str
    capacity: int | None
    running: int
    ended: int
    """Runs that have ended, however they did."""
    busy: timedelta
    """The time that all its runs held a slot."""
    waited: timedelta | None
    """How long tasks had been ready when they started here for the first time: the mean of the
    last 1,000, as are the durations; None before there is one."""
    duration: timedelta | None
    """The mean."""
    duration_p95: timedelta | None
    """What 95 % of the runs did not exceed."""
    down: str | None
    """Why nothing can run there now; None while it can."""


@attrs.frozen(kw_only=True)
class DomainSnapshot:
    """One domain. Counts are of its tasks; what runs was read from memory, the rest in one view."""

    name: str
    running: tuple[TaskRecord, ...]
    pending_count: int
    """Waiting to start and under no pause, whether ready or for a later time."""
    paused_count: int
    """Waiting to start, under a pause."""
    blocked_count: int
    waiting_count: int
    """Waiting for their children."""
    progress: float | None
    """The mean over the running tasks that report some, 0 to 1."""
    bytes: ByteProgress | None
    is_paused: bool
    """Whether the domain itself is paused."""
    max_concurrency: int | None


@attrs.frozen(kw_only=True)
class SchedulerSnapshot:
    """A whole scheduler; counts are over all domains, also of types that nothing here knows."""

    at: datetime
    running: tuple[TaskRecord, ...]
    pending_count: int
    paused_count: int
    blocked_count: int
    waiting_count: int
    progress: float | None
    bytes: ByteProgress | None
    is_paused: bool
    """Whether the scheduler itself is paused."""
    max_concurrency: int
    pressure: float
    """The highest of ``pressures``; 0 without a source."""
    pressures: Mapping[str, float]
    """What each source said last."""
    executors: Mapping[str, ExecutorSnapshot]
    domains: Mapping[str, DomainSnapshot]
    groups: Mapping[str | None, GroupSnapshot]
    paused_groups: Mapping[str, datetime | None]
    """Until when."""
    type_rates: Mapping[str, RateSnapshot]
    group_rates: Mapping[str, RateSnapshot]
    schedules: tuple[ScheduleRecord, ...]
    aging: Aging | None
    is_live: bool = True
    """False where it was read from the file alone, for nobody who dispatches could be asked."""
    loop_blocks: int
    """How often, since it was opened, the event loop stood still for longer than its limit."""
