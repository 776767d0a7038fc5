"""What stands between a lane and a slot: the gates, and what is counted against them."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from typing import assert_never

import attrs

from taskmill.model.policies import GroupPolicy


class GateKind(enum.Enum):
    """The gates, in the order in which they are asked."""

    HANDLER = "handler"
    EXECUTOR = "executor"
    DOMAIN = "domain"
    GROUP = "group"


@attrs.frozen(cache_hash=True)
class Gate:
    """One gate: of its kind, the one with this name."""

    kind: GateKind
    name: str


@attrs.frozen(cache_hash=True)
class Lane:
    """What tasks have in common that the gates look at: an open gate is open for all of them."""

    type: str
    group: str | None
    domain: str
    executor: str
    gates: tuple[Gate, ...] = attrs.field(
        default=attrs.Factory(lambda lane: _gates_of(lane), takes_self=True),
        init=False,
        eq=False,
        repr=False,
    )
    """The gates it has to pass, in order."""


def _gates_of(lane: Lane) -> tuple[Gate, ...]:
    always = (
        Gate(GateKind.HANDLER, lane.type),
        Gate(GateKind.EXECUTOR, lane.executor),
        Gate(GateKind.DOMAIN, lane.domain),
    )
    return always if lane.group is None else (*always, Gate(GateKind.GROUP, lane.group))


@attrs.define(kw_only=True)
class Limits:
    """The limits in force; changing one holds from the next decision."""

    max_concurrency: int
    handled: frozenset[str]
    """Task types that have a handler here."""
    executors: dict[str, int | None] = attrs.field(factory=dict[str, "int | None"])
    domains: dict[str, int | None] = attrs.field(factory=dict[str, "int | None"])
    groups: dict[str, GroupPolicy] = attrs.field(factory=dict[str, GroupPolicy])
    group_default: GroupPolicy = attrs.field(factory=GroupPolicy)

    def cap(self, gate: Gate) -> int | None:
        """How many tasks may run behind ``gate`` at once; None for any number."""
        match gate.kind:
            case GateKind.HANDLER:
                return None if gate.name in self.handled else 0
            case GateKind.EXECUTOR:
                return self.executors.get(gate.name)
            case GateKind.DOMAIN:
                return self.domains.get(gate.name)
            case GateKind.GROUP:
                return self.groups.get(gate.name, self.group_default).max_concurrency
            case _:
                assert_never(gate.kind)


class Tally:
    """How many tasks hold a slot now, in all and behind each gate."""

    def __init__(self) -> None:
        self.total = 0
        self._behind: Counter[Gate] = Counter()

    def add(self, lane: Lane) -> None:
        """A task of ``lane`` takes a slot."""
        self.total += 1
        for gate in lane.gates:
            self._behind[gate] += 1

    def remove(self, lane: Lane) -> None:
        """A task of ``lane`` gives its slot back."""
        self.total -= 1
        for gate in lane.gates:
            left = self._behind[gate] - 1
            if left:
                self._behind[gate] = left
            else:
                del self._behind[gate]

    def behind(self, gate: Gate) -> int:
        """How many running tasks count against ``gate``."""
        return self._behind[gate]

    def counts(self) -> Mapping[Gate, int]:
        """Every gate that something runs behind."""
        return self._behind


def has_room(gate: Gate, tally: Tally, limits: Limits) -> bool:
    """Whether one more task may run behind ``gate``."""
    cap = limits.cap(gate)
    return cap is None or tally.behind(gate) < cap


def first_closed(lane: Lane, tally: Tally, limits: Limits) -> Gate | None:
    """The first gate that holds ``lane``; None when only the global cap could."""
    for gate in lane.gates:
        if not has_room(gate, tally, limits):
            return gate
    return None
