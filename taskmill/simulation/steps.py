"""How a number changed over time, and what it was on average."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence


class Steps:
    """A number that starts at zero and changes at moments; times in virtual nanoseconds."""

    __slots__ = ("_times", "_values")

    def __init__(self) -> None:
        self._times = array("q", [0])
        self._values = array("q", [0])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Steps):
            return NotImplemented
        return self._times == other._times and self._values == other._values

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Steps({len(self._times)} moments, now {self.now})"

    @property
    def now(self) -> int:
        """The latest value."""
        return self._values[-1]

    @property
    def most(self) -> int:
        """The largest value that held for any time."""
        return max(self._values)

    @property
    def times_ns(self) -> Sequence[int]:
        """When it changed."""
        return self._times

    @property
    def values(self) -> Sequence[int]:
        """What it was from each of these times on."""
        return self._values

    def add(self, change: int, at_ns: int) -> None:
        """It changes; of several changes at one moment only their sum is seen."""
        value = self._values[-1] + change
        if self._times[-1] == at_ns:
            self._values[-1] = value
        else:
            self._times.append(at_ns)
            self._values.append(value)

    def at(self, moment_ns: int) -> int:
        """What it is after what happens at a moment."""
        return self._values[bisect_right(self._times, moment_ns) - 1]

    def total(self, end_ns: int) -> int:
        """Its sum over time until ``end_ns``, in nanoseconds."""
        ends = [*self._times[1:], end_ns]
        spans = zip(self._times, ends, self._values, strict=True)
        return sum(max(0, min(end, end_ns) - start) * value for start, end, value in spans)

    def means(self, end_ns: int, intervals: int) -> list[float]:
        """Its average over each of so many equal intervals until ``end_ns``."""
        sums = [0.0] * intervals
        width = end_ns / intervals
        if not width:
            return sums
        ends = [*self._times[1:], end_ns]
        for start, end, value in zip(self._times, ends, self._values, strict=True):
            if not value or start >= end_ns:
                continue
            first, last = int(start / width), min(int(end / width), intervals - 1)
            for number in range(first, last + 1):
                covered = min(end, (number + 1) * width) - max(start, number * width)
                sums[number] += max(0.0, covered) * value
        return [total / width for total in sums]
