"""What a process that does not dispatch shows: what the dispatcher says, or what is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from taskmill.client.line import Line, NobodyThere
from taskmill.engine.clock import Clock
from taskmill.engine.requests.schedules import Schedules
from taskmill.engine.views.showing import as_stored as as_stored_record
from taskmill.link.values import from_json
from taskmill.model.errors import UnknownDomainError
from taskmill.model.explanation import Explanation
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.snapshot import DomainSnapshot, GroupSnapshot, SchedulerSnapshot
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.limits import Limits
from taskmill.rules.stored import as_stored
from taskmill.store.base import Store

_Place: TypeAlias = tuple[str, str | None, TaskStatus]

RUNNING = Selection(statuses=frozenset({TaskStatus.RUNNING}))
MOST = 1000
"""How many running tasks a snapshot from the file alone shows."""


class Distant:
    """Shows tasks as they are stored, and explains them as the dispatcher does."""

    def __init__(self, *, line: Line, limits: Limits, clock: Clock) -> None:
        self._line = line
        self._limits = limits
        self._clock = clock

    def reported(self, record: TaskRecord) -> TaskRecord:
        """A record as people see it."""
        return as_stored_record(record, self._limits, self._clock)

    async def explain(self, record: TaskRecord, others: Sequence[TaskRecord]) -> Explanation:
        """Why a task is not running now, or what happened to it."""
        try:
            return from_json(await self._line.ask("explain", task=record.id), Explanation)
        except NobodyThere:
            return as_stored(record, others, self._limits.pauses, self._clock.now())

    def active(self) -> list[TaskRecord]:
        """No handler runs in this process."""
        return []


class DistantSnapshots:
    """Looks at the scheduler of another process, or at what its file says."""

    def __init__(
        self,
        *,
        line: Line,
        store: Store,
        limits: Limits,
        schedules: Schedules,
        clock: Clock,
        domains: Iterable[str],
    ) -> None:
        self._line = line
        self._store = store
        self._limits = limits
        self._schedules = schedules
        self._clock = clock
        self._domains = tuple(domains)

    async def of_domain(self, name: str) -> DomainSnapshot:
        """One domain."""
        domains = (await self.of_all()).domains
        if name not in domains:
            raise UnknownDomainError(f"the process that dispatches has no domain {name!r}")
        return domains[name]

    async def of_all(self) -> SchedulerSnapshot:
        """The scheduler."""
        try:
            return from_json(await self._line.ask("snapshot"), SchedulerSnapshot)
        except NobodyThere:
            return await self._as_stored()

    async def _as_stored(self) -> SchedulerSnapshot:
        with self._clock.hold():
            backlog = await self._store.backlog()
            levels = await self._store.levels()
            running = await self._store.tasks(RUNNING, limit=MOST)
            pauses = await self._store.pauses()
        self._limits.pauses.load(pauses)
        counts: Counter[_Place] = Counter()
        for each in backlog:
            counts[each.domain, each.group, each.status] += each.count
        for level in levels:
            domain = level.type.partition("::")[0]
            counts[domain, level.group, TaskStatus.PENDING] += level.count
        for (domain, group, status), count in [*counts.items()]:
            if status is TaskStatus.PENDING and self._limits.pauses.holds(domain, group):
                del counts[domain, group, status]
                counts[domain, group, TaskStatus.PAUSED] += count
        held = self._limits.pauses
        names = {*self._domains, *(place[0] for place in counts), *(r.domain for r in running)}
        return SchedulerSnapshot(
            at=self._clock.now(),
            running=tuple(running),
            pending_count=_sum(counts, TaskStatus.PENDING),
            paused_count=_sum(counts, TaskStatus.PAUSED),
            blocked_count=_sum(counts, TaskStatus.BLOCKED),
            waiting_count=_sum(counts, TaskStatus.WAITING),
            progress_of={},
            progress=None,
            bytes=None,
            is_paused=held.is_held(PauseScope.SCHEDULER),
            max_concurrency=self._limits.all.cap or 0,
            pressure=0,
            pressures={},
            executors={},
            domains={name: self._domain(name, counts, running) for name in sorted(names)},
            groups=self._groups(counts, running),
            paused_groups={
                each.name: from_ms(each.until_ms)
                for each in held.held()
                if each.scope is PauseScope.GROUP
            },
            type_rates={},
            group_rates={},
            schedules=tuple(await self._schedules.all(None)),
            aging=self._limits.aging.policy,
            loop_blocks=0,
            is_live=False,
        )

    def _domain(
        self, name: str, counts: Mapping[_Place, int], running: Sequence[TaskRecord]
    ) -> DomainSnapshot:
        own = {place: count for place, count in counts.items() if place[0] == name}
        slots = self._limits.domains.get(name)
        return DomainSnapshot(
            name=name,
            running=tuple(record for record in running if record.domain == name),
            pending_count=_sum(own, TaskStatus.PENDING),
            paused_count=_sum(own, TaskStatus.PAUSED),
            blocked_count=_sum(own, TaskStatus.BLOCKED),
            waiting_count=_sum(own, TaskStatus.WAITING),
            progress_of={},
            progress=None,
            bytes=None,
            is_paused=self._limits.pauses.is_held(PauseScope.DOMAIN, name),
            max_concurrency=None if slots is None else slots.cap,
        )

    def _groups(
        self, counts: Mapping[_Place, int], running: Sequence[TaskRecord]
    ) -> dict[str | None, GroupSnapshot]:
        busy = Counter(record.group for record in running)
        pending: Counter[str | None] = Counter()
        for (_, group, status), count in counts.items():
            if status in (TaskStatus.PENDING, TaskStatus.PAUSED):
                pending[group] += count
        names = sorted({*busy, *pending}, key=lambda name: (name is not None, name or ""))
        return {
            name: GroupSnapshot(
                name=name,
                running=busy[name],
                pending=pending[name],
                max_concurrency=self._limits.policy(name).max_concurrency,
                weight=self._limits.policy(name).weight,
                min_slots=self._limits.policy(name).min_slots,
                entitled=None,
                is_paused=name is not None and self._limits.pauses.is_held(PauseScope.GROUP, name),
            )
            for name in names
        }


def _sum(counts: Mapping[_Place, int], status: TaskStatus) -> int:
    return sum(count for place, count in counts.items() if place[2] is status)
