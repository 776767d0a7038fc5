"""What is due next, of many things that each wait for one time."""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Timers(Generic[T]):
    """Items by the soonest time each was set for."""

    def __init__(self) -> None:
        self._at: dict[T, int] = {}
        self._entries: list[tuple[int, int, T]] = []
        self._pushed = 0

    def set(self, item: T, at: int) -> None:
        """Have ``item`` due at ``at``, unless it is due sooner."""
        if self._at.get(item, at + 1) > at:
            self._at[item] = at
            self._pushed += 1
            heapq.heappush(self._entries, (at, self._pushed, item))

    def due(self, now: int) -> Iterator[T]:
        """Take out what is due by ``now``."""
        while (at := self.next()) is not None and at <= now:
            _, _, item = heapq.heappop(self._entries)
            del self._at[item]
            yield item

    def next(self) -> int | None:
        """When the next item is due."""
        entries = self._entries
        while entries and self._at.get(entries[0][2]) != entries[0][0]:
            heapq.heappop(entries)
        return entries[0][0] if entries else None
