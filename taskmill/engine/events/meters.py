"""What is counted of a scheduler, always: a few additions for each task, and bounded labels."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from datetime import timedelta

from taskmill.engine.events.announce import interrupt_cause
from taskmill.model.changes import Settlement, StopCause
from taskmill.model.effects import Move, Settled
from taskmill.model.events import InterruptCause
from taskmill.model.metrics import (
    UNREGISTERED,
    ExecutorMetrics,
    Histogram,
    Metrics,
    Standing,
    TypeMetrics,
)
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.rules.gates import GateKind

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
"""For what may take a moment or an hour."""
SHORT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""For what should take a moment."""
CHANGES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)

_INSERTED = SubmitOutcome.INSERTED
_ENDS = [status for status in TaskStatus if status in TERMINAL]


class Tally:
    """A histogram that is being counted."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """A value was measured."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def read(self) -> Histogram:
        """What was counted so far."""
        return Histogram(bounds=self.bounds, counts=tuple(self.counts), sum=self.sum)


class TypeMeter:
    """What is counted of one task type."""

    __slots__ = (
        "domain",
        "ended",
        "inserted",
        "interrupted",
        "preempted",
        "retried",
        "revived",
        "run",
        "started",
        "submitted",
        "type",
        "wait",
    )

    def __init__(self, domain: str, task_type: str) -> None:
        self.domain = domain
        self.type = task_type
        self.inserted = 0
        """Of ``submitted``, the common case: the hash of a member takes as long as all the rest."""
        self.submitted = dict.fromkeys(SubmitOutcome, 0)
        self.started = 0
        self.ended = dict.fromkeys(_ENDS, 0)
        self.retried = 0
        self.interrupted = dict.fromkeys(InterruptCause, 0)
        self.preempted = 0
        self.revived = 0
        self.run = Tally(SECONDS)
        self.wait = Tally(SECONDS)

    @property
    def is_used(self) -> bool:
        """Whether anything was counted."""
        read = self.read()
        return any((*read.submitted.values(), read.started, *read.ended.values(), read.revived))

    def read(self) -> TypeMetrics:
        """What was counted so far."""
        return TypeMetrics(
            domain=self.domain,
            type=self.type,
            submitted={**self.submitted, SubmitOutcome.INSERTED: self.inserted},
            started=self.started,
            ended=dict(self.ended),
            retried=self.retried,
            interrupted=dict(self.interrupted),
            preempted=self.preempted,
            revived=self.revived,
            run=self.run.read(),
            wait=self.wait.read(),
        )


class Meters:
    """The counts of one scheduler, over all its openings.

    Written in the event loop, read from any thread: which labels there are is fixed here.
    """

    def __init__(self, types: Iterable[tuple[str, str]], executors: Iterable[str]) -> None:
        self._types = {name: TypeMeter(domain, name) for domain, name in types}
        self._others = TypeMeter(UNREGISTERED, UNREGISTERED)
        self._executors = {name: [0, 0.0] for name in executors}
        self._held = dict.fromkeys(GateKind, 0)
        self._commit = Tally(SHORT_SECONDS)
        self._batch = Tally(CHANGES)
        self._commit_failures = 0
        self._changes_refused = 0
        self._recovered = 0
        self._dropped_events = 0
        self._loop_lag = Tally(SHORT_SECONDS)
        self._loop_blocks = 0
        self.standing: Callable[[], Standing | None] = _closed
        """Says how the scheduler stands; set while it is open."""

    def read(self) -> Metrics:
        """What was counted so far, and how the scheduler stands."""
        types = sorted(self._types.values(), key=lambda meter: meter.type)
        if self._others.is_used:
            types.append(self._others)
        return Metrics(
            types=tuple(meter.read() for meter in types),
            executors=tuple(
                ExecutorMetrics(name=name, runs=int(runs), busy=timedelta(seconds=busy))
                for name, (runs, busy) in self._executors.items()
            ),
            held={kind.value: count for kind, count in self._held.items()},
            commit=self._commit.read(),
            batch=self._batch.read(),
            commit_failures=self._commit_failures,
            changes_refused=self._changes_refused,
            recovered=self._recovered,
            dropped_events=self._dropped_events,
            loop_lag=self._loop_lag.read(),
            loop_blocks=self._loop_blocks,
            now=self.standing(),
        )

    def closed(self) -> None:
        """The scheduler was closed: it stands nowhere, and its counts stay."""
        self.standing = _closed

    # --- tasks ---

    def submitted(self, task_type: str, outcome: SubmitOutcome) -> None:
        """A submit has committed."""
        meter = self._types.get(task_type, self._others)
        if outcome is _INSERTED:
            meter.inserted += 1
        else:
            meter.submitted[outcome] += 1

    def started(self, task_type: str) -> None:
        """A handler is called."""
        self._types.get(task_type, self._others).started += 1

    def stopped(self, task_type: str, executor: str, seconds: float, waited: float | None) -> None:
        """A run has ended that held a slot so long; ``waited`` is from ready to its start."""
        meter = self._types.get(task_type, self._others)
        seconds = seconds if seconds > 0 else 0.0  # clocks round, and are set back
        meter.run.add(seconds)
        if waited is not None:
            meter.wait.add(waited if waited > 0 else 0.0)
        used = self._executors[executor]
        used[0] += 1
        used[1] += seconds

    def settled(
        self, task_type: str, settlement: Settlement, settled: Settled, cause: StopCause | None
    ) -> None:
        """What came of a run has committed."""
        meter, status = self._types.get(task_type, self._others), settled.status
        if status is not None and status in meter.ended:
            meter.ended[status] += 1
        elif status is TaskStatus.PENDING is settlement.status:
            if settlement.preempted:
                meter.preempted += 1
            elif settlement.error is not None and not settlement.is_unreadable:
                meter.retried += 1
            elif settled.after is None or settled.after.ends_as is None:
                meter.interrupted[interrupt_cause(settlement, cause)] += 1

    def moved(self, move: Move) -> None:
        """A change has ended a task that did not run, or made one active that had ended."""
        before, after = move.before.status, move.after.status
        meter = self._types.get(move.after.type, self._others)
        if before in meter.ended:
            meter.revived += after not in meter.ended
        elif after in meter.ended:
            meter.ended[after] += 1

    # --- the rest ---

    def held(self, kind: GateKind) -> None:
        """A gate holds work back."""
        self._held[kind] += 1

    def committed(self, seconds: float, changes: int) -> None:
        """A batch of changes was written."""
        self._commit.add(seconds)
        self._batch.add(changes)

    def commit_failed(self) -> None:
        """A batch could not be written."""
        self._commit_failures += 1

    def change_refused(self) -> None:
        """The database refused one change."""
        self._changes_refused += 1

    def recovered(self, runs: int) -> None:
        """An opening found runs that a crash had interrupted."""
        self._recovered += runs

    def event_dropped(self) -> None:
        """A stream dropped an event that its reader had not come to."""
        self._dropped_events += 1

    def loop_answered(self, seconds: float) -> None:
        """The event loop came to what was due after so long."""
        self._loop_lag.add(seconds)

    def loop_blocked(self) -> None:
        """The event loop stood still for too long."""
        self._loop_blocks += 1


def _closed() -> None:
    """Nothing stands while a scheduler is closed."""
