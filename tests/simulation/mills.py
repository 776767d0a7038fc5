"""Workloads in a few words, and a watcher that sees every decision of a simulation."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import attrs

from taskmill.model.policies import Priority
from taskmill.model.sharing import GroupPolicy
from taskmill.simulation.simulate import Run, Simulation
from taskmill.simulation.workload import (
    Arrivals,
    Backlog,
    Constant,
    TaskType,
    Workload,
)

SECOND = 1_000_000_000


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def workload(
    *arrivals: Arrivals,
    slots: int = 8,
    groups: dict[str, GroupPolicy] | None = None,
    domains: dict[str, int | None] | None = None,
    types: dict[str, TaskType] | None = None,
    until: float | None = None,
    preempt_at: int | None = Priority.REALTIME,
) -> Workload:
    """Types default to one in each domain, with its name; groups that are not given have none."""
    domains = {"d": None} if domains is None else domains
    return Workload(
        max_concurrency=slots,
        types={name: TaskType(domain=name) for name in domains} if types is None else types,
        domains=domains,
        arrivals=arrivals,
        duration=None if until is None else seconds(until),
        groups=groups or {},
        group_default=GroupPolicy(),
        preempt_at=preempt_at,
    )


def backlog(
    count: int,
    group: str | None = None,
    *,
    kind: str = "d",
    runs: float = 1,
    at: float = 0,
    priority: int = Priority.NORMAL,
) -> Arrivals:
    return Arrivals(
        type=kind,
        when=Backlog(count=count, at=seconds(at)),
        runs=Constant(seconds(runs)),
        group=group,
        priority=priority,
    )


@attrs.define
class Watcher:
    """What ran after each decision, and every start in order."""

    held: list[tuple[float, Counter[str | None]]] = attrs.field(factory=list)
    """Seconds, and the slots of each group from then on."""
    starts: list[tuple[float, Run]] = attrs.field(factory=list)
    _seen: set[Run] = attrs.field(factory=set)

    def __call__(self, simulation: Simulation) -> None:
        now = simulation.now_ns / SECOND
        runs = simulation.running.values()
        self.held.append((now, Counter(run.task.ready.group for run in runs)))
        new = [run for run in runs if run not in self._seen]
        self._seen.update(new)
        self.starts += [(now, run) for run in new]

    def after(self, moment: float) -> list[Counter[str | None]]:
        return [held for now, held in self.held if now >= moment]

    def first(self, count: int) -> Counter[str | None]:
        """How many of the first starts each group had."""
        return Counter(run.task.ready.group for _, run in self.starts[:count])

    def slot_time(self, count: int) -> Counter[str | None]:
        """The seconds that the first starts take, by group."""
        time: Counter[str | None] = Counter()
        for _, run in self.starts[:count]:
            time[run.task.ready.group] += run.task.run_ns
        return time
