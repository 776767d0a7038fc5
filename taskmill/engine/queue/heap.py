"""What has the smallest key, of many things whose keys change."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Generic, TypeAlias, TypeVar

T = TypeVar("T", bound=Hashable)

Entry: TypeAlias = tuple[Any, ...]
"""Of a heap: the parts of a key, a number that no other entry has, and what it is the key of."""

SLACK = 64
"""How much of what does not count any more is kept in any case."""


class Heap(Generic[T]):
    """Items by a key that may have changed since they were pushed.

    `key` says an item's present key, or None for one that does not belong here any more. An item
    whose key got smaller has to be pushed again; one whose key grew is put right when it is met.
    Each item has one entry that counts; those it had before are dropped when they are met.
    """

    __slots__ = ("_counts", "_key", "_limit", "_pushed", "entries")

    def __init__(self, key: Callable[[T], tuple[Any, ...] | None]) -> None:
        self._key = key
        self.entries: list[Entry] = []
        self._counts: dict[T, Entry] = {}
        self._pushed = 0
        self._limit = SLACK

    def push(self, item: T) -> None:
        """Enter an item under its present key."""
        key = self._key(item)
        if key is None:
            return
        entered = self._counts.get(item)
        if entered is not None and entered[:-2] <= key:
            return
        self._pushed += 1
        entry = self._counts[item] = (*key, self._pushed, item)
        heappush(self.entries, entry)
        if len(self.entries) > self._limit:
            self._compact()

    def peek(self) -> T | None:
        """The item with the smallest key."""
        entries, counts = self.entries, self._counts
        while entries:
            entry = entries[0]
            item: T = entry[-1]
            if counts.get(item) is not entry:
                heappop(entries)
                continue
            key = self._key(item)
            if key is None:
                heappop(entries)
                del counts[item]
            elif key < entry:  # it is how the entry begins, or smaller by now
                return item
            else:
                entry = counts[item] = key + entry[-2:]
                heapreplace(entries, entry)
        return None

    def _compact(self) -> None:
        """Drop what does not count, so that the heap stays as small as its items are many."""
        keys = ((entry, self._key(entry[-1])) for entry in self._counts.values())
        self.entries = [(*key, *entry[-2:]) for entry, key in keys if key is not None]
        self._counts = {entry[-1]: entry for entry in self.entries}
        heapify(self.entries)
        self._limit = SLACK + 2 * len(self.entries)

    def items(self) -> Iterable[T]:
        """Every item that belongs here."""
        return [item for item in self._counts if self._key(item) is not None]
