"""What a lane holds: one sorted window for each priority, on what the store holds behind it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from taskmill.rules.aging import AgeClock, AgingRule
from taskmill.rules.gates import Gate
from taskmill.rules.limits import Lane
from taskmill.rules.pauses import Pauses
from taskmill.rules.shares import Share

if TYPE_CHECKING:
    from taskmill.engine.queue.pools import Pool

WINDOW = 256
"""How many positions a level keeps after a refill; it holds up to twice as many."""

Position: TypeAlias = tuple[int, int]
"""(ready_at_ms, id): age order."""
Key: TypeAlias = tuple[int, int, int]
"""(effective priority, ready_at_ms, id): the order among heads."""

START: Position = (-(2**62), -1)
"""Before every position."""


@attrs.define
class Level:
    """One base priority of one lane: a sorted window on its oldest tasks, and their number."""

    window: list[Position] = attrs.field(factory=list[Position])
    count: int = 0
    tail: Position | None = None
    """Where the store holds more: the window has everything up to here."""
    refilling: bool = False

    def add(self, position: Position) -> None:
        """A task became ready; it stays in the store alone if it belongs behind the tail."""
        self.count += 1
        if self.tail is None or position <= self.tail:
            insort(self.window, position)
            self._trim()

    def remove(self, position: Position) -> bool:
        """A task left; return whether it was the head."""
        self.count -= 1
        at = bisect_left(self.window, position)
        if at < len(self.window) and self.window[at] == position:
            del self.window[at]
            return at == 0
        return False

    @property
    def is_short(self) -> bool:
        """Whether the store should be asked for more now."""
        return self.tail is not None and not self.refilling and len(self.window) < WINDOW // 4

    def refill(self, after: Position, positions: Sequence[Position], limit: int) -> None:
        """Take what the store held behind ``after``; void if the tail has moved since."""
        self.refilling = False
        if after != self.tail:
            return
        self.window.extend(positions)
        self.tail = positions[-1] if len(positions) == limit else None
        self._trim()

    def ahead_of(self, position: Position) -> int | None:
        """How many of its tasks go before this one; None for one that is beyond the window."""
        if self.tail is not None and position > self.tail:
            return None
        return bisect_left(self.window, position)

    def _trim(self) -> None:
        if len(self.window) > 2 * WINDOW:
            del self.window[WINDOW:]
            self.tail = self.window[-1]


class LaneQueue:
    """The ready tasks of one lane, and where the lane itself is."""

    __slots__ = (
        "_clock",
        "_clock_of",
        "base",
        "competes",
        "is_urgent",
        "key",
        "lane",
        "levels",
        "pool",
        "share",
        "woken_by",
    )

    def __init__(self, lane: Lane, share: Share) -> None:
        self.lane = lane
        self.share = share
        self.levels: dict[int, Level] = {}
        self.key: Key | None = None
        self.is_urgent = False
        """Whether its head goes before all shares."""
        self.base = 0
        """The base priority of its head."""
        self.pool: Pool | None = None
        """The open lanes, or those parked at one gate; None while no head is known."""
        self.woken_by: Gate | None = None
        self._clock: AgeClock | None = None
        self._clock_of = 0
        self.competes = False
        """Whether it counts as competing in the account of its group."""

    def find_head(self) -> None:
        """Find the best task that is in a window, where nothing ages."""
        self.key = None
        for base, level in self.levels.items():
            if level.window and (self.key is None or base < self.base):
                ready_at, task = level.window[0]
                self.base, self.key = base, (base, ready_at, task)

    def find_aged_head(self, aging: AgingRule, pauses: Pauses, now_ms: int) -> int | None:
        """Find the best task that is in a window, by effective priority.

        Return after how many milliseconds, at the soonest, that of any head changes.
        """
        age = self._clock
        if age is None or self._clock_of != pauses.changes:
            age = self._clock = pauses.age_clock(self.lane.kind.domain, self.lane.group)
            self._clock_of = pauses.changes
        best: Key | None = None
        soonest: int | None = None
        for base, level in self.levels.items():
            window = level.window
            if window:
                ready_at, task = window[0]
                effective, change = aging.aged(base, age.waited(ready_at, now_ms))
                key = (effective, ready_at, task)
                if best is None or key < best:
                    best, self.base = key, base
                if soonest is None or (change is not None and change < soonest):
                    soonest = change
        self.key = best
        return soonest


def levels_of(queues: Iterable[LaneQueue]) -> list[tuple[int, Level, LaneQueue]]:
    """The levels of lanes whose heads are known, with their base priorities, best first."""
    levels = [
        (priority, level.window[0], level, queue)
        for queue in queues
        for priority, level in queue.levels.items()
        if level.window
    ]
    levels.sort(key=lambda entry: entry[:2])
    return [(priority, level, queue) for priority, _, level, queue in levels]
