"""What happened in a simulation: who held the slots, and who waited how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

import attrs

from taskmill.simulation.steps import Steps

INTERVALS = 100
"""Into how many parts the time is divided in a document."""


@attrs.frozen(kw_only=True)
class Waits:
    """How long tasks waited for their first start, of those that have started.

    ``waiting`` tasks have not, and count in none of the other figures but ``longest``: how long
    the oldest of them has waited by the end.
    """

    started: int
    mean: timedelta
    p50: timedelta
    p95: timedelta
    most: timedelta
    waiting: int
    longest: timedelta
    starts_ns: Sequence[int]
    """When they started, in order."""
    waits_ns: Sequence[int]
    """How long each of them had waited."""


@attrs.frozen(kw_only=True)
class GroupOutcome:
    """What one group got. A task that was interrupted starts more than once."""

    weight: int
    running: Steps
    """How many slots it held over time."""
    slot_ns: int
    """How long it held slots, all together, in nanoseconds."""
    lost_ns: int
    """The part of it that went into runs that were interrupted."""
    starts: int
    ended: int
    waits: Waits

    @property
    def slot_time(self) -> timedelta:
        """How long it held slots, all together."""
        return length_of(self.slot_ns)


@attrs.frozen(kw_only=True)
class Outcome:
    """All that happened. ``None`` among the groups are the tasks without one."""

    length_ns: int
    """How long the simulated time was, in nanoseconds."""
    max_concurrency: int
    seed: int
    groups: Mapping[str | None, GroupOutcome]
    priorities: Mapping[int, Waits]
    starts: int
    ended: int
    preempted: int
    """How many runs made room for a more urgent task."""
    paused: int
    """How many runs a pause interrupted."""
    running: int
    """How many tasks still ran at the end."""
    waiting: int
    """How many tasks waited at the end; some of them may have started before."""

    @property
    def length(self) -> timedelta:
        """How long the simulated time was."""
        return length_of(self.length_ns)

    @property
    def slot_ns(self) -> int:
        """How long slots were held, all together, in nanoseconds."""
        return sum(group.slot_ns for group in self.groups.values())

    @property
    def lost(self) -> timedelta:
        """The slot time that went into runs that were interrupted."""
        return length_of(sum(group.lost_ns for group in self.groups.values()))

    @property
    def utilisation(self) -> float:
        """The part of the time of all slots in which they were held, 0 to 1."""
        return self.slot_ns / (self.length_ns * self.max_concurrency) if self.length_ns else 0.0

    def part(self, group: str | None) -> float:
        """The part of the slot time that a group got, 0 to 1."""
        whole = self.slot_ns
        return self.groups[group].slot_ns / whole if whole else 0.0

    def mean_slots(self, group: str | None) -> float:
        """How many slots a group held on average."""
        return self.groups[group].slot_ns / self.length_ns if self.length_ns else 0.0

    def by_slot_time(self) -> list[str | None]:
        """The groups, those with the most slot time first."""
        return sorted(self.groups, key=lambda name: self.groups[name].slot_ns, reverse=True)

    def document(self) -> dict[str, object]:
        """Everything but the single starts, ready for JSON; times in seconds.

        ``slots_over_time`` holds the average number of slots in each of 100 equal intervals.
        A group's name is null for the tasks without one.
        """
        return {
            "length": self.length_ns / 1e9,
            "seed": self.seed,
            "max_concurrency": self.max_concurrency,
            "utilisation": self.utilisation,
            "starts": self.starts,
            "ended": self.ended,
            "preempted": self.preempted,
            "paused": self.paused,
            "running": self.running,
            "waiting": self.waiting,
            "groups": [self._group(name) for name in self.groups],
            "priorities": [
                {"priority": priority, **_waits(waits)}
                for priority, waits in self.priorities.items()
            ],
        }

    def _group(self, name: str | None) -> dict[str, object]:
        group = self.groups[name]
        return {
            "group": name,
            "weight": group.weight,
            "slot_time": group.slot_ns / 1e9,
            "part": self.part(name),
            "mean_slots": self.mean_slots(name),
            "most_slots": group.running.most,
            "lost": group.lost_ns / 1e9,
            "starts": group.starts,
            "ended": group.ended,
            "waits": _waits(group.waits),
            "slots_over_time": group.running.means(self.length_ns, INTERVALS),
        }


def _waits(waits: Waits) -> dict[str, float]:
    return {
        "started": waits.started,
        "mean": waits.mean.total_seconds(),
        "p50": waits.p50.total_seconds(),
        "p95": waits.p95.total_seconds(),
        "max": waits.most.total_seconds(),
        "waiting": waits.waiting,
        "longest": waits.longest.total_seconds(),
    }


def length_of(ns: float) -> timedelta:
    """Nanoseconds as a length, to the microsecond."""
    return timedelta(microseconds=ns / 1000)
