"""What a scenario is, and the figure it is to reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias, assert_never

import attrs

from benchmarks.floors import Floor
from benchmarks.setting import Sample, Setting, Unit


@attrs.frozen
class AtLeast:
    """A figure to reach, in the unit of the scenario."""

    value: float


@attrs.frozen
class AtMost:
    """A figure to stay under, in the unit of the scenario."""

    value: float


@attrs.frozen
class OfFloor:
    """A share of the floor's rate to reach."""

    share: float


Target: TypeAlias = AtLeast | AtMost | OfFloor


def is_met(target: Target, value: float, ratio: float) -> bool:
    """Whether a figure, and its ratio to the floor, is as good as ``target``."""
    match target:
        case AtLeast(value=least):
            return value >= least
        case AtMost(value=most):
            return value <= most
        case OfFloor(share=share):
            return ratio >= share
        case _:
            assert_never(target)


@attrs.frozen(kw_only=True)
class Scenario:
    """One thing to measure; the first floor is the one it is compared with."""

    name: str
    description: str
    unit: Unit = Unit.RATE
    measure: Callable[[Setting], Awaitable[Sample]]
    floors: tuple[Floor, ...]
    target: Target | None = None
    """Holds for a file and ``durability="power"``, and from `target_n` tasks; None: the ratio to
    the floor is what is wanted to know."""
    target_n: int = 1
    most_n: int | None = None
    """Of how many tasks it and its floors are at most; None: of as many as were asked for."""
    concurrency: int | None = None
    """Its own number of slots; None takes the one that was asked for."""
    needs_file: bool = False

    def setting(self, asked: Setting) -> Setting:
        """Under what conditions it and its floors are measured."""
        return attrs.evolve(
            asked,
            n=asked.n if self.most_n is None else min(asked.n, self.most_n),
            concurrency=self.concurrency or asked.concurrency,
        )
