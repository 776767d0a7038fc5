"""What is going on at this moment: puts together what is in memory and what the store counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from taskmill.engine.attempt import Attempt
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.figures import Figures
from taskmill.engine.running import Running
from taskmill.engine.schedules import Schedules
from taskmill.engine.watchdog import Watchdog
from taskmill.model.effects import Backlog
from taskmill.model.pauses import PauseScope
from taskmill.model.snapshot import (
    ByteProgress,
    DomainSnapshot,
    GroupSnapshot,
    RateSnapshot,
    SchedulerSnapshot,
)
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.entitlement import Demand, allocate
from taskmill.rules.limits import Limits
from taskmill.rules.ratelimit import Bucket
from taskmill.store.base import Store

_Place: TypeAlias = tuple[str, str | None, TaskStatus]


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
        watchdog: Watchdog,
        clock: Clock,
        domains: Iterable[str],
    ) -> None:
        self._store = store
        self._limits = limits
        self._dispatcher = dispatcher
        self._running = running
        self._schedules = schedules
        self._figures = figures
        self._watchdog = watchdog
        self._clock = clock
        self._domains = tuple(domains)

    async def of_domain(self, name: str) -> DomainSnapshot:
        """One domain."""
        with self._clock.hold():
            backlog = await self._store.backlog()
        return self._domain(name, self._counted(backlog))

    async def of_all(self) -> SchedulerSnapshot:
        """The scheduler."""
        with self._clock.hold():
            backlog = await self._store.backlog()
        schedules = await self._schedules.all(None)
        self._dispatcher.refresh()
        counts = self._counted(backlog)
        limits, attempts = self._limits, self._running.attempts()
        return SchedulerSnapshot(
            at=self._clock.now(),
            running=tuple(attempt.reported for attempt in attempts),
            pending_count=_sum(counts, TaskStatus.PENDING),
            paused_count=_sum(counts, TaskStatus.PAUSED),
            blocked_count=_sum(counts, TaskStatus.BLOCKED),
            waiting_count=_sum(counts, TaskStatus.WAITING),
            progress=_progress(attempts),
            bytes=_bytes(attempts),
            is_paused=limits.pauses.is_held(PauseScope.SCHEDULER),
            max_concurrency=limits.all.cap or 0,
            pressure=limits.pressure.level,
            pressures=dict(limits.pressure.readings),
            executors=self._figures.snapshot(limits),
            domains={name: self._domain(name, counts) for name in self._domains},
            groups=self._groups(counts),
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

    def _counted(self, backlog: Sequence[Backlog]) -> Counter[_Place]:
        """How many tasks wait, by domain, group and the status under which they are reported."""
        counts: Counter[_Place] = Counter()
        for each in backlog:
            counts[each.domain, each.group, each.status] += each.count
        for queue in self._dispatcher.queue.waiting():
            lane = queue.lane
            ready = sum(level.count for level in queue.levels.values())
            counts[lane.kind.domain, lane.group, TaskStatus.PENDING] += ready
        for (domain, group, status), count in [*counts.items()]:
            if status is TaskStatus.PENDING and self._limits.pauses.holds(domain, group):
                del counts[domain, group, status]
                counts[domain, group, TaskStatus.PAUSED] += count
        return counts

    def _domain(self, name: str, counts: Counter[_Place]) -> DomainSnapshot:
        attempts = [a for a in self._running.attempts() if a.record.domain == name]
        own = {place: count for place, count in counts.items() if place[0] == name}
        return DomainSnapshot(
            name=name,
            running=tuple(attempt.reported for attempt in attempts),
            pending_count=_sum(own, TaskStatus.PENDING),
            paused_count=_sum(own, TaskStatus.PAUSED),
            blocked_count=_sum(own, TaskStatus.BLOCKED),
            waiting_count=_sum(own, TaskStatus.WAITING),
            progress=_progress(attempts),
            bytes=_bytes(attempts),
            is_paused=self._limits.pauses.is_held(PauseScope.DOMAIN, name),
            max_concurrency=self._limits.domains[name].cap,
        )

    def _groups(self, counts: Counter[_Place]) -> dict[str | None, GroupSnapshot]:
        limits = self._limits
        running = Counter(start.lane.group for start in self._dispatcher.starts.values())
        pending: Counter[str | None] = Counter()
        for (_, group, status), count in counts.items():
            if status in (TaskStatus.PENDING, TaskStatus.PAUSED):
                pending[group] += count
        names = {*running, *pending, *limits.groups}
        entitled: dict[str | None, int] = {}
        if limits.shares.is_fair:
            demands = {
                name: Demand(
                    tasks=running[name] + pending[name],
                    weight=limits.policy(name).weight,
                    min_slots=limits.policy(name).min_slots,
                    cap=limits.policy(name).max_concurrency,
                )
                for name in names
            }
            entitled = allocate(limits.all.cap or 0, demands)
        return {
            name: GroupSnapshot(
                name=name,
                running=running[name],
                pending=pending[name],
                max_concurrency=limits.policy(name).max_concurrency,
                weight=limits.policy(name).weight,
                min_slots=limits.policy(name).min_slots,
                entitled=entitled.get(name, 0) if limits.shares.is_fair else None,
                is_paused=name is not None and limits.pauses.is_held(PauseScope.GROUP, name),
            )
            for name in sorted(names, key=lambda name: (name is not None, name or ""))
        }

    def _rates(self, buckets: Iterable[Bucket]) -> dict[str, RateSnapshot]:
        now_ns = self._dispatcher.now_ns()
        return {
            bucket.name: RateSnapshot(limit=bucket.limit, tokens=bucket.tokens(now_ns))
            for bucket in buckets
            if bucket.limit is not None
        }


def _sum(counts: Mapping[_Place, int], status: TaskStatus) -> int:
    return sum(count for place, count in counts.items() if place[2] is status)


def _progress(attempts: Sequence[Attempt]) -> float | None:
    made = [a.progress_made for a in attempts if a.progress_made is not None]
    return sum(made) / len(made) if made else None


def _bytes(attempts: Sequence[Attempt]) -> ByteProgress | None:
    told = [a.bytes_done for a in attempts if a.bytes_done is not None]
    if not told:
        return None
    totals = [total for _, total in told if total is not None]
    total = sum(totals) if len(totals) == len(told) else None
    return ByteProgress(sum(done for done, _ in told), total)
