"""How waiting makes a task more urgent, and how long it has waited."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import TypeAlias

from taskmill.model.sharing import Aging
from taskmill.model.times import MILLISECOND

Interval: TypeAlias = tuple[int, int]
"""From (included) and to (excluded), in milliseconds since 1970."""


class AgingRule:
    """`Aging` in milliseconds; ``None`` is a rule by which nothing ages."""

    __slots__ = ("ceiling", "grace", "is_on", "policy", "step", "urgent")

    def __init__(self, aging: Aging | None) -> None:
        self.policy = aging
        self.is_on = aging is not None
        aging = aging or Aging()
        self.grace = aging.grace // MILLISECOND
        self.step = aging.step // MILLISECOND
        self.ceiling = aging.ceiling
        self.urgent = -1 if aging.urgent is None else aging.urgent
        """From this effective priority on it goes before all shares; -1: never."""

    def aged(self, base: int, waited: int) -> tuple[int, int | None]:
        """The priority after so many milliseconds of waiting, and after how many more it changes.

        It is never worse than the base; None where it does not change any more.
        """
        if not self.is_on or base <= self.ceiling:
            return base, None
        aged = waited - self.grace
        if aged < self.step:
            return base, self.step - aged
        steps = aged // self.step
        effective = base - steps
        if effective <= self.ceiling:
            return self.ceiling, None
        return effective, (steps + 1) * self.step - aged

    def effective(self, base: int, waited: int) -> int:
        """The priority after so many milliseconds of waiting."""
        return self.aged(base, waited)[0]


class AgeClock:
    """The time that counts as waiting: all but the closed and open pauses it is told of.

    The intervals may overlap; their union counts once.
    """

    __slots__ = ("_before", "_ends", "_starts", "_total")

    def __init__(self, pauses: Iterable[Interval]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._before: list[int] = []
        """How much was paused before each interval."""
        self._total = total = 0
        for start, end in sorted(pauses):
            if self._ends and start <= self._ends[-1]:
                longer = end - self._ends[-1]
                if longer > 0:
                    self._ends[-1] = end
                    total += longer
            elif end > start:
                self._before.append(total)
                self._starts.append(start)
                self._ends.append(end)
                total += end - start
        self._total = total

    def waited(self, ready_at: int, now: int) -> int:
        """For how many milliseconds a task has waited that became ready at ``ready_at``."""
        if not self._starts or self._ends[-1] <= ready_at:
            return now - ready_at if now > ready_at else 0
        paused = self._paused_until(now) - self._paused_until(ready_at)
        return max(0, now - ready_at - max(0, paused))

    def _paused_until(self, moment: int) -> int:
        if moment <= self._starts[0]:
            return 0
        if moment >= self._ends[-1]:
            return self._total
        at = bisect_right(self._starts, moment) - 1
        return self._before[at] + min(moment, self._ends[at]) - self._starts[at]
