"""What happens in one exploration: a plan drawn from a seed, and the story of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import attrs


@attrs.frozen(kw_only=True)
class Step:
    """One operation or trouble of a plan. What it draws at random depends on nothing else."""

    at: float
    """Seconds from the beginning, on a clock that never jumps."""
    name: str
    seed: int

    def rng(self) -> Random:
        """What it draws from."""
        return Random(f"{self.name} {self.seed}")  # noqa: S311 - it must be the same again


@attrs.frozen(kw_only=True)
class Plan:
    """All that is done in one exploration, in order."""

    seed: int
    steps: tuple[Step, ...]

    def without(self, first: int, count: int) -> Plan:
        """The plan but for ``count`` steps."""
        return attrs.evolve(self, steps=self.steps[:first] + self.steps[first + count :])


@attrs.frozen(kw_only=True)
class Story:
    """What came of a plan."""

    plan: Plan
    lines: tuple[str, ...]
    """What happened, in order: seconds, then what."""
    promise: str | None = None
    """The short name of the promise that was broken, such as ``"S3"``."""
    broken: str | None = None
    """How it was broken; None where all of them held."""

    def __str__(self) -> str:
        end = "every promise held" if self.broken is None else f"BROKEN {self.broken}"
        head = f"seed {self.plan.seed}, {len(self.plan.steps)} steps"
        return "\n".join([head, *self.lines, end])


def draw_plan(
    seed: int, operations: Sequence[str], troubles: Sequence[str], *, steps: int, seconds: float
) -> Plan:
    """The plan of a seed: a few kinds of operations and troubles, each any number of times.

    Each seed leaves out some kinds, so that others meet more often.
    """
    rng = Random(f"{seed} plan")  # noqa: S311 - it must be the same again
    chosen = [name for name in operations if rng.random() < 0.6] or list(operations)
    bad = [name for name in troubles if rng.random() < 0.5]
    count = rng.randint(steps // 2, steps)
    has_waves = rng.random() < 0.5
    waves = [rng.uniform(0, seconds) for _ in range(3)]
    drawn: list[Step] = []
    for _ in range(count):
        pool = bad if bad and rng.random() < 0.2 else chosen
        name = "submit" if "submit" in operations and rng.random() < 0.45 else rng.choice(pool)
        at = rng.uniform(0, seconds)
        if has_waves:
            at = rng.choice(waves) + rng.uniform(0, 0.5)
        drawn.append(Step(at=round(at, 3), name=name, seed=rng.randrange(1_000_000)))
    return Plan(seed=seed, steps=tuple(sorted(drawn, key=lambda step: step.at)))
