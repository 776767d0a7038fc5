"""How the executors have been used since the scheduler opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import timedelta

import attrs

from taskmill.model.snapshot import ExecutorSnapshot
from taskmill.rules.limits import Limits
from taskmill.rules.quantiles import mean, quantile

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
            waited=mean(used.waits),
            duration=mean(durations),
            duration_p95=quantile(durations, 0.95),
            down=None if outage is None else outage.reason,
        )
