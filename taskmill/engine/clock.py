"""What time it is: the wall clock for due times, the loop's own clock for durations."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import anyio
import attrs


class Clock(Protocol):
    """Where the engine reads what time it is; how long it sleeps is the event loop's own time."""

    def now(self) -> datetime:
        """The wall clock: aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        ...

    def hold(self) -> AbstractContextManager[object]:
        """While this is entered a call is under way in a thread; a virtual clock stands still."""
        ...


@attrs.frozen
class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)  # noqa: TID251 - this is the injected clock

    def monotonic(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()  # noqa: TID251 - this is the injected clock

    def hold(self) -> AbstractContextManager[object]:
        """Real time does not stand still."""
        return _NOTHING


_NOTHING = contextlib.nullcontext()


@attrs.define
class Alarm:
    """Calls ``ring`` once, at the time it was last set for; one task waits for it.

    ``now`` is the clock it follows, in seconds.
    """

    ring: Callable[[], None]
    now: Callable[[], float]
    _at: float | None = None
    _changed: anyio.Event = attrs.field(factory=anyio.Event)

    def set(self, at: float | None) -> None:
        """Ring at ``at``, or not at all."""
        if at != self._at:
            self._at = at
            self._changed.set()

    async def run(self) -> None:
        """Wait and ring, for ever."""
        while True:
            changed = self._changed = anyio.Event()
            at = self._at
            if at is None:
                await changed.wait()
                continue
            wait = at - self.now()
            # a jump of the wall clock is seen in a minute; event loops round off nanoseconds
            with anyio.move_on_after(min(max(wait, 1e-6), 60)):
                await changed.wait()
                continue
            if self.now() >= at:
                self._at = None
                self.ring()
