"""What is counted of a scheduler, and how it stands: the values of `Scheduler.metrics`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import attrs

from taskmill.model.events import InterruptCause
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.status import TaskStatus

UNREGISTERED = "(not registered)"
"""The type, and the domain, under which all types count that no domain here has."""


@attrs.frozen(kw_only=True)
class Histogram:
    """How often a measured value fell between which bounds."""

    bounds: tuple[float, ...]
    """Upper bounds, each part of its own bucket, in order."""
    counts: tuple[int, ...]
    """One for each bound, not cumulative, and one for what exceeds them all."""
    sum: float

    @property
    def count(self) -> int:
        """How many values were measured."""
        return sum(self.counts)


@attrs.frozen(kw_only=True)
class TypeMetrics:
    """What was counted of the tasks of one type."""

    domain: str
    type: str
    submitted: Mapping[SubmitOutcome, int]
    """Submits by what came of them, those of schedules too; one of many tasks counts each."""
    started: int
    """Runs whose handler was called: attempts, ``finalize`` and ``on_cancel``."""
    ended: Mapping[TaskStatus, int]
    """Tasks by the state in which they ended."""
    retried: int
    """Attempts that failed and are followed by another one."""
    interrupted: Mapping[InterruptCause, int]
    """Runs that did not count as an attempt, by the reason."""
    preempted: int
    """Runs that made room for something more urgent; they did not count either."""
    revived: int
    """Tasks that had ended and were made active again."""
    run: Histogram
    """Seconds from the slot a run took to the end of its handler."""
    wait: Histogram
    """Seconds from ready to the first start."""


@attrs.frozen(kw_only=True)
class ExecutorMetrics:
    """What was counted of the runs on one executor."""

    name: str
    runs: int
    """Runs that have ended, however they did."""
    busy: timedelta
    """The time that they held a slot."""


@attrs.frozen(kw_only=True)
class TypeStanding:
    """How the tasks of one type stand that run or are ready to."""

    domain: str
    type: str
    running: int
    ready: int
    """Ready tasks under no pause; what waits for a later time is not ready."""
    paused: int
    """Ready tasks under a pause."""
    oldest_ready: timedelta | None
    """How long the oldest ready task under no pause has been ready; None where none is known."""
    oldest_paused: timedelta | None
    """The same of those under a pause."""


@attrs.frozen(kw_only=True)
class ExecutorStanding:
    """How one executor is used."""

    name: str
    running: int
    capacity: int | None


@attrs.frozen(kw_only=True)
class Standing:
    """How an open scheduler stands, as far as its memory knows."""

    max_concurrency: int
    types: tuple[TypeStanding, ...]
    executors: tuple[ExecutorStanding, ...]


@attrs.frozen(kw_only=True)
class Metrics:
    """What a scheduler has counted since it was made, over all its openings, and how it stands."""

    types: tuple[TypeMetrics, ...]
    """By name; what is not registered last, under `UNREGISTERED`, where there was any."""
    executors: tuple[ExecutorMetrics, ...]
    held: Mapping[str, int]
    """How often the dispatcher looked at work that could run but for a gate, by the gate's kind.

    A lane that is held (the tasks of one type and group) counts once, and again when its gate has
    had room and holds it anew. The cap and the pause of the scheduler count once for each look.
    """
    commit: Histogram
    """Seconds that the transactions of the scheduler took, of those that worked."""
    batch: Histogram
    """Changes in each of them."""
    commit_failures: int
    """Transactions that failed as a whole."""
    changes_refused: int
    """Changes that the database refused alone."""
    recovered: int
    """Runs that a crash had interrupted, found at an opening."""
    dropped_events: int
    """Events that streams dropped, for their readers were too slow."""
    loop_lag: Histogram
    """Seconds in which the event loop came to what was due; measured while handlers run."""
    loop_blocks: int
    """How often it stood still for longer than ``loop_limit``."""
    now: Standing | None
    """How the scheduler stands; None while it is closed."""
