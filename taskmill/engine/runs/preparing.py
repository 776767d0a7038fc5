"""How long what is to run a handler has been made ready: time that is not the handler's own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

MOST = 60
"""Seconds of it that are allowed for."""


class Preparing:
    """Of one attempt; ``now`` is a clock in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._before = 0.0
        self._since: float | None = None

    @contextmanager
    def under_way(self) -> Generator[None]:
        """It is being made ready."""
        self._since = self._now()
        try:
            yield
        finally:
            self._before, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """How long that has taken until now."""
        now = 0.0 if self._since is None else self._now() - self._since
        return min(self._before + now, MOST)
