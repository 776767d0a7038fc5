"""How the executors have been used since the scheduler opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from datetime import timedelta

import attrs

from taskmill.model.snapshot import ExecutorSnapshot
from taskmill.rules.limits import Limits

RECENT = 1000
"""Of how many runs the durations and waits are kept."""


def _recent() -> deque[float]:
    return deque(maxlen=RECENT)


@attrs.define
class _Used:
    ended: int = 0
    busy: float = 0
    durations: deque[float] = attrs.field(factory=_recent)
    waits: deque[float] = attrs.field(factory=_recent)


class Figures:
    """What is counted of each executor: a few numbers, and its last thousand runs."""

    def __init__(self, executors: Iterable[str]) -> None:
        self._used = {name: _Used() for name in executors}

    def ended(self, executor: str, seconds: float, waited: float | None) -> None:
        """A run has ended that held a slot so long; ``waited`` is from ready to its start."""
        used = self._used[executor]
        used.ended += 1
        used.busy += seconds
        used.durations.append(seconds)
        if waited is not None:
            used.waits.append(waited)

    def snapshot(self, limits: Limits) -> dict[str, ExecutorSnapshot]:
        """How each executor stands now, by its name."""
        return {name: self._of(name, used, limits) for name, used in self._used.items()}

    def _of(self, name: str, used: _Used, limits: Limits) -> ExecutorSnapshot:
        slots, outage = limits.executors[name], limits.outages.get(name)
        durations = sorted(used.durations)
        return ExecutorSnapshot(
            name=name,
            capacity=slots.cap,
            running=slots.held,
            ended=used.ended,
            busy=timedelta(seconds=used.busy),
            waited=_mean(used.waits),
            duration=_mean(durations),
            duration_p95=_quantile(durations, 0.95),
            down=None if outage is None else outage.reason,
        )


def _mean(seconds: Sequence[float]) -> timedelta | None:
    return timedelta(seconds=sum(seconds) / len(seconds)) if seconds else None


def _quantile(ordered: Sequence[float], part: float) -> timedelta | None:
    """The value that so many do not exceed."""
    if not ordered:
        return None
    return timedelta(seconds=ordered[min(int(part * len(ordered)), len(ordered) - 1)])
