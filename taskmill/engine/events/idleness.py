"""When there is nothing left to do, and who waits for that."""

from __future__ import annotations

from collections.abc import Callable

import anyio


class Idleness:
    """Wakes those who wait for quiet; ``is_idle`` says whether it is more than a pause."""

    def __init__(self) -> None:
        self.is_idle: Callable[[], bool] = lambda: True
        self._quiet: anyio.Event | None = None
        self._is_over = False

    async def wait(self) -> None:
        """Return once it is idle, or is over."""
        while not (self._is_over or self.is_idle()):
            await self.quiet()

    async def quiet(self) -> None:
        """Wait until the writer has nothing to do next; any number of callers may."""
        if self._quiet is None:
            self._quiet = anyio.Event()
        await self._quiet.wait()

    def is_quiet(self) -> None:
        """The writer has nothing to do now."""
        if self._quiet is not None:
            self._quiet.set()
            self._quiet = None

    def close(self) -> None:
        """Nothing will be done any more."""
        self._is_over = True
        self.is_quiet()
