"""Under what conditions something is measured, and what one measurement gives."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Iterable
from pathlib import Path
from time import perf_counter, process_time

import attrs

from taskmill.store.sqlite.store import Durability

SETTLED = 0.005
"""Seconds in which nothing happens before a latency is taken, of a scheduler or of a floor."""


class Unit(enum.StrEnum):
    """What a figure counts."""

    RATE = "1/s"
    MS = "ms"
    PERCENT = "%"

    @property
    def more_is_better(self) -> bool:
        """Whether the higher figure is the faster one."""
        return self is Unit.RATE


@attrs.frozen(kw_only=True)
class Setting:
    """What a scenario and its floors have in common."""

    folder: Path
    """Empty, and theirs alone."""
    n: int
    concurrency: int
    durability: Durability
    in_memory: bool
    uvloop: bool = False
    """On uvloop's event loop in place of asyncio's own."""

    @property
    def database(self) -> str:
        """Where the database is."""
        return ":memory:" if self.in_memory else str(self.folder / "bench.db")


@attrs.frozen(kw_only=True)
class Sample:
    """One run of a scenario or a floor."""

    n: int
    value: float
    p99: float | None = None
    cpu_us: float | None = None
    """CPU time of all threads for each task, in microseconds; None where it was not taken."""
    problem: str | None = None
    """What is wrong with the run; None where every task ran exactly once."""


class Stopwatch:
    """Begins when it is made, and takes the time that ``n`` tasks need."""

    def __init__(self) -> None:
        self._since = perf_counter()
        self._used = process_time()

    def sample(self, n: int) -> Sample:
        """Tasks a second until now, and the CPU time of each."""
        used = process_time() - self._used
        return Sample(n=n, value=rate(n, perf_counter() - self._since), cpu_us=used / n * 1e6)


def rate(n: int, seconds: float) -> float:
    """How many of ``n`` a second holds."""
    return n / max(seconds, 1e-9)


def percentiles(seconds: Iterable[float]) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    late = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return statistics.median(ordered) * 1e3, late * 1e3
