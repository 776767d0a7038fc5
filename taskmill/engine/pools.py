"""Which lane goes first among those that are open, or that wait at one gate."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, Generic, TypeVar

from taskmill.engine.lanes import Key, LaneQueue
from taskmill.rules.gates import Gate
from taskmill.rules.shares import Share, Shares

T = TypeVar("T", bound=Hashable)

_SLACK = 64


class Heap(Generic[T]):
    """Items by a key that may have changed since they were pushed.

    `key` says an item's present key, or None for one that does not belong here any more. An item
    whose key got smaller has to be pushed again; one whose key grew is put right when it is met.
    Each item has one entry that counts; those it had before are dropped when they are met.
    """

    __slots__ = ("_counts", "_entries", "_key", "_limit", "_pushed")

    def __init__(self, key: Callable[[T], Any]) -> None:
        self._key = key
        self._entries: list[tuple[Any, int, T]] = []
        self._counts: dict[T, tuple[Any, int]] = {}
        self._pushed = 0
        self._limit = _SLACK

    def __bool__(self) -> bool:
        return bool(self._entries)

    def push(self, item: T) -> None:
        """Enter an item under its present key."""
        key = self._key(item)
        entered = self._counts.get(item)
        if key is None or (entered is not None and entered[0] <= key):
            return
        self._pushed += 1
        self._counts[item] = (key, self._pushed)
        heapq.heappush(self._entries, (key, self._pushed, item))
        if len(self._entries) > self._limit:
            self._compact()

    def peek(self) -> T | None:
        """The item with the smallest key."""
        entries, counts = self._entries, self._counts
        while entries:
            stored, pushed, item = entries[0]
            entered = counts.get(item)
            if entered is None or entered[1] != pushed:
                heapq.heappop(entries)
                continue
            key = self._key(item)
            if key == stored:
                return item
            if key is None:
                heapq.heappop(entries)
                del counts[item]
            else:
                counts[item] = (key, pushed)
                heapq.heapreplace(entries, (key, pushed, item))
        return None

    def top(self) -> Any:
        """The key of the item that `peek` returned."""
        return self._entries[0][0]

    def pop(self) -> None:
        """Take the item out that `peek` returned."""
        _, _, item = heapq.heappop(self._entries)
        del self._counts[item]

    def _compact(self) -> None:
        """Drop what does not count, so that the heap stays as small as its items are many."""
        keys = ((item, self._key(item), pushed) for item, (_, pushed) in self._counts.items())
        self._entries = [(key, pushed, item) for item, key, pushed in keys if key is not None]
        self._counts = {item: (key, pushed) for key, pushed, item in self._entries}
        heapq.heapify(self._entries)
        self._limit = _SLACK + 2 * len(self._entries)

    def items(self) -> Iterable[T]:
        """Every item that belongs here."""
        return [item for item in self._counts if self._key(item) is not None]


class Pool:
    """A set of lanes with an order: urgent heads, then groups below their minimum, then shares.

    Within a group the best head goes first. With shares off, all lanes are of one group.
    """

    def __init__(self, shares: Shares, gate: Gate | None = None) -> None:
        self.gate = gate
        """Where its lanes are parked; None for the open ones."""
        self._shares = shares
        self._lanes: dict[Share, Heap[LaneQueue]] = {}
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
                self._lanes = {s: h for s, h in self._lanes.items() if h.peek() is not None}
                self._many = _SLACK + 2 * len(self._lanes)
            lanes = self._lanes[queue.share] = Heap(self._key_of)
            if self.gate is not None:
                queue.share.turn = max(queue.share.turn, self._turn)
            self.note(queue.share)
        lanes.push(queue)
        if queue.is_urgent:
            self._urgent.push(queue)

    def note(self, share: Share) -> None:
        """The account of a group has changed."""
        if self._shares.is_fair and share in self._lanes:
            if share.min_slots:
                self._needy.push(share)
            self._ahead.push(share)

    def lanes(self) -> list[LaneQueue]:
        """Every lane in it."""
        return [queue for lanes in self._lanes.values() for queue in lanes.items()]

    def has(self, share: Share) -> bool:
        """Whether the group may have lanes in it."""
        return share in self._lanes

    # --- the best ---

    def best(self, now_ns: int, *, raises_floor: bool = False) -> LaneQueue | None:
        """The lane that goes first. Among the open lanes this raises the floor of the shares."""
        if not self._shares.is_fair:
            return (self._urgent.peek() if self._urgent else None) or self._first_of_any()
        self._now = now_ns
        best = self._next_of_shares(raises_floor=raises_floor)
        if self._urgent and (urgent := self._urgent.peek()) is not None:
            return urgent
        while self._needy and (needy := self._needy.peek()) is not None:
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
        while next_ahead is not None and ahead.top()[0] <= shares.floor:
            ahead.pop()
            level.push(next_ahead)
            next_ahead = ahead.peek()
        while level and (share := level.peek()) is not None:
            if shares.value(share, self._now) > shares.floor:
                level.pop()
                ahead.push(share)
                next_ahead = ahead.peek()
            elif (first := self._first_of(share)) is not None:
                return first
        while next_ahead is not None:
            if (first := self._first_of(next_ahead)) is not None:
                if raises_floor:
                    shares.raise_floor(ahead.top()[0])
                return first
            next_ahead = ahead.peek()
        return None

    def _first_of(self, share: Share) -> LaneQueue | None:
        """The first lane of a group; one that has none is forgotten."""
        first = self._lanes[share].peek()
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

    def _key_of(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self else None

    def _urgent_key(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self and queue.is_urgent else None

    def _need_of(self, share: Share) -> tuple[float, str] | None:
        return self._shares.need(share) if share in self._lanes else None

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
