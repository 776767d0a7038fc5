"""Time for tests: a clock that stands still, and an event loop whose sleeps take none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """The clock that `virtual_time` yields, for ``Scheduler(..., clock=clock)``.

    Made by hand it moves when it is told to, and wakes nobody who sleeps: so it is for code that
    reads `now` alone. A scheduler sleeps in the time of its event loop, and needs `virtual_time`.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._jumped = timedelta(0)
        self._holds = 0

    def now(self) -> datetime:
        """The wall clock."""
        return self._start + timedelta(seconds=self._elapsed) + self._jumped

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.pass_seconds(by.total_seconds())

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, in steps that may be finer than a timedelta's."""
        self._elapsed += seconds

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as an administrator would; no time passes."""
        self._jumped += by

    def hold(self) -> AbstractContextManager[object]:
        """Note that a call is under way in a thread."""
        return self._held()

    @property
    def is_held(self) -> bool:
        """Whether a call is under way in a thread, so that no time may pass."""
        return self._holds > 0

    @contextmanager
    def _held(self) -> Generator[None]:
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1


@asynccontextmanager
async def virtual_time(start: datetime = START) -> AsyncGenerator[FakeClock]:
    """Make sleeping instant, and in order, on the running event loop.

    Whenever everything in the loop waits, time moves to the next thing that is due. Yields the
    clock of that time; give it to ``Scheduler(..., clock=clock)``, so that due times and timeouts
    follow it. While a store call or a thread handler is under way, time stands still. Needs
    asyncio's own event loop.
    """
    loop: Any = asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    if selector is None:
        raise TypeError(f"virtual_time needs asyncio's selector event loop, not {loop!r}")
    clock = FakeClock(start)
    real_time = loop.time
    origin = real_time()
    loop.time = lambda: origin + clock.monotonic()
    loop._selector = _VirtualSelector(selector, clock)  # noqa: SLF001 - asyncio has no public way
    try:
        yield clock
    finally:
        loop._selector = selector  # noqa: SLF001 - as above
        loop.time = real_time


class _VirtualSelector:
    """Waits for input as the selector it wraps; waits for time by moving the clock."""

    def __init__(self, selector: Any, clock: FakeClock) -> None:
        self._selector = selector
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            ready: list[Any] = self._selector.select(timeout)
        elif self._clock.is_held:
            ready = self._selector.select(None)
        else:
            ready = self._selector.select(0)
            if not ready:
                self._clock.pass_seconds(timeout)
        return ready
