"""What is written down while a simulation runs, and how it becomes an outcome."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable

import attrs

from taskmill.model.changes import StopCause
from taskmill.model.record import TaskId
from taskmill.simulation.arrivals import Task
from taskmill.simulation.outcome import GroupOutcome, Outcome, Waits, length_of
from taskmill.simulation.steps import Steps
from taskmill.simulation.workload import Workload


@attrs.define
class _Waited:
    """When tasks started first, and how long they had waited."""

    starts: array[int] = attrs.field(factory=lambda: array("q"))
    waits: array[int] = attrs.field(factory=lambda: array("q"))
    never: int = 0
    longest: int = 0

    def add(self, now_ns: int, waited_ns: int) -> None:
        self.starts.append(now_ns)
        self.waits.append(waited_ns)

    def still(self, waited_ns: int) -> None:
        self.never += 1
        self.longest = max(self.longest, waited_ns)

    def waits_of(self) -> Waits:
        ordered = sorted(self.waits)
        return Waits(
            started=len(ordered),
            mean=length_of(sum(ordered) / len(ordered) if ordered else 0),
            p50=length_of(_percentile(ordered, 50)),
            p95=length_of(_percentile(ordered, 95)),
            most=length_of(_percentile(ordered, 100)),
            waiting=self.never,
            longest=length_of(self.longest),
            starts_ns=self.starts,
            waits_ns=self.waits,
        )


@attrs.define
class _Group:
    """The figures of one group."""

    running: Steps = attrs.field(factory=Steps)
    waited: _Waited = attrs.field(factory=_Waited)
    lost_ns: int = 0
    starts: int = 0
    ended: int = 0


class Recorder:
    """Keeps a few numbers for each start and end; memory grows with the tasks."""

    def __init__(self) -> None:
        self._groups: dict[str | None, _Group] = {}
        self._priorities: dict[int, _Waited] = {}
        self._again: set[TaskId] = set()
        self._stops = dict.fromkeys(StopCause, 0)

    def arrived(self, task: Task) -> None:
        """A task waits from now on."""
        if task.ready.group not in self._groups:
            self._groups[task.ready.group] = _Group()
        if task.ready.priority not in self._priorities:
            self._priorities[task.ready.priority] = _Waited()

    def started(self, task: Task, now_ns: int) -> None:
        """A task takes a slot."""
        ready = task.ready
        group = self._groups[ready.group]
        group.starts += 1
        group.running.add(1, now_ns)
        if ready.id not in self._again:
            waited = now_ns - task.at_ns
            group.waited.add(now_ns, waited)
            self._priorities[ready.priority].add(now_ns, waited)

    def ended(self, task: Task, now_ns: int) -> None:
        """A task has run to its end."""
        group = self._groups[task.ready.group]
        group.ended += 1
        group.running.add(-1, now_ns)
        self._again.discard(task.ready.id)

    def stopped(self, task: Task, since_ns: int, now_ns: int, cause: StopCause) -> None:
        """A run was interrupted; its task waits again."""
        group = self._groups[task.ready.group]
        group.lost_ns += now_ns - since_ns
        group.running.add(-1, now_ns)
        self._again.add(task.ready.id)
        self._stops[cause] += 1

    def outcome(
        self,
        workload: Workload,
        *,
        seed: int,
        end_ns: int,
        waiting: Iterable[Task],
        weight: Callable[[str | None], int],
    ) -> Outcome:
        """What happened until ``end_ns``."""
        left = 0
        for task in waiting:
            left += 1
            if task.ready.id not in self._again:
                waited = end_ns - task.at_ns
                self._groups[task.ready.group].waited.still(waited)
                self._priorities[task.ready.priority].still(waited)
        names = sorted(self._groups, key=lambda name: (name is None, name or ""))
        groups = {name: self._groups[name] for name in names}
        return Outcome(
            length_ns=end_ns,
            max_concurrency=workload.max_concurrency,
            seed=seed,
            groups={
                name: GroupOutcome(
                    weight=weight(name),
                    running=group.running,
                    slot_ns=group.running.total(end_ns),
                    lost_ns=group.lost_ns,
                    starts=group.starts,
                    ended=group.ended,
                    waits=group.waited.waits_of(),
                )
                for name, group in groups.items()
            },
            priorities={
                priority: self._priorities[priority].waits_of()
                for priority in sorted(self._priorities)
            },
            starts=sum(group.starts for group in groups.values()),
            ended=sum(group.ended for group in groups.values()),
            preempted=self._stops[StopCause.PREEMPTED],
            paused=self._stops[StopCause.PAUSED],
            running=sum(group.running.now for group in groups.values()),
            waiting=left,
        )


def _percentile(ordered: list[int], percent: int) -> int:
    """The smallest value that so many percent do not exceed."""
    return ordered[-(-len(ordered) * percent // 100) - 1] if ordered else 0
