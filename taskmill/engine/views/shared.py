"""How a read of the store is shared by those who ask at the same time, and bounded in its cost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from taskmill.engine.clock import Clock

T = TypeVar("T")


class Shared(Generic[T]):
    """Reads once at a time: who asks meanwhile shares the next read.

    Nobody gets an answer that was begun before it was asked for, but where answers are dear:
    ``kept`` says for how many seconds one stays good enough, 0 for not at all.
    """

    def __init__(
        self, read: Callable[[], Awaitable[T]], *, kept: Callable[[T], float], clock: Clock
    ) -> None:
        self._read = read
        self._kept = kept
        self._clock = clock
        self._turn = anyio.Lock()
        self._begun = 0
        self._last: tuple[int, T] | None = None
        self._good_until = 0.0

    async def get(self) -> T:
        """The answer now, or of lately."""
        wanted = self._begun + 1
        async with self._turn:
            if self._last is not None:
                number, answer = self._last
                if number >= wanted or self._clock.monotonic() < self._good_until:
                    return answer
            self._begun += 1
            number = self._begun
            answer = await self._read()
            self._last = (number, answer)
            self._good_until = self._clock.monotonic() + self._kept(answer)
            return answer
