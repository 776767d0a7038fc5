"""Whose turn it is: slot time in proportion to the weights of the groups, in exact arithmetic."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Iterable

SECOND = 1_000_000_000

TICK = 10_000_000
"""Nanoseconds of slot time, by weight, by which groups may differ and still be level.

In a tick the older task goes first. An exact order would let chance decide between groups of short
tasks, and have each task that starts be far from the last one in the store.
"""


class Share:
    """One group's account. Times are nanoseconds; what is scaled is times the common multiple.

    ``paid`` is the slot time it used, by its weight and scaled, with what was added so that
    idling and being held earn nothing; ``turn`` is the same with that added only on coming to a
    gate, where it orders the groups. ``running`` holds, for each task type, when its running tasks
    started.
    """

    __slots__ = (
        "competing",
        "held",
        "lanes",
        "min_slots",
        "name",
        "paid",
        "running",
        "turn",
        "weight",
    )

    def __init__(self, name: str, weight: int, min_slots: int) -> None:
        self.name = name
        self.weight = weight
        self.min_slots = min_slots
        self.paid = 0
        self.turn = 0
        self.held = 0
        self.running: dict[str, list[int]] = {}
        self.lanes = 0
        """How many of its lanes hold tasks."""
        self.competing = 0
        """How many of its lanes could start something if a slot were free."""

    def __repr__(self) -> str:
        return f"Share({self.name!r}, weight={self.weight}, held={self.held})"


class Shares:
    """The accounts of all groups.

    `value` is what a group has used for its weight, exactly. The next task comes from the
    competing group with the smallest `tick`. `floor` is the virtual time: whoever starts to
    compete is raised to it.
    """

    def __init__(self, weights: Iterable[int] = (), *, is_fair: bool = False) -> None:
        self.is_fair = is_fair
        self.floor = 0
        self.floor_tick = 0
        self._scale = math.lcm(1, *weights)
        self._tick = self._scale * TICK
        self._shares: dict[str | None, Share] = {}
        self._many = 1024
        self._running: dict[Share, None] = {}
        self._estimates: dict[str, int] = {}
        self._overall = SECOND
        self._has_ended = False
        self._highest = 0
        self.has_fallen = False
        """Whether an estimate has fallen since `running` was last looked at."""

    def open(self, group: str | None, weight: int, min_slots: int) -> Share:
        """The account of a group; all tasks without a group have one together."""
        share = self._shares.get(group)
        if share is None:
            if len(self._shares) > self._many:
                self._forget()
            self.fit(weight)
            share = self._shares[group] = Share(group or "", weight, min_slots)
            share.paid = self.floor
        return share

    def find(self, group: str | None) -> Share | None:
        """The account of a group, where it has one."""
        return self._shares.get(group)

    def all(self) -> Iterable[Share]:
        """Every account."""
        return self._shares.values()

    def change(self, share: Share, weight: int, min_slots: int, now: int) -> None:
        """Another policy holds from now on; the group starts over at the floor."""
        self.fit(weight)
        share.weight, share.min_slots = weight, min_slots
        share.paid += self.floor - self.value(share, now)
        self._highest = max(self._highest, share.paid)

    def fit(self, weight: int) -> None:
        """Make the scale a multiple of ``weight``, so that every value stays whole."""
        factor = weight // math.gcd(self._scale, weight)
        if factor == 1:
            return
        self._scale *= factor
        self._tick *= factor
        self.floor *= factor
        self._highest *= factor
        for share in self._shares.values():
            share.paid *= factor
            share.turn *= factor

    # --- what happens ---

    def compete(self, share: Share, now: int) -> None:
        """The group starts to compete: idling or being held has earned it nothing."""
        behind = self.floor - self.value(share, now)
        if behind > 0:
            share.paid += behind

    def raise_floor(self, tick: int) -> None:
        """The first tick of a competing group is this: the floor is at least one tick behind it.

        So a group that submits one task at a time is not raised past what it has yet to use.
        """
        if tick - 1 > self.floor_tick:
            self.floor_tick = tick - 1
            self.floor = self.floor_tick * self._tick

    def nothing_waited(self, now: int) -> None:
        """Until now nothing waited, so everybody starts level."""
        running = (self.value(share, now) for share in self._running)
        self.floor = max(self.floor, self._highest, max(running, default=0))
        self.floor_tick = self.floor // self._tick

    def start(self, share: Share, task_type: str, now: int) -> None:
        """A task of the group takes a slot."""
        starts = share.running.get(task_type)
        if starts is None:
            share.running[task_type] = [now]
        else:
            insort(starts, now)
        share.held += 1
        self._running[share] = None

    def end(self, share: Share, task_type: str, started: int, now: int, *, is_whole: bool) -> None:
        """A task gives its slot back; the time of one that ran to its end is learnt from."""
        starts = share.running[task_type]
        if len(starts) == 1:
            del share.running[task_type]
        else:
            starts.remove(started)
        share.held -= 1
        if not share.held:
            del self._running[share]
        used = now - started
        cost = used * (self._scale // share.weight)
        share.paid += cost
        share.turn += cost
        if share.paid > self._highest:
            self._highest = share.paid
        if is_whole:
            self._learn(task_type, used)

    def running(self) -> Iterable[Share]:
        """The groups that hold slots."""
        return self._running

    # --- what follows ---

    def estimate(self, task_type: str) -> int:
        """How long a task of this type is expected to run, in nanoseconds."""
        return self._estimates.get(task_type, self._overall)

    def value(self, share: Share, now: int) -> int:
        """What the group has used by its weight, each running task for at least its estimate."""
        return share.paid + self._charge(share, now) if share.held else share.paid

    def turn(self, share: Share, now: int) -> int:
        """The same among the groups at a gate, where being held there does not change the order."""
        return share.turn + self._charge(share, now) if share.held else share.turn

    def tick(self, share: Share, now: int) -> int:
        """The value of a group in ticks, at least that of the floor: in one tick all are level."""
        value = self.value(share, now)
        return value // self._tick if value > self.floor else self.floor_tick

    def least_tick(self, share: Share) -> int:
        """The tick of a group without its running tasks."""
        paid = share.paid
        return paid // self._tick if paid > self.floor else self.floor_tick

    def _charge(self, share: Share, now: int) -> int:
        charge = 0
        for task_type, starts in share.running.items():
            estimate = self._estimates.get(task_type, self._overall)
            if len(starts) == 1:
                charge += max(estimate, now - starts[0])
                continue
            longer = bisect_right(starts, now - estimate)
            charge += estimate * (len(starts) - longer)
            if longer:
                charge += longer * now - sum(starts[:longer])
        return charge * (self._scale // share.weight)

    def used(self, share: Share) -> float:
        """The value of ended tasks in seconds of slot time by weight, for people."""
        return share.paid / self._scale / SECOND

    @staticmethod
    def need(share: Share) -> tuple[float, str] | None:
        """The order among groups below their minimum; None for one that is not."""
        if share.held >= share.min_slots:
            return None
        return (share.held / share.min_slots, share.name)

    def _learn(self, task_type: str, used: int) -> None:
        before = self._estimates.get(task_type)
        learnt = used if before is None else (7 * before + 3 * used) // 10
        self._estimates[task_type] = learnt
        overall = (7 * self._overall + 3 * used) // 10 if self._has_ended else used
        if learnt < (self._overall if before is None else before) or overall < self._overall:
            self.has_fallen = True
        self._overall = overall
        self._has_ended = True

    def _forget(self) -> None:
        """Drop the accounts of idle groups that have used no more than a new one."""
        for group, share in list(self._shares.items()):
            if not share.held and not share.lanes and share.paid <= self.floor:
                del self._shares[group]
        self._many = 2 * len(self._shares) + 1024
