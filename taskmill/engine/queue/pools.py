"""Which lane goes first among those that are open, or that wait at one gate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any, Generic, TypeAlias, TypeVar

from taskmill.engine.queue.lanes import Key, LaneQueue
from taskmill.rules.gates import Gate
from taskmill.rules.shares import Share, Shares

T = TypeVar("T", bound=Hashable)

Entry: TypeAlias = tuple[Any, ...]
"""Of a heap: a key, and behind it what it is the key of."""

_SLACK = 64

_GONE = (-1,)
"""Before every place: a group without lanes is to be met and forgotten at once."""


class Heap(Generic[T]):
    """Items by a key that may have changed since they were pushed.

    `key` says an item's present key, or None for one that does not belong here any more. An item
    whose key got smaller has to be pushed again; one whose key grew is put right when it is met.
    With the entry under which it is met, `key` may say less than its present key, for as long as
    that is beyond the entry. Each item has one entry that counts; those it had before are dropped
    when they are met.
    """

    __slots__ = ("_counts", "_key", "_limit", "_pushed", "entries")

    def __init__(self, key: Callable[[T, Entry], tuple[Any, ...] | None]) -> None:
        self._key = key
        self.entries: list[Entry] = []
        """A heap: the parts of the key, a number that no other entry has, the item."""
        self._counts: dict[T, Entry] = {}
        self._pushed = 0
        self._limit = _SLACK

    def push(self, item: T) -> None:
        """Enter an item under its present key."""
        key = self._key(item, ())
        if key is None:
            return
        entered = self._counts.get(item)
        if entered is not None and entered[:-2] <= key:
            return
        self._pushed += 1
        entry = self._counts[item] = key + (self._pushed, item)  # noqa: RUF005 - half the time
        heappush(self.entries, entry)
        if len(self.entries) > self._limit:
            self._compact()

    def find(self, item: T) -> Entry | None:
        """The entry of an item, if it has one."""
        return self._counts.get(item)

    def peek(self) -> T | None:
        """The item with the smallest key."""
        entries, counts = self.entries, self._counts
        while entries:
            entry = entries[0]
            item: T = entry[-1]
            if counts.get(item) is not entry:
                heappop(entries)
                continue
            key = self._key(item, entry)
            if key is None:
                heappop(entries)
                del counts[item]
            elif key < entry:  # it is how the entry begins
                return item
            else:
                entry = counts[item] = key + entry[-2:]
                heapreplace(entries, entry)
        return None

    def _compact(self) -> None:
        """Drop what does not count, so that the heap stays as small as its items are many."""
        keys = ((entry, self._key(entry[-1], ())) for entry in self._counts.values())
        self.entries = [(*key, *entry[-2:]) for entry, key in keys if key is not None]
        self._counts = {entry[-1]: entry for entry in self.entries}
        heapify(self.entries)
        self._limit = _SLACK + 2 * len(self.entries)

    def items(self) -> Iterable[T]:
        """Every item that belongs here."""
        return [item for item in self._counts if self._key(item, ()) is not None]


class Lanes:
    """The lanes of one group that are in one pool: most have one, which needs no heap."""

    __slots__ = ("_pool", "heap", "one", "share")

    def __init__(self, pool: Pool, queue: LaneQueue) -> None:
        self._pool = pool
        self.share = queue.share
        self.one = queue
        """The only one, which may have left the pool; of no account where there is a heap."""
        self.heap: Heap[LaneQueue] | None = None

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

    def _key_of(self, queue: LaneQueue, _: Entry) -> Key | None:
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
        self._needy: Heap[Lanes] = Heap(self._need_of)
        self._order: Heap[Lanes] = Heap(self._place_of if gate is None else self._turn_of)
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
            lanes = self._lanes[queue.share] = Lanes(self, queue)
            if self.gate is not None:
                queue.share.turn = max(queue.share.turn, self._turn)
        else:
            lanes.push(queue)
        if self._shares.is_fair:
            if queue.share.min_slots:
                self._needy.push(lanes)
            self._order.push(lanes)
        if queue.is_urgent:
            self._urgent.push(queue)

    def account_changed(self, share: Share) -> bool:
        """A group has used or been given back slot time; return whether it may have lanes here."""
        lanes = self._lanes.get(share)
        if lanes is None:
            return False
        if share.min_slots:
            self._needy.push(lanes)
        entry = self._order.find(lanes)
        if (
            self.gate is not None
            or entry is None
            or entry[1]
            or entry[0] > self._shares.least_tick(share)
        ):
            self._order.push(lanes)
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
        """The first lane of the group that goes first."""
        order = self._order
        while (lanes := order.peek()) is not None:
            first = lanes.first()
            if first is not None:
                if raises_floor:
                    self._shares.raise_floor(order.entries[0][0])
                return first
            del self._lanes[lanes.share]
        return None

    def _first_of(self, lanes: Lanes) -> LaneQueue | None:
        """The first lane of a group; one that has none is forgotten."""
        first = lanes.first()
        if first is None:
            del self._lanes[lanes.share]
        return first

    def _first_of_any(self) -> LaneQueue | None:
        for lanes in list(self._lanes.values()):
            first = self._first_of(lanes)
            if first is not None:
                return first
        return None

    # --- the keys of its heaps ---

    def _urgent_key(self, queue: LaneQueue, _: Entry) -> Key | None:
        return queue.key if queue.pool is self and queue.is_urgent else None

    def _need_of(self, lanes: Lanes, _: Entry) -> tuple[float, str] | None:
        return self._shares.need(lanes.share) if self._has(lanes) else None

    def _has(self, lanes: Lanes) -> bool:
        return self._lanes.get(lanes.share) is lanes

    def _place_of(self, lanes: Lanes, entry: Entry) -> tuple[float, ...] | None:
        """Groups that are level go by the fewest slots held, then by their best heads.

        A group is first met where it would be if it held nothing: most have left their slots by
        then, and need not be moved for that.
        """
        first = lanes.one if lanes.heap is None else lanes.heap.peek()
        key = first.key if first is not None and first.pool is self else None
        if key is None:
            return _GONE if self._has(lanes) else None
        share, shares = lanes.share, self._shares
        place = (shares.least_tick(share), 0.0) + key  # noqa: RUF005 - half the time
        if share.held and entry >= place:
            return (shares.tick(share, self._now), share.held / share.weight, *key)
        return place

    def _turn_of(self, lanes: Lanes, _: Entry) -> tuple[float, ...] | None:
        """The same among groups at a gate: level are all whom its being closed has kept behind,
        and they go by their turns first."""
        first = lanes.first()
        key = None if first is None else first.key
        if key is None:
            return _GONE if self._has(lanes) else None
        share, shares, now = lanes.share, self._shares, self._now
        return (shares.tick(share, now), shares.turn(share, now), share.held / share.weight, *key)
