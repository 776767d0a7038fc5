"""Which task arrives when, and how long it will run: the same for a seed, whatever is decided."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import timedelta
from itertools import count, repeat
from random import Random
from typing import NamedTuple, assert_never

from taskmill.model.changes import Ready
from taskmill.model.record import TaskId
from taskmill.simulation.workload import (
    Arrivals,
    Backlog,
    Clients,
    Constant,
    Exponential,
    RunTime,
    Spacing,
    Stream,
    Uniform,
    Workload,
)

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
_MICROSECOND = timedelta(microseconds=1)


class Task(NamedTuple):
    """One simulated task. Times are virtual nanoseconds."""

    ready: Ready
    at_ns: int
    """When it arrived."""
    run_ns: int
    """How long it runs when nothing interrupts it."""
    source: int
    """The number of the arrivals it came with."""


class Sources:
    """All arrivals of a workload, in order of time.

    Each has a generator of its own, so that another rate of one changes nothing for the others,
    and other weights change nothing at all: what differs between two outcomes was decided.
    """

    def __init__(self, workload: Workload, rng: Random) -> None:
        self._sources = [
            _Source(arrivals, workload.types[arrivals.type].domain, Random(rng.getrandbits(64)))  # noqa: S311 - no secret
            for arrivals in workload.arrivals
        ]
        self._next: list[tuple[int, int]] = []
        self._ids = count(1)
        for number, source in enumerate(self._sources):
            when = source.when
            if isinstance(when, Clients):
                self._next += repeat((nanoseconds(when.start), number), when.count)
            else:
                self._push(number)
        heapq.heapify(self._next)

    @property
    def next_ns(self) -> int | None:
        """When the next task arrives."""
        return self._next[0][0] if self._next else None

    def take(self) -> Task:
        """The task that arrives next."""
        at_ns, number = heapq.heappop(self._next)
        source = self._sources[number]
        self._push(number)
        ready = Ready(*source.place, at_ns // MILLISECOND, TaskId(next(self._ids)))
        return Task(ready, at_ns, source.draw(), number)

    def ended(self, task: Task, now_ns: int) -> None:
        """A task ran to its end: a client that waited for it goes on."""
        when = self._sources[task.source].when
        if isinstance(when, Clients):
            at_ns = now_ns + nanoseconds(when.think)
            if when.until is None or at_ns < nanoseconds(when.until):
                heapq.heappush(self._next, (at_ns, task.source))

    def _push(self, number: int) -> None:
        at_ns = next(self._sources[number].times, None)
        if at_ns is not None:
            heapq.heappush(self._next, (at_ns, number))


class _Source:
    """One of the arrivals, with its generator."""

    def __init__(self, arrivals: Arrivals, domain: str, rng: Random) -> None:
        self.when = arrivals.when
        self.place = (f"{domain}::{arrivals.type}", arrivals.group, arrivals.priority)
        self.times = _times(arrivals.when, rng)
        self._runs = arrivals.runs
        self._rng = rng

    def draw(self) -> int:
        """How long the next run takes."""
        return max(1, _draw(self._runs, self._rng))


def _times(when: Backlog | Stream | Clients, rng: Random) -> Iterator[int]:
    match when:
        case Backlog():
            yield from repeat(nanoseconds(when.at), when.count)
        case Stream():
            yield from _stream(when, rng)
        case Clients():
            return
        case _:
            assert_never(when)


def _stream(when: Stream, rng: Random) -> Iterator[int]:
    start = nanoseconds(when.start)
    until = None if when.until is None else nanoseconds(when.until)
    elapsed = rng.expovariate(when.rate) if when.spacing is Spacing.POISSON else 0.0
    for number in count(1):
        at_ns = start + round(elapsed * SECOND)
        if until is not None and at_ns >= until:
            return
        yield at_ns
        if when.spacing is Spacing.POISSON:
            elapsed += rng.expovariate(when.rate)
        else:
            elapsed = number / when.rate


def _draw(runs: RunTime, rng: Random) -> int:
    match runs:
        case Constant(length=length):
            return nanoseconds(length)
        case Uniform(least=least, most=most):
            return round(rng.uniform(nanoseconds(least), nanoseconds(most)))
        case Exponential(mean=mean):
            return round(rng.expovariate(1.0) * nanoseconds(mean))
        case _:
            assert_never(runs)


def nanoseconds(length: timedelta) -> int:
    """A length in nanoseconds."""
    return length // _MICROSECOND * 1000
