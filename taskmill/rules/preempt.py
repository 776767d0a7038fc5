"""Which running tasks make room for more urgent ones: the fewest, the least urgent first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import combinations

import attrs

from taskmill.rules.gates import Slots
from taskmill.rules.limits import Lane
from taskmill.rules.plan import Start


@attrs.frozen
class Urgent:
    """Ready tasks of one lane that may preempt: how many, and their base priority."""

    lane: Lane
    count: int
    priority: int


def victims(
    urgent: Iterable[Urgent], running: Collection[Start], slots: Slots, now_ns: int
) -> list[Start]:
    """Choose what is to stop so that ``urgent`` tasks, in this order, get in.

    Only tasks that nothing but caps holds get room this way. What is stopping already counts as
    room, unless it is overdue. Tasks that cannot be given room get none, and cost nobody a slot.
    """
    room = _Room(running, slots)
    candidates = [s for s in running if s.can_be_preempted and not s.is_stopping]
    candidates.sort(key=lambda start: (start.ready.priority, start.at_ns), reverse=True)
    chosen: list[Start] = []
    for waiting in urgent:
        for _ in range(waiting.count):
            lower = [s for s in candidates if s.ready.priority > waiting.priority]
            if not lower or not _held_by_caps_alone(waiting.lane, now_ns):
                break
            stopped = room.make(waiting.lane, lower)
            if stopped is None:
                break
            chosen += stopped
            candidates = [s for s in candidates if s not in stopped]
    return chosen


def _held_by_caps_alone(lane: Lane, now_ns: int) -> bool:
    return all(gate.is_open(now_ns) for gate in lane.gates if gate not in lane.slots)


class _Room:
    """How many slots are free behind each cap, counting those that were promised."""

    def __init__(self, running: Collection[Start], slots: Slots) -> None:
        self._all = slots
        self._promised: dict[Slots, int] = {}
        for start in running:
            if start.is_stopping and not start.is_overdue:
                self._promise(start, 1)

    def make(self, lane: Lane, candidates: Sequence[Start]) -> list[Start] | None:
        """Choose what to stop for one task of ``lane`` and take the room; None where none helps."""
        before = dict(self._promised)
        stopped: list[Start] = []
        caps = (self._all, *lane.slots)
        while full := [cap for cap in caps if not self._has_room(cap)]:
            left = [start for start in candidates if start not in stopped]
            cover = fewest(full, left, self._all)
            if cover is None:
                self._promised = before
                return None
            for start in cover:
                self._promise(start, 1)
            stopped += cover
        for cap in caps:
            self._promised[cap] = self._promised.get(cap, 0) - 1
        return stopped

    def _has_room(self, cap: Slots) -> bool:
        return cap.room is None or cap.room + self._promised.get(cap, 0) > 0

    def _promise(self, start: Start, change: int) -> None:
        for cap in (self._all, *start.lane.slots):
            self._promised[cap] = self._promised.get(cap, 0) + change


def fewest(
    full: Sequence[Slots], candidates: Sequence[Start], slots: Slots
) -> tuple[Start, ...] | None:
    """The fewest of ``candidates``, the first of their kind, that free a slot of each full cap.

    ``candidates`` are sorted, what is to stop first in front. Of those that free the same caps
    only the first is ever needed, so that there are few combinations to look at.
    """
    first: dict[frozenset[Slots], Start] = {}
    for start in candidates:
        frees = frozenset(cap for cap in full if cap is slots or cap in start.lane.slots)
        if frees:
            first.setdefault(frees, start)
    for size in range(1, len(full) + 1):
        covers = [
            tuple(first[frees] for frees in sets)
            for sets in combinations(first, size)
            if len(frozenset[Slots]().union(*sets)) == len(full)
        ]
        if covers:
            return min(covers, key=_urgency)
    return None


def _urgency(cover: Sequence[Start]) -> list[tuple[int, int]]:
    """The order among combinations of one size: lowest priority, then latest start."""
    return sorted((-start.ready.priority, -start.at_ns) for start in cover)
