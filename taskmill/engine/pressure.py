"""How much pressure the machine is under: reads the sources, at most once a second."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from taskmill.model.resources import PressureSource, Resources
from taskmill.model.sharing import AXES, IoBudget
from taskmill.rules.throttle import Pressure

log = logging.getLogger("taskmill.pressure")

INTERVAL_NS = 1_000_000_000
"""How long a reading holds."""


class Gauges:
    """The pressure sources of one scheduler; a source that cannot be read counts as zero.

    What ``resources`` measures counts as well: the CPUs, the memory, and the axes of IO that have
    a capacity.
    """

    def __init__(
        self,
        pressure: Pressure,
        sources: Sequence[PressureSource] = (),
        resources: Resources | None = None,
        capacity: IoBudget | None = None,
    ) -> None:
        self._pressure = pressure
        self._sources = sources
        self._resources = resources
        self._capacity = capacity or IoBudget()
        self._read_at: int | None = None
        self._broken: set[str] = set()

    def read(self, now_ns: int) -> bool:
        """Read the sources if their last readings are old; return whether the pressure changed."""
        if not self.has_sources or (self._read_at is not None and now_ns < self.next_read):
            return False
        self._read_at = now_ns
        before = self._pressure.level
        readings = {source.name: self._reading(source) for source in self._sources}
        self._pressure.readings = {**self._measured(), **readings}
        return self._pressure.level != before

    @property
    def has_sources(self) -> bool:
        """Whether there is anything to read."""
        return bool(self._sources) or self._resources is not None

    @property
    def next_read(self) -> int:
        """When the readings will be old, on the monotonic clock in nanoseconds."""
        return 0 if self._read_at is None else self._read_at + INTERVAL_NS

    def _reading(self, source: PressureSource) -> float:
        name = source.name
        try:
            reading = _checked(source.pressure())
        except Exception:  # noqa: BLE001 - the user's source; it is logged
            self._is_broken(name)
            return 0.0
        self._works(name)
        return reading

    def _measured(self) -> Mapping[str, float]:
        if self._resources is None:
            return {}
        try:
            sample = self._resources.sample()
        except Exception:  # noqa: BLE001 - as above
            self._is_broken("resources")
            return {}
        self._works("resources")
        shares = {"cpu": sample.cpu, "memory": sample.memory}
        for axis in AXES:
            capacity, rate = self._capacity.on(axis), getattr(sample, axis)
            shares[axis] = rate / capacity if capacity and rate is not None else None
        return {name: min(max(x, 0.0), 1.0) for name, x in shares.items() if x is not None}

    def _is_broken(self, name: str) -> None:
        if name not in self._broken:
            log.exception("pressure source %r cannot be read; it counts as 0", name)
        self._broken.add(name)

    def _works(self, name: str) -> None:
        if name in self._broken:
            self._broken.remove(name)
            log.warning("pressure source %r can be read again", name)


def _checked(reading: float) -> float:
    if not 0 <= reading <= 1:
        raise ValueError(f"a pressure is from 0 to 1, not {reading!r}")
    return float(reading)
