"""How busy a machine is and what tasks moved on it, as values, and who can be asked for it."""

from __future__ import annotations

from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class ResourceSample:
    """How busy a machine was around one moment; None for what is unknown.

    ``cpu`` is the share in use, 0 to 1, of the CPUs this process may use, and ``memory`` that of
    the memory it may use. The others are bytes per second, from and to disks and networks, since
    the previous sample of the same axis; so in a first sample they are None, and ``cpu`` is too.
    """

    cpu: float | None
    memory: float | None
    read: float | None
    written: float | None
    received: float | None
    sent: float | None


@attrs.frozen(kw_only=True)
class IoTotals:
    """Bytes that the runs of a task moved, as far as its handlers said so."""

    read: int = 0
    written: int = 0
    received: int = 0
    sent: int = 0

    def __add__(self, other: IoTotals) -> IoTotals:
        return IoTotals(
            read=self.read + other.read,
            written=self.written + other.written,
            received=self.received + other.received,
            sent=self.sent + other.sent,
        )


class Resources(Protocol):
    """Who knows how busy this machine is."""

    def sample(self) -> ResourceSample:
        """Return how busy the machine is now.

        Called in the event loop, about once a second while tasks wait or run: it must be quick,
        about a millisecond, and never block.
        """
        ...


class PressureSource(Protocol):
    """A reason to hold less urgent tasks back, as a number."""

    @property
    def name(self) -> str:
        """What is under pressure, for people."""
        ...

    def pressure(self) -> float:
        """Return the pressure now, from 0 (none) to 1 (nothing more fits).

        Called in the event loop, about once a second while tasks wait or run: it must be quick,
        about a millisecond, and never block.
        """
        ...
