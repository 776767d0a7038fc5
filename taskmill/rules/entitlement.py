"""How many slots each group is entitled to, as figures for people: minimums first, then weights."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class Demand:
    """What one group could use: tasks that run or wait, within its cap."""

    tasks: int
    weight: int = 1
    min_slots: int = 0
    cap: int | None = None

    @property
    def most(self) -> int:
        """The most slots it can use."""
        return self.tasks if self.cap is None else min(self.tasks, self.cap)


def allocate(capacity: int, groups: Mapping[str | None, Demand]) -> dict[str | None, int]:
    """Divide ``capacity`` slots: minimums first, the rest by weight, by Webster's method.

    A slot goes to the group with the smallest (2 * slots + 1) / weight; ties go by name. No group
    gets more than it can use, no slot stays idle that one can use, and more capacity never takes
    a slot from a group.
    """
    slots = dict.fromkeys(groups, 0)
    least = {name: min(group.min_slots, group.most) for name, group in groups.items()}
    left = _divide(capacity, groups, slots, least)
    _divide(left, groups, slots, {name: group.most for name, group in groups.items()})
    return slots


def _divide(
    capacity: int,
    groups: Mapping[str | None, Demand],
    slots: dict[str | None, int],
    most: Mapping[str | None, int],
) -> int:
    """Give out slots up to ``most``; return how many are left."""
    waiting = [
        (_Claim(2 * slots[name] + 1, group.weight, name or ""), name)
        for name, group in groups.items()
        if slots[name] < most[name]
    ]
    heapq.heapify(waiting)
    while capacity > 0 and waiting:
        claim, name = waiting[0]
        slots[name] += 1
        capacity -= 1
        if slots[name] < most[name]:
            heapq.heapreplace(waiting, (_Claim(claim.odd + 2, claim.weight, claim.name), name))
        else:
            heapq.heappop(waiting)
    return capacity


@attrs.frozen
class _Claim:
    """``odd / weight``, compared without rounding."""

    odd: int
    weight: int
    name: str

    def __lt__(self, other: _Claim) -> bool:
        mine, theirs = self.odd * other.weight, other.odd * self.weight
        return mine < theirs or (mine == theirs and self.name < other.name)
