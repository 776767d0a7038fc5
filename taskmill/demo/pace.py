"""How fast a run is and how long it will take: from counts and clock readings to rates."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from typing import final

import attrs

from taskmill.demo.tally import Figures, Stage

WINDOW = 10.0
"""Seconds over which a rate is taken."""


@attrs.frozen(kw_only=True)
class Rates:
    """Per second. ``left`` is None where nobody can know: before the listing is whole."""

    files: float
    bytes: float
    tasks: float
    left: timedelta | None


@final
class Pace:
    """The rates of the last few seconds."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, Figures]] = deque()
        self._best = 0.0

    def rates(self, figures: Figures, seconds: float) -> Rates:
        """Take the counts at ``seconds`` on any clock that only goes forward."""
        self._readings.append((seconds, figures))
        while len(self._readings) > 2 and seconds - self._readings[1][0] >= WINDOW:
            self._readings.popleft()
        began, first = self._readings[0]
        span = seconds - began

        def per_second(before: int, now: int) -> float:
            return (now - before) / span if span > 0 else 0.0

        tasks = per_second(first.tasks, figures.tasks)
        size = per_second(first.bytes_read, figures.bytes_read)
        # Among small files few bytes are read, which says nothing about the large ones to come.
        self._best = max(self._best, size)
        return Rates(
            files=per_second(first.files, figures.files),
            bytes=size,
            tasks=tasks,
            left=_time_left(figures, tasks, self._best) if figures.is_listed else None,
        )


def _time_left(figures: Figures, tasks: float, size: float) -> timedelta | None:
    """The longer of what the files and what the bytes will take; small files cost by number."""
    bar = figures.bars[Stage.DIGEST]
    by_number = _quotient(bar.known - bar.done, tasks)
    by_size = _quotient(figures.bytes_wanted - figures.bytes_read, size)
    if by_number is None or by_size is None:
        return None
    return timedelta(seconds=max(by_number, by_size))


def _quotient(amount: int, rate: float) -> float | None:
    if amount <= 0:
        return 0.0
    return amount / rate if rate > 0 else None
