"""Which running tasks make room for more urgent ones: the fewest, the least urgent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

import attrs

from taskmill.rules.gates import Gate, Slots
from taskmill.rules.iobudget import IoGate
from taskmill.rules.limits import Lane
from taskmill.rules.plan import Start
from taskmill.rules.ratelimit import Bucket


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
            if not lower or not room.is_held_by_caps_alone(waiting.lane, now_ns):
                break
            stopped = room.make(waiting.lane, lower)
            if stopped is None:
                break
            chosen += stopped
            candidates = [s for s in candidates if s not in stopped]
    return chosen


class _Room:
    """How many slots are free behind each cap, counting those that were promised.

    Tokens and IO are counted as well, for what gets in takes them.
    """

    def __init__(self, running: Collection[Start], slots: Slots) -> None:
        self._all = slots
        self._promised: Counter[Slots] = Counter()
        self._tokens: Counter[Bucket] = Counter()
        self._io: Counter[str] = Counter()
        for start in running:
            if start.is_stopping and not start.is_overdue:
                self._promised.update((self._all, *start.lane.slots))

    def is_held_by_caps_alone(self, lane: Lane, now_ns: int) -> bool:
        """Whether one more task of ``lane`` would start if there were room behind its caps."""
        return all(self._lets_in(gate, now_ns) for gate in lane.gates)

    def _lets_in(self, gate: Gate, now_ns: int) -> bool:
        match gate:
            case Slots():
                return True
            case Bucket():
                return gate.tokens(now_ns) >= self._tokens[gate] + 1
            case IoGate():
                return gate.has_room_beside(self._io)
            case _:
                return gate.is_open(now_ns)

    def make(self, lane: Lane, candidates: Sequence[Start]) -> list[Start] | None:
        """Choose what to stop for one task of ``lane`` and take the room; None where none helps."""
        before = self._promised.copy()
        stopped: list[Start] = []
        caps = (self._all, *lane.slots)
        while lacking := self._lacking(caps):
            left = [start for start in candidates if start not in stopped]
            cover = fewest(lacking, left, self._all)
            if cover is None:
                self._promised = before
                return None
            for start in cover:
                self._promised.update((self._all, *start.lane.slots))
            stopped += cover
        self._promised.subtract(caps)
        for gate in lane.gates:
            if isinstance(gate, Bucket):
                self._tokens[gate] += 1
            elif isinstance(gate, IoGate):
                self._io.update(gate.needs)
        return stopped

    def _lacking(self, caps: Sequence[Slots]) -> dict[Slots, int]:
        """How many slots have to become free behind each cap that has none."""
        lacking = {cap: 1 - cap.room - self._promised[cap] for cap in caps if cap.room is not None}
        return {cap: count for cap, count in lacking.items() if count > 0}


_EXACT = 6
"""Up to how many missing slots, in all, every combination is looked at."""


def fewest(
    lacking: Mapping[Slots, int], candidates: Sequence[Start], slots: Slots
) -> tuple[Start, ...] | None:
    """The fewest of ``candidates`` that free so many slots behind each cap; the first of a kind.

    ``candidates`` are sorted, what is to stop first in front. Of those that free slots behind the
    same caps no more are needed than slots are missing, so that there are few combinations to
    look at. Where a cap was lowered far below what runs, only one slot of each is freed.
    """
    if sum(lacking.values()) > _EXACT:
        lacking = dict.fromkeys(lacking, 1)
    most = max(lacking.values())
    kinds: dict[frozenset[Slots], list[Start]] = {}
    for start in candidates:
        frees = frozenset(cap for cap in lacking if cap is slots or cap in start.lane.slots)
        if frees and len(kinds.setdefault(frees, [])) < most:
            kinds[frees].append(start)
    useful = [(start, frees) for frees, starts in kinds.items() for start in starts]
    for size in range(most, sum(lacking.values()) + 1):
        covers = [
            tuple(start for start, _ in chosen)
            for chosen in combinations(useful, size)
            if _is_enough(lacking, [frees for _, frees in chosen])
        ]
        if covers:
            return min(covers, key=_urgency)
    return None


def _is_enough(lacking: Mapping[Slots, int], freed: Sequence[frozenset[Slots]]) -> bool:
    return all(sum(cap in frees for frees in freed) >= count for cap, count in lacking.items())


def _urgency(cover: Sequence[Start]) -> list[tuple[int, int]]:
    """The order among combinations of one size: lowest priority, then latest start."""
    return sorted((-start.ready.priority, -start.at_ns) for start in cover)
