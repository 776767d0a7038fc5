"""How many tasks wait for something else than their turn, at a bounded cost however often asked."""

from __future__ import annotations

import anyio
import attrs
from anyio.lowlevel import checkpoint

from taskmill.engine.clock import Clock
from taskmill.engine.tally import Tally
from taskmill.model.status import TaskStatus
from taskmill.store.base import Store

MANY = 10_000
"""From so many on, counting them takes the store longer than 10 ms."""
KEPT = 20e-6
"""Seconds, for each of them, that a count of many is kept: twenty times what it takes."""
_BREATH = 1000
"""How many places are added up before others get their turn in the event loop."""


@attrs.frozen
class Counted:
    """What the store answered at one moment."""

    delayed: Tally
    """Pending, for a later time."""
    blocked: Tally
    waiting: Tally

    @property
    def count(self) -> int:
        """All of them."""
        return self.delayed.count + self.blocked.count + self.waiting.count


class BacklogCounts:
    """Has the store count, once at a time: who asks meanwhile shares the next count.

    Nobody gets a count that began before it was asked for, but where there are many to count:
    then it is kept for a while, so that no more than a twentieth of the time goes into counting.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._turn = anyio.Lock()
        self._begun = self._done = 0
        self._last = _nothing()
        self._kept_until = float("-inf")

    async def read(self) -> Counted:
        """The counts now, or lately."""
        wanted = self._begun + 1
        async with self._turn:
            if self._done < wanted and self._clock.monotonic() >= self._kept_until:
                self._begun += 1
                self._last = await self._counted()
                self._done = self._begun
                many = self._last.count if self._last.count >= MANY else 0
                self._kept_until = self._clock.monotonic() + many * KEPT
            return self._last

    async def _counted(self) -> Counted:
        with self._clock.hold():
            backlog = await self._store.backlog()
        counted = _nothing()
        of_status = {
            TaskStatus.PENDING: counted.delayed,
            TaskStatus.BLOCKED: counted.blocked,
            TaskStatus.WAITING: counted.waiting,
        }
        for number, each in enumerate(backlog, 1):
            of_status[each.status].change(each.domain, each.group, each.count)
            if number % _BREATH == 0:
                await checkpoint()
        return counted


def _nothing() -> Counted:
    return Counted(Tally(), Tally(), Tally())
