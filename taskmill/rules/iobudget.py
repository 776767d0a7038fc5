"""Whether the disks and the network have room for what a task is expected to move."""

from __future__ import annotations

from collections.abc import Mapping

from taskmill.model.sharing import AXES, IoBudget
from taskmill.rules.gates import GateKind

USABLE = 0.8
"""The part of a capacity that tasks are planned onto."""


class IoLedger:
    """What the running tasks are expected to move, against what the machine can."""

    def __init__(self, capacity: IoBudget | None) -> None:
        self._room = {
            axis: USABLE * capacity.on(axis)
            for axis in AXES
            if capacity is not None and capacity.on(axis)
        }
        self._running: dict[str, list[float]] = {axis: [] for axis in self._room}
        self.gates: list[IoGate] = []
        """Every gate on this ledger: a task that stops may open any of them."""

    @property
    def axes(self) -> tuple[str, ...]:
        """The axes that have a capacity."""
        return tuple(self._room)

    def room(self, axis: str) -> float:
        """The bytes per second that may be planned on an axis."""
        return self._room[axis]

    def expected(self, axis: str) -> float:
        """The bytes per second that running tasks are expected to move."""
        return sum(self._running[axis])

    def has_room(self, axis: str, amount: float) -> bool:
        """Whether one more task fits; where nothing runs, every task does."""
        running = self._running[axis]
        return not running or sum(running) + amount <= self._room[axis]

    def add(self, axis: str, amount: float) -> None:
        """A task starts."""
        self._running[axis].append(amount)

    def remove(self, axis: str, amount: float) -> None:
        """A task has stopped."""
        self._running[axis].remove(amount)


class IoGate:
    """The gate of one task type: all its tasks expect to move the same."""

    __slots__ = ("__weakref__", "_ledger", "kind", "name", "needs")

    def __init__(self, name: str, budget: IoBudget, ledger: IoLedger) -> None:
        self.kind = GateKind.IO
        self.name = name
        self._ledger = ledger
        self.needs = {axis: budget.on(axis) for axis in ledger.axes if budget.on(axis)}
        ledger.gates.append(self)

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Whether there is room on every axis the task uses."""
        return all(self._ledger.has_room(axis, amount) for axis, amount in self.needs.items())

    def has_room_beside(self, planned: Mapping[str, float]) -> bool:
        """Whether there is room as well as for what is ``planned`` on the axes already."""
        for axis, amount in self.needs.items():
            more = planned.get(axis, 0)
            if more and self._ledger.expected(axis) + more + amount > self._ledger.room(axis):
                return False
        return self.is_open(0)

    def full_axes(self) -> list[str]:
        """The axes without room for one more."""
        return [
            axis for axis, amount in self.needs.items() if not self._ledger.has_room(axis, amount)
        ]

    def enter(self, now_ns: int) -> None:  # noqa: ARG002 - as above
        """Plan the task in."""
        for axis, amount in self.needs.items():
            self._ledger.add(axis, amount)

    def leave(self) -> None:
        """Plan the task out."""
        for axis, amount in self.needs.items():
            self._ledger.remove(axis, amount)
