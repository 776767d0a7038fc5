"""What is going on at this moment: puts together what is in memory and what the store counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial

import attrs

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.requests.schedules import Schedules
from taskmill.engine.runs.attempt import Attempt
from taskmill.engine.runs.durations import Durations
from taskmill.engine.runs.figures import Figures
from taskmill.engine.runs.running import Running
from taskmill.engine.runs.watchdog import Watchdog
from taskmill.engine.views.backlog import Counted, count_backlog
from taskmill.engine.views.groups import Groups
from taskmill.engine.views.shared import Shared
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.schedules import ScheduleRecord
from taskmill.model.snapshot import (
    ByteProgress,
    DomainSnapshot,
    RateSnapshot,
    SchedulerSnapshot,
    TaskProgress,
    foreseen,
)
from taskmill.model.times import from_ms
from taskmill.rules.estimates import estimate
from taskmill.rules.limits import Limits
from taskmill.rules.ratelimit import Bucket
from taskmill.store.base import Store

_MANY = 100
"""From so many schedules on, reading them takes longer than a millisecond."""


class Snapshots:
    """Looks at one open scheduler as a whole."""

    def __init__(
        self,
        *,
        store: Store,
        limits: Limits,
        dispatcher: Dispatcher,
        running: Running,
        schedules: Schedules,
        figures: Figures,
        durations: Durations,
        watchdog: Watchdog,
        clock: Clock,
        domains: Iterable[str],
    ) -> None:
        self._backlog = Shared(
            partial(count_backlog, store, clock), kept=lambda counted: counted.kept, clock=clock
        )
        self._timetable = Shared(partial(schedules.all, None), kept=_kept, clock=clock)
        self._limits = limits
        self._dispatcher = dispatcher
        self._running = running
        self._figures = figures
        self._durations = durations
        self._watchdog = watchdog
        self._clock = clock
        self._domains = tuple(domains)

    async def of_domain(self, name: str) -> DomainSnapshot:
        """One domain."""
        await self._durations.read(self._attempts(name))
        counted = await self._backlog.get()
        return self._domain(name, counted, self._look_at(self._attempts(name)))

    async def of_all(self) -> SchedulerSnapshot:
        """The scheduler."""
        schedules = await self._timetable.get()
        await self._durations.read(self._running.attempts())
        counted = await self._backlog.get()
        self._dispatcher.refresh()
        limits, pauses = self._limits, self._limits.pauses
        looks = self._look_at(self._running.attempts())
        pending = [*self._dispatcher.pending(), counted.delayed]
        paused = sum(tally.paused(pauses) for tally in pending)
        return SchedulerSnapshot(
            at=self._clock.now(),
            running=tuple(look.record for look in looks),
            pending_count=sum(tally.count for tally in pending) - paused,
            paused_count=paused,
            blocked_count=counted.blocked.count,
            waiting_count=counted.waiting.count,
            progress_of=_by_task(looks),
            progress=_mean(looks),
            bytes=_sum(looks),
            is_paused=pauses.is_held(PauseScope.SCHEDULER),
            max_concurrency=limits.all.cap or 0,
            pressure=limits.pressure.level,
            pressures=dict(limits.pressure.readings),
            executors=self._figures.snapshot(limits),
            domains={
                name: self._domain(name, counted, [x for x in looks if x.record.domain == name])
                for name in self._domains
            },
            groups=Groups(
                limits,
                running=(start.lane.group for start in self._dispatcher.starts.values()),
                waiting=(
                    tally.places() for tally in (*self._dispatcher.queue.ready, counted.delayed)
                ),
            ),
            paused_groups={
                held.name: from_ms(held.until_ms)
                for held in limits.pauses.held()
                if held.scope is PauseScope.GROUP
            },
            type_rates=self._rates(limits.rates.values()),
            group_rates=self._rates(limits.group_rates()),
            schedules=tuple(schedules),
            aging=limits.aging.policy,
            loop_blocks=self._watchdog.blocks,
        )

    def _domain(self, name: str, counted: Counted, looks: Sequence[_Look]) -> DomainSnapshot:
        pauses = self._limits.pauses
        pending = [*self._dispatcher.pending(), counted.delayed]
        paused = sum(tally.paused(pauses, name) for tally in pending)
        return DomainSnapshot(
            name=name,
            running=tuple(look.record for look in looks),
            pending_count=sum(tally.of_domain(name) for tally in pending) - paused,
            paused_count=paused,
            blocked_count=counted.blocked.of_domain(name),
            waiting_count=counted.waiting.of_domain(name),
            progress_of=_by_task(looks),
            progress=_mean(looks),
            bytes=_sum(looks),
            is_paused=pauses.is_held(PauseScope.DOMAIN, name),
            max_concurrency=self._limits.domains[name].cap,
        )

    def _attempts(self, domain: str) -> list[Attempt]:
        return [a for a in self._running.attempts() if a.record.domain == domain]

    def _look_at(self, attempts: Iterable[Attempt]) -> list[_Look]:
        """The running tasks with how far each is, as of one moment."""
        now = self._clock.monotonic()
        return [
            _Look(attempt.reported, self._progress(attempt, now - attempt.start.at_ns / 1e9))
            for attempt in attempts
        ]

    def _progress(self, attempt: Attempt, elapsed: float) -> TaskProgress:
        reports, typical = attempt.reports, self._durations.typical(attempt)
        found = estimate(elapsed, typical=typical, report=reports.said)
        moved = None
        if (flow := reports.flow) is not None:
            moved = ByteProgress(flow.done, flow.total, flow.rate(elapsed))
        by_bytes = None if moved is None else moved.eta
        return TaskProgress(
            reported=reports.fraction,
            message=reports.message,
            estimated=found.fraction,
            elapsed=timedelta(seconds=elapsed),
            typical=None if typical is None else timedelta(seconds=typical),
            eta=foreseen(found.left) if by_bytes is None else by_bytes,
            bytes=moved,
        )

    def _rates(self, buckets: Iterable[Bucket]) -> dict[str, RateSnapshot]:
        now_ns = self._dispatcher.now_ns()
        return {
            bucket.name: RateSnapshot(limit=bucket.limit, tokens=bucket.tokens(now_ns))
            for bucket in buckets
            if bucket.limit is not None
        }


def _kept(schedules: Sequence[ScheduleRecord]) -> float:
    """Seconds: some twenty times what it takes to read many; a few are always read."""
    return len(schedules) * 300e-6 if len(schedules) >= _MANY else 0


@attrs.frozen
class _Look:
    record: TaskRecord
    progress: TaskProgress


def _by_task(looks: Iterable[_Look]) -> dict[TaskId, TaskProgress]:
    return {look.record.id: look.progress for look in looks}


def _mean(looks: Iterable[_Look]) -> float | None:
    known = [x.progress.estimated for x in looks if x.progress.estimated is not None]
    return sum(known) / len(known) if known else None


def _sum(looks: Iterable[_Look]) -> ByteProgress | None:
    told = [look.progress.bytes for look in looks if look.progress.bytes is not None]
    if not told:
        return None
    totals = [each.total for each in told if each.total is not None]
    rates = [each.rate for each in told if each.rate is not None]
    return ByteProgress(
        done=sum(each.done for each in told),
        total=sum(totals) if len(totals) == len(told) else None,
        rate=sum(rates) if rates else None,
    )
