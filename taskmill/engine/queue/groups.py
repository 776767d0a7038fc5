"""Which group goes first among those that have lanes in one pool."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, TypeAlias

from taskmill.engine.queue.heap import SLACK, Entry, Heap
from taskmill.engine.queue.lanes import Key, LaneQueue
from taskmill.rules.shares import Share, Shares

Place: TypeAlias = tuple[Any, ...]
"""What groups are ordered by."""


class Lanes:
    """The lanes of one group that are in one pool: most have one, which needs no heap."""

    __slots__ = ("_pool", "entry", "heap", "one", "share")

    def __init__(self, pool: object, queue: LaneQueue) -> None:
        self._pool = pool
        self.share = queue.share
        self.one = queue
        """The only one, which may have left the pool; of no account where there is a heap."""
        self.heap: Heap[LaneQueue] | None = None
        self.entry: Entry | None = None
        """Its entry in the order of the groups, where shares are on."""

    def push(self, queue: LaneQueue) -> None:
        """A lane has a new key, or came in."""
        if self.heap is None:
            if queue is self.one or self.one.pool is not self._pool:
                self.one = queue
                return
            self.heap = Heap(self._key_of)
            self.heap.push(self.one)
        self.heap.push(queue)

    def first(self) -> LaneQueue | None:
        """The lane with the best head."""
        if self.heap is not None:
            return self.heap.peek()
        return self.one if self.one.pool is self._pool else None

    def all(self) -> Iterable[LaneQueue]:
        """Every lane."""
        if self.heap is not None:
            return self.heap.items()
        return [self.one] if self.one.pool is self._pool else []

    def _key_of(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self._pool else None


class Groups:
    """The groups of one pool, by the order of shares.

    A group has one entry that counts, under a place that may be earlier than its own: it is put
    right when it is met there, and has to be ranked again where it may go sooner. One that has no
    lanes any more is forgotten when that is seen.
    """

    def __init__(self, pool: object, shares: Shares, *, by_turns: bool) -> None:
        self._pool = pool
        self._shares = shares
        self._by_turns = by_turns
        self._place = self._turn_of if by_turns else self._place_of
        self._lanes: dict[Share, Lanes] = {}
        self._most = SLACK
        self._entries: list[Entry] = []
        self._pushed = 0
        self._limit = SLACK
        self._turn = 0
        self.now = 0
        """The time of the monotonic clock, in nanoseconds, at which they are compared."""
        self.tick = 0
        """That of the group that was `first` when it was last asked for."""

    def put(self, queue: LaneQueue) -> Lanes:
        """A lane of the pool has a new key, or came in; return all lanes of its group."""
        lanes = self._lanes.get(queue.share)
        if lanes is None:
            if len(self._lanes) > self._most:
                self._forget_all_gone()
            lanes = self._lanes[queue.share] = Lanes(self._pool, queue)
            if self._by_turns:
                queue.share.turn = max(queue.share.turn, self._turn)
        else:
            lanes.push(queue)
        return lanes

    def find(self, share: Share) -> Lanes | None:
        """The lanes of a group, if it may have some."""
        return self._lanes.get(share)

    def all(self) -> Collection[Lanes]:
        """The lanes of every group that may have some."""
        return self._lanes.values()

    def has_woken(self, share: Share) -> None:
        """A group had its turn: who comes later starts from there, not before."""
        self._turn = max(self._turn, share.turn)

    # --- the order ---

    def rank(self, lanes: Lanes) -> bool:
        """A group may go sooner than it did; return whether it has lanes."""
        queue = lanes.first()
        if queue is None or queue.key is None:
            self.forget(lanes)
            return False
        place = self._place(lanes.share, queue.key, ())
        if lanes.entry is None or place < lanes.entry[:-2]:
            self._pushed += 1
            lanes.entry = (*place, self._pushed, lanes)
            heappush(self._entries, lanes.entry)
            if len(self._entries) > self._limit:
                self._compact()
        return True

    def account_changed(self, lanes: Lanes) -> bool:
        """A group has used or been given back slot time; return whether it may have lanes."""
        entry, share = lanes.entry, lanes.share
        if self._by_turns or entry is None or entry[1] or entry[0] > self._shares.least_tick(share):
            return self.rank(lanes)
        return True

    def first(self) -> LaneQueue | None:
        """The first lane of the group that goes first."""
        entries = self._entries
        while entries:
            entry = entries[0]
            lanes: Lanes = entry[-1]
            if lanes.entry is not entry:
                heappop(entries)
                continue
            queue = lanes.one if lanes.heap is None else lanes.heap.peek()
            key = queue.key if queue is not None and queue.pool is self._pool else None
            if key is None:
                self.forget(lanes)
                continue
            place = self._place(lanes.share, key, entry)
            if place < entry:  # it is how the entry begins, or it may go sooner by now
                self.tick = place[0]
                return queue
            lanes.entry = place + entry[-2:]
            heapreplace(entries, lanes.entry)
        return None

    def forget(self, lanes: Lanes) -> None:
        """A group has no lanes here any more."""
        lanes.entry = None
        del self._lanes[lanes.share]

    def _forget_all_gone(self) -> None:
        for lanes in list(self._lanes.values()):
            if lanes.first() is None:
                self.forget(lanes)
        self._most = SLACK + 2 * len(self._lanes)

    def _compact(self) -> None:
        """Drop what does not count, so that there are no more entries than groups, but for some."""
        self._entries = [entry for entry in self._entries if entry[-1].entry is entry]
        heapify(self._entries)
        self._limit = SLACK + 2 * len(self._entries)

    # --- places ---

    def _place_of(self, share: Share, key: Key, entry: Entry) -> Place:
        """Groups that are level go by the fewest slots held, then by their best heads.

        A group is first met where it would be if it held nothing: most have left their slots by
        then, and need not be moved for that.
        """
        place = (self._shares.least_tick(share), 0.0) + key  # noqa: RUF005 - half the time
        if share.held and entry >= place:
            return (self._shares.tick(share, self.now), share.held / share.weight, *key)
        return place

    def _turn_of(self, share: Share, key: Key, _: Entry) -> Place:
        """The same at a gate: level are all whom its being closed has kept behind, and they go by
        their turns first."""
        tick, turn = self._shares.tick(share, self.now), self._shares.turn(share, self.now)
        return (tick, turn, share.held / share.weight, *key)
