"""Which priorities are held under the present pressure."""

from __future__ import annotations

from collections.abc import Mapping

from taskmill.rules.gates import GateKind


class Pressure:
    """The latest reading of every source, 0 to 1; the highest one counts."""

    def __init__(self) -> None:
        self.readings: Mapping[str, float] = {}

    @property
    def level(self) -> float:
        """The highest reading; 0 without a source."""
        return max(self.readings.values(), default=0.0)

    @property
    def worst(self) -> str:
        """The source of the highest reading."""
        return max(self.readings, key=lambda name: self.readings[name], default="")


class PressureGate:
    """The gate of the base priorities that share a limit; strictly above it they are held."""

    __slots__ = ("__weakref__", "kind", "limit", "name", "pressure")

    def __init__(self, limit: float, pressure: Pressure) -> None:
        self.kind = GateKind.PRESSURE
        self.name = ""
        self.limit = limit
        self.pressure = pressure

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Whether the pressure is at the limit or below."""
        return self.pressure.level <= self.limit
