"""What would happen: a workload in virtual time, decided by the library's own rules."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random

import attrs

from taskmill.engine.queue.ready import ReadyQueue
from taskmill.model.changes import StopCause
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskId
from taskmill.rules.limits import Kind, Limits
from taskmill.rules.plan import Start, plan
from taskmill.rules.preempt import Urgent, victims
from taskmill.simulation.arrivals import MILLISECOND, Sources, Task, nanoseconds
from taskmill.simulation.backlog import Backlog
from taskmill.simulation.outcome import Outcome
from taskmill.simulation.recorder import Recorder
from taskmill.simulation.workload import GroupPause, Workload

_EXECUTOR = "inline"


def simulate(
    workload: Workload,
    *,
    seed: int | None = None,
    watch: Callable[[Simulation], None] | None = None,
) -> Outcome:
    """Play ``workload`` and say what happened; the same seed always gives the same outcome.

    ``seed`` is used instead of the workload's own. ``watch`` is called after each decision.
    Handlers stop at once when they are told to; nothing fails, and nothing is retried.
    """
    simulation = Simulation(workload, workload.seed if seed is None else seed)
    while simulation.step():
        if watch is not None:
            watch(simulation)
    return simulation.outcome()


@attrs.frozen(eq=False)
class Run:
    """A task that holds a slot."""

    task: Task
    start: Start


class Simulation:
    """One workload being played: what waits and what runs at ``now_ns``, in virtual time."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self.workload = workload
        self.limits = limits_of(workload)
        self.now_ns = 0
        self.just_started: list[Task] = []
        """What has started at this moment, also what made room again for something more urgent."""
        self._seed = seed
        self._end_ns = None if workload.duration is None else nanoseconds(workload.duration)
        self._sources = Sources(workload, Random(seed))  # noqa: S311 - no secret
        self._queue = ReadyQueue(self.limits)
        self._backlog = Backlog()
        self._running: dict[TaskId, Run] = {}
        self._ends: list[tuple[int, int, Run]] = []
        self._started = 0
        self._preemptions: Counter[TaskId] = Counter()
        self._pauses = deque(_pause_changes(workload))
        self._preemptible = {
            f"{kind.domain}::{name}" for name, kind in workload.types.items() if kind.preemptible
        }
        self._recorder = Recorder()

    @property
    def waiting(self) -> Mapping[TaskId, Task]:
        """What waits now."""
        return self._backlog.tasks

    @property
    def running(self) -> Mapping[TaskId, Run]:
        """What runs now."""
        return self._running

    def step(self) -> bool:
        """Go to the next moment at which something happens, and decide; False at the end."""
        moment = self._next_ns()
        if moment is None or (self._end_ns is not None and moment >= self._end_ns):
            if self._end_ns is not None:
                self.now_ns = self._end_ns
                self._end_runs()
            return False
        self.now_ns = moment
        self.just_started.clear()
        self._end_runs()
        self._queue.at(moment, moment // MILLISECOND)
        self._change_pauses()
        while self._sources.next_ns == moment:
            task = self._sources.take()
            self._recorder.arrived(task)
            self._wait(task)
        self._decide()
        return True

    def outcome(self) -> Outcome:
        """What happened until now."""
        return self._recorder.outcome(
            self.workload,
            seed=self._seed,
            end_ns=self.now_ns,
            waiting=self.waiting.values(),
            weight=lambda group: self.limits.policy(group).weight,
        )

    def _next_ns(self) -> int | None:
        """When something happens next: an end, an arrival, a pause, a token that is waited for."""
        while self._ends and not self._is_current(self._ends[0][2]):
            heapq.heappop(self._ends)
        moments = (
            self._ends[0][0] if self._ends else None,
            self._sources.next_ns,
            self._pauses[0][0] if self._pauses else None,
            self._queue.next_token(),
        )
        return min((moment for moment in moments if moment is not None), default=None)

    # --- what happens ---

    def _wait(self, task: Task) -> None:
        self._backlog.add(task)
        self._queue.add(task.ready)

    def _end_runs(self) -> None:
        """End the runs whose time has come; their clients go on."""
        while self._ends and self._ends[0][0] <= self.now_ns:
            run = heapq.heappop(self._ends)[2]
            if self._is_current(run):
                self._release(run, is_whole=True)
                self._recorder.ended(run.task, self.now_ns)
                self._preemptions.pop(run.task.ready.id, None)
                self._sources.ended(run.task, self.now_ns)

    def _change_pauses(self) -> None:
        while self._pauses and self._pauses[0][0] <= self.now_ns:
            _, is_start, pause = self._pauses.popleft()
            if is_start:
                self._pause(pause)
            else:
                name, now_ms = pause.group, self.now_ns // MILLISECOND
                self.limits.pauses.end(PauseScope.GROUP, name, now_ms)
                self._queue.wake(self.limits.group_gates(name).pause)

    def _pause(self, pause: GroupPause) -> None:
        name, now_ms = pause.group, self.now_ns // MILLISECOND
        record = PauseRecord(scope=PauseScope.GROUP, name=name, since_ms=now_ms)
        self.limits.pauses.hold(record)
        if pause.interrupt:
            for run in [run for run in self._running.values() if run.task.ready.group == name]:
                self._stop(run, StopCause.PAUSED)

    def _stop(self, run: Run, cause: StopCause) -> None:
        """Interrupt a run: its task goes back to its old place."""
        self._release(run, is_whole=False)
        self._recorder.stopped(run.task, run.start.at_ns, self.now_ns, cause)
        self._wait(run.task)

    def _release(self, run: Run, *, is_whole: bool) -> None:
        del self._running[run.task.ready.id]
        self.limits.all.leave()
        self._queue.release(run.start, self.now_ns, is_whole=is_whole)

    def _is_current(self, run: Run) -> bool:
        return self._running.get(run.task.ready.id) is run

    # --- what is decided ---

    def _decide(self) -> None:
        """Start and preempt until nothing more may start at this moment."""
        while True:
            for start in plan(self._queue, self.limits.all, self.now_ns):
                self._start(start)
            if not self._refill() and not self._preempt():
                return

    def _start(self, start: Start) -> None:
        task = self._backlog.take(start.ready)
        run = self._running[task.ready.id] = Run(task, start)
        start.can_be_preempted = (
            task.ready.type in self._preemptible
            and self._preemptions[task.ready.id] < self.limits.max_preemptions
        )
        self._started += 1
        heapq.heappush(self._ends, (self.now_ns + task.run_ns, self._started, run))
        self.just_started.append(task)
        self._recorder.started(task, self.now_ns)

    def _refill(self) -> bool:
        refills = list(self._queue.refills())
        for refill in refills:
            self._queue.refilled(refill, self._backlog.read(refill))
        return bool(refills)

    def _preempt(self) -> bool:
        if not self._queue.has_urgent:
            return False
        urgent = [
            Urgent(queue.lane, level.count, priority)
            for priority, level, queue in self._queue.urgent()
        ]
        starts = [run.start for run in self._running.values()]
        chosen = victims(urgent, starts, self.limits.all, self.now_ns)
        for start in chosen:
            self._preemptions[start.ready.id] += 1
            self._stop(self._running[start.ready.id], StopCause.PREEMPTED)
        return bool(chosen)


def limits_of(workload: Workload) -> Limits:
    """The limits of the scheduler that a workload describes."""
    qualified = {f"{kind.domain}::{name}": kind for name, kind in workload.types.items()}
    return Limits(
        max_concurrency=workload.max_concurrency,
        kinds={
            name: Kind(type=name, domain=kind.domain, executor=_EXECUTOR, io=kind.io)
            for name, kind in qualified.items()
        },
        domains=workload.domains,
        groups=workload.groups,
        group_default=workload.group_default,
        rates={name: kind.rate for name, kind in qualified.items() if kind.rate is not None},
        fair=workload.fair,
        aging=workload.aging,
        preempt_at=workload.preempt_at,
        max_preemptions=workload.max_preemptions,
        io_capacity=workload.io_capacity,
    )


def _pause_changes(workload: Workload) -> list[tuple[int, bool, GroupPause]]:
    """When which pause starts or ends; at one moment ends come first."""
    changes = [(nanoseconds(pause.start), True, pause) for pause in workload.pauses]
    changes += [
        (nanoseconds(pause.until), False, pause)
        for pause in workload.pauses
        if pause.until is not None
    ]
    return sorted(changes, key=lambda change: change[:2])
