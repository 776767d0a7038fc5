"""Which lane goes first among those that are open, or that wait at one gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Generic, TypeVar

from taskmill.engine.queue.lanes import Key, LaneQueue
from taskmill.rules.gates import Gate
from taskmill.rules.shares import Share, Shares

T = TypeVar("T", bound=Hashable)

_SLACK = 64


class Heap(Generic[T]):
    """Items by a key of three parts that may have changed since they were pushed.

    `key` says an item's present key, or None for one that does not belong here any more. An item
    whose key got smaller has to be pushed again; one whose key grew is put right when it is met.
    Each item has one entry that counts; those it had before are dropped when they are met.
    """

    __slots__ = ("_counts", "_key", "_limit", "_pushed", "entries")

    def __init__(self, key: Callable[[T], tuple[Any, Any, Any] | None]) -> None:
        self._key = key
        self.entries: list[tuple[Any, Any, Any, int, T]] = []
        """A heap: the parts of the key, a number that no other entry has, the item."""
        self._counts: dict[T, tuple[Any, Any, Any, int, T]] = {}
        self._pushed = 0
        self._limit = _SLACK

    def push(self, item: T) -> None:
        """Enter an item under its present key."""
        key = self._key(item)
        if key is None:
            return
        entered = self._counts.get(item)
        if entered is not None and entered[:3] <= key:
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
            item = entry[4]
            if counts.get(item) is not entry:
                heappop(entries)
                continue
            key = self._key(item)
            if key is None:
                heappop(entries)
                del counts[item]
            elif key == entry[:3]:
                return item
            else:
                entry = counts[item] = (*key, entry[3], item)
                heapreplace(entries, entry)
        return None

    def pop(self) -> None:
        """Take the item out that `peek` returned."""
        del self._counts[heappop(self.entries)[4]]

    def _compact(self) -> None:
        """Drop what does not count, so that the heap stays as small as its items are many."""
        keys = ((entry, self._key(entry[4])) for entry in self._counts.values())
        self.entries = [(*key, entry[3], entry[4]) for entry, key in keys if key is not None]
        self._counts = {entry[4]: entry for entry in self.entries}
        heapify(self.entries)
        self._limit = _SLACK + 2 * len(self.entries)

    def items(self) -> Iterable[T]:
        """Every item that belongs here."""
        return [item for item in self._counts if self._key(item) is not None]


class Lanes:
    """The lanes of one group that are in one pool: most have one, which needs no heap."""

    __slots__ = ("_heap", "_one", "_pool")

    def __init__(self, pool: Pool, queue: LaneQueue) -> None:
        self._pool = pool
        self._one = queue
        self._heap: Heap[LaneQueue] | None = None

    def push(self, queue: LaneQueue) -> None:
        """A lane has a new key, or came in."""
        if self._heap is None:
            if queue is self._one or self._one.pool is not self._pool:
                self._one = queue
                return
            self._heap = Heap(self._key_of)
            self._heap.push(self._one)
        self._heap.push(queue)

    def first(self) -> LaneQueue | None:
        """The lane with the best head."""
        if self._heap is not None:
            return self._heap.peek()
        return self._one if self._one.pool is self._pool else None

    def all(self) -> Iterable[LaneQueue]:
        """Every lane."""
        if self._heap is not None:
            return self._heap.items()
        return [self._one] if self._one.pool is self._pool else []

    def _key_of(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self._pool else None


class Pool:
    """A set of lanes with an order: urgent heads, then groups below their minimum, then shares.

    Within a group the best head goes first. With shares off, all lanes are of one group.
    """

    def __init__(self, shares: Shares, gate: Gate | None = None) -> None:
        self.gate = gate
        """Where its lanes are parked; None for the open ones."""
        self._shares = shares
        self._lanes: dict[Share, Lanes] = {}
        self._urgent: Heap[LaneQueue] = Heap(self._urgent_key)
        self._needy: Heap[Share] = Heap(self._need_of)
        self._level: Heap[Share] = Heap(self._turn_of)
        self._ahead: Heap[Share] = Heap(self._value_of)
        self._now = 0
        self._many = _SLACK
        self._size = 0
        self._turn = 0
        self._gates: Counter[Gate] = Counter()

    # --- what is in it ---

    def enter(self, queue: LaneQueue) -> None:
        """A lane comes in."""
        self._size += 1
        if self.gate is not None:
            self._gates.update(queue.lane.gates)

    def leave(self, queue: LaneQueue) -> None:
        """A lane goes."""
        self._size -= 1
        if self.gate is not None:
            self._gates.subtract(queue.lane.gates)

    @property
    def is_empty(self) -> bool:
        """Whether no lane is in it."""
        return not self._size

    def all_face(self, gate: Gate) -> bool:
        """Whether every lane in it has to pass ``gate``."""
        return self._gates[gate] == self._size

    def push(self, queue: LaneQueue) -> None:
        """A lane of this pool has a new key."""
        lanes = self._lanes.get(queue.share)
        if lanes is None:
            if len(self._lanes) > self._many:
                self._lanes = {s: h for s, h in self._lanes.items() if h.first() is not None}
                self._many = _SLACK + 2 * len(self._lanes)
            self._lanes[queue.share] = Lanes(self, queue)
            if self.gate is not None:
                queue.share.turn = max(queue.share.turn, self._turn)
            self.note(queue.share)
        else:
            lanes.push(queue)
        if queue.is_urgent:
            self._urgent.push(queue)

    def note(self, share: Share) -> bool:
        """The account of a group has changed; return whether it may have lanes in it."""
        if share not in self._lanes:
            return False
        if self._shares.is_fair:
            if share.min_slots:
                self._needy.push(share)
            self._ahead.push(share)
        return True

    def lanes(self) -> list[LaneQueue]:
        """Every lane in it."""
        return [queue for lanes in self._lanes.values() for queue in lanes.all()]

    # --- the best ---

    def best(self, now_ns: int, *, raises_floor: bool = False) -> LaneQueue | None:
        """The lane that goes first. Among the open lanes this raises the floor of the shares."""
        if not self._shares.is_fair:
            return (self._urgent.peek() if self._urgent.entries else None) or self._first_of_any()
        self._now = now_ns
        best = self._next_of_shares(raises_floor=raises_floor)
        if self._urgent.entries and (urgent := self._urgent.peek()) is not None:
            return urgent
        while self._needy.entries and (needy := self._needy.peek()) is not None:
            first = self._first_of(needy)
            if first is not None:
                return first
        return best

    def has_woken(self, share: Share) -> None:
        """A lane of this group was the best: who comes later starts from its turn, not before."""
        self._turn = max(self._turn, share.turn)

    def raise_floor(self, now_ns: int) -> None:
        """Raise the floor of the shares to the smallest value of the groups in it."""
        self._now = now_ns
        self._next_of_shares(raises_floor=True)

    def _next_of_shares(self, *, raises_floor: bool) -> LaneQueue | None:
        """The first lane of the group with the smallest value; all at the floor are equal."""
        shares = self._shares
        ahead, level = self._ahead, self._level
        next_ahead = ahead.peek()
        while next_ahead is not None and ahead.entries[0][0] <= shares.floor:
            ahead.pop()
            level.push(next_ahead)
            next_ahead = ahead.peek()
        while level.entries and (share := level.peek()) is not None:
            if shares.value(share, self._now) > shares.floor:
                level.pop()
                ahead.push(share)
                next_ahead = ahead.peek()
            elif (first := self._first_of(share)) is not None:
                return first
        while next_ahead is not None:
            if (first := self._first_of(next_ahead)) is not None:
                if raises_floor:
                    shares.raise_floor(ahead.entries[0][0])
                return first
            next_ahead = ahead.peek()
        return None

    def _first_of(self, share: Share) -> LaneQueue | None:
        """The first lane of a group; one that has none is forgotten."""
        first = self._lanes[share].first()
        if first is None:
            del self._lanes[share]
        return first

    def _first_of_any(self) -> LaneQueue | None:
        for share in list(self._lanes):
            first = self._first_of(share)
            if first is not None:
                return first
        return None

    # --- the keys of its heaps ---

    def _urgent_key(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self and queue.is_urgent else None

    def _need_of(self, share: Share) -> tuple[float, int, str] | None:
        need = self._shares.need(share) if share in self._lanes else None
        return None if need is None else (need[0], 0, need[1])

    def _turn_of(self, share: Share) -> tuple[int, float, str] | None:
        if share not in self._lanes:
            return None
        turn = 0 if self.gate is None else self._shares.turn(share, self._now)
        return turn, share.held / share.weight, share.name

    def _value_of(self, share: Share) -> tuple[int, float, str] | None:
        if share not in self._lanes:
            return None
        if not share.held:  # as most groups of many
            return share.paid, 0.0, share.name
        return self._shares.value(share, self._now), share.held / share.weight, share.name
