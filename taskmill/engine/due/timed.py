"""What the store is asked to do when a time has come: expire tasks, make occurrences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from taskmill.engine.writer import Receive
from taskmill.model.changes import Change
from taskmill.model.effects import Effect
from taskmill.model.errors import StoreError


class Timed:
    """One kind of change that is due at a time; one is under way at most.

    ``make`` makes it from the time, ``receive`` takes its effect and says when the next is due.
    """

    def __init__(
        self, make: Callable[[int], Change], receive: Callable[[Effect], int | None]
    ) -> None:
        self._make = make
        self._receive = receive
        self._next_ms: int | None = None
        self._is_under_way = False
        self._came_meanwhile: int | None = None

    @property
    def next_ms(self) -> int | None:
        """When it is due; None for never, and while one is under way."""
        return None if self._is_under_way else self._next_ms

    def by(self, at_ms: int | None) -> bool:
        """It is due at ``at_ms``, unless it is sooner; return whether that is news."""
        if at_ms is None:
            return False
        if self._is_under_way:  # which may have looked before this came
            came = self._came_meanwhile
            self._came_meanwhile = at_ms if came is None else min(came, at_ms)
            return False
        if self._next_ms is not None and self._next_ms <= at_ms:
            return False
        self._next_ms = at_ms
        return True

    def propose(self, now_ms: int) -> Iterator[tuple[Change, Receive]]:
        """The change, if it is due."""
        if self.next_ms is not None and self.next_ms <= now_ms:
            self._is_under_way = True
            yield self._make(now_ms), self._made

    def _made(self, effect: Effect | StoreError) -> None:
        self._is_under_way = False
        if isinstance(effect, StoreError):
            return
        came, self._came_meanwhile = self._came_meanwhile, None
        self._next_ms = None
        next_ms = self._receive(effect)
        self.by(next_ms)
        self.by(came)
