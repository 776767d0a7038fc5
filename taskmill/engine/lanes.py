"""What a lane holds: one sorted window for each priority, on what the store holds behind it."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Sequence
from typing import TypeAlias

import attrs

from taskmill.rules.gates import Gate, Lane

WINDOW = 256
"""How many positions a level keeps after a refill; it holds up to twice as many."""

Position: TypeAlias = tuple[int, int]
"""(ready_at_ms, id): age order."""
Key: TypeAlias = tuple[int, int, int]
"""(priority, ready_at_ms, id): the order among heads."""

START: Position = (-1, -1)


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

    def _trim(self) -> None:
        if len(self.window) > 2 * WINDOW:
            del self.window[WINDOW:]
            self.tail = self.window[-1]


class LaneQueue:
    """The ready tasks of one lane, and where the lane itself is."""

    __slots__ = ("key", "lane", "levels", "parked_at", "woken_by")

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.levels: dict[int, Level] = {}
        self.key: Key | None = None
        self.parked_at: Gate | None = None
        self.woken_by: Gate | None = None

    def find_head(self) -> Key | None:
        """The best task that is in a window."""
        best = min((p for p, level in self.levels.items() if level.window), default=None)
        if best is None:
            return None
        return (best, *self.levels[best].window[0])


class LaneHeap:
    """Lanes by the key of their head. Entries whose lane has moved on are dropped when met."""

    def __init__(self, is_current: Callable[[LaneQueue], bool]) -> None:
        self._is_current = is_current
        self._entries: list[tuple[Key, int, LaneQueue]] = []
        self._limit = 64
        self._pushed = 0

    def push(self, queue: LaneQueue) -> None:
        """Enter a lane under its present key."""
        if queue.key is None:
            return
        self._pushed += 1
        heapq.heappush(self._entries, (queue.key, self._pushed, queue))
        if len(self._entries) > self._limit:
            self._compact()

    def peek(self) -> LaneQueue | None:
        """The lane with the best head."""
        while self._entries:
            key, _, queue = self._entries[0]
            if queue.key == key and self._is_current(queue):
                return queue
            heapq.heappop(self._entries)
        return None

    def pop(self) -> LaneQueue | None:
        """Take the lane with the best head out."""
        queue = self.peek()
        if queue is not None:
            heapq.heappop(self._entries)
        return queue

    def _compact(self) -> None:
        """Drop the stale and repeated entries, so that the heap stays as small as its lanes."""
        current = {
            id(entry[2]): entry
            for entry in self._entries
            if entry[2].key == entry[0] and self._is_current(entry[2])
        }
        self._entries = list(current.values())
        heapq.heapify(self._entries)
        self._limit = 64 + 2 * len(self._entries)
