"""Which lane goes first among those that are open, or that wait at one gate."""

from __future__ import annotations

from collections import Counter

from taskmill.engine.queue.groups import Groups, Lanes
from taskmill.engine.queue.heap import Heap
from taskmill.engine.queue.lanes import Key, LaneQueue
from taskmill.rules.gates import Gate
from taskmill.rules.shares import Share, Shares


class Pool:
    """A set of lanes with an order: urgent heads, then groups below their minimum, then shares.

    Within a group the best head goes first. With shares off, all lanes are of one group.
    """

    def __init__(self, shares: Shares, gate: Gate | None = None) -> None:
        self.gate = gate
        """Where its lanes are parked; None for the open ones."""
        self._shares = shares
        self._groups = Groups(self, shares, by_turns=gate is not None)
        self._urgent: Heap[LaneQueue] = Heap(self._urgent_key)
        self._needy: Heap[Lanes] = Heap(self._need_of)
        self._size = 0
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
            for gate in queue.lane.gates:
                if not self._gates[gate]:
                    del self._gates[gate]

    @property
    def is_empty(self) -> bool:
        """Whether no lane is in it."""
        return not self._size

    def all_face(self, gate: Gate) -> bool:
        """Whether every lane in it has to pass ``gate``."""
        return self._gates[gate] == self._size

    def push(self, queue: LaneQueue) -> None:
        """A lane of this pool has a new key."""
        lanes = self._groups.put(queue)
        if self._shares.is_fair:
            if queue.share.min_slots:
                self._needy.push(lanes)
            self._groups.rank(lanes)
        if queue.is_urgent:
            self._urgent.push(queue)

    def account_changed(self, share: Share) -> bool:
        """A group has used or been given back slot time; return whether it may have lanes here."""
        lanes = self._groups.find(share)
        if lanes is None:
            return False
        if share.min_slots:
            self._needy.push(lanes)
        return self._groups.account_changed(lanes)

    def lanes(self) -> list[LaneQueue]:
        """Every lane in it."""
        return [queue for lanes in self._groups.all() for queue in lanes.all()]

    # --- the best ---

    def best(self, now_ns: int, *, raises_floor: bool = False) -> LaneQueue | None:
        """The lane that goes first. Among the open lanes this raises the floor of the shares."""
        if not self._shares.is_fair:
            return (self._urgent.peek() if self._urgent.entries else None) or self._first_of_any()
        groups = self._groups
        groups.now = now_ns
        best = groups.first()
        if raises_floor and best is not None:
            self._shares.raise_floor(groups.tick)
        if self._urgent.entries and (urgent := self._urgent.peek()) is not None:
            return urgent
        while self._needy.entries and (needy := self._needy.peek()) is not None:
            first = needy.first()
            if first is not None:
                return first
            groups.forget(needy)
        return best

    def has_woken(self, share: Share) -> None:
        """A lane of this group was the best: who comes later starts from its turn, not before."""
        self._groups.has_woken(share)

    def raise_floor(self, now_ns: int) -> None:
        """Raise the floor of the shares to the smallest value of the groups in it."""
        self._groups.now = now_ns
        if self._groups.first() is not None:
            self._shares.raise_floor(self._groups.tick)

    def _first_of_any(self) -> LaneQueue | None:
        for lanes in list(self._groups.all()):
            first = lanes.first()
            if first is not None:
                return first
            self._groups.forget(lanes)
        return None

    # --- the keys of its heaps ---

    def _urgent_key(self, queue: LaneQueue) -> Key | None:
        return queue.key if queue.pool is self and queue.is_urgent else None

    def _need_of(self, lanes: Lanes) -> tuple[float, str] | None:
        is_here = self._groups.find(lanes.share) is lanes
        return self._shares.need(lanes.share) if is_here else None
