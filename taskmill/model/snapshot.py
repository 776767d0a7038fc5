"""What is going on at one moment, in a domain and in a scheduler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import attrs

from taskmill.model.limits import MAX_LENGTH
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.schedules import ScheduleRecord
from taskmill.model.sharing import Aging, RateLimit


@attrs.frozen
class ByteProgress:
    """Bytes that one running task, or all of them, have done, of how many, as far as they say."""

    done: int
    total: int | None
    """None where one of them does not know."""
    rate: float | None = None
    """Bytes per second lately: those of the last 10 seconds or so count most, and it falls when
    they stop coming. None before a task has said twice how many are done."""

    @property
    def eta(self) -> timedelta | None:
        """How long the rest takes at this rate; None where that cannot be known."""
        if self.total is None or not self.rate:
            return None
        return foreseen(max(self.total - self.done, 0) / self.rate)


def foreseen(seconds: float | None) -> timedelta | None:
    """So long from now, never negative; None where that is not known, or beyond `MAX_LENGTH`."""
    if seconds is None or not seconds <= MAX_LENGTH.total_seconds():
        return None
    return timedelta(seconds=max(seconds, 0))


@attrs.frozen(kw_only=True)
class TaskProgress:
    """How far one running task is."""

    reported: float | None
    """What its handler said last, 0 to 1; None if it said nothing."""
    message: str | None
    """The last message that came with it."""
    estimated: float | None
    """Where it is held to be by now, 0 to just below 1: what it reported, carried on at the pace
    that it has shown; without a report, the time it has run as a part of ``typical``. It never
    falls while nothing is reported. None where there is neither."""
    elapsed: timedelta
    """How long it has run."""
    typical: timedelta | None
    """How long runs of its type take: the median of the last 32 that completed. None before there
    is one."""
    eta: timedelta | None
    """How long it still takes: by its bytes where it says how many there are, or by ``estimated``.
    Never negative; None where nothing is known."""
    bytes: ByteProgress | None
    """None where it says nothing of bytes."""


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
    """One domain. Counts are of its tasks.

    What runs and what is ready was read from memory, what waits for something else from the store.
    Of 10,000 such tasks and more, that count may be 0.2 s old for each 10,000 of them.
    """

    name: str
    running: tuple[TaskRecord, ...]
    pending_count: int
    """Waiting to start and under no pause, whether ready or for a later time."""
    paused_count: int
    """Waiting to start, under a pause."""
    blocked_count: int
    waiting_count: int
    """Waiting for their children."""
    progress_of: Mapping[TaskId, TaskProgress]
    """How far each running task is."""
    progress: float | None
    """The mean of what is estimated of the running tasks, 0 to 1; None where nothing is."""
    bytes: ByteProgress | None
    """The sums over the running tasks that say something of bytes."""
    is_paused: bool
    """Whether the domain itself is paused."""
    max_concurrency: int | None


@attrs.frozen(kw_only=True)
class SchedulerSnapshot:
    """A whole scheduler; counts are over all domains, also of types that nothing here knows.

    They are as exact as those of a `DomainSnapshot`.
    """

    at: datetime
    running: tuple[TaskRecord, ...]
    pending_count: int
    paused_count: int
    blocked_count: int
    waiting_count: int
    progress_of: Mapping[TaskId, TaskProgress]
    """As are these three in a `DomainSnapshot`."""
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
    """Each is made when it is read."""
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
