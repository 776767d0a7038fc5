"""How many tasks wait for something else than their turn, by domain and group."""

from __future__ import annotations

import attrs
from anyio.lowlevel import checkpoint

from taskmill.engine.clock import Clock
from taskmill.engine.queue.tally import Tally
from taskmill.model.status import TaskStatus
from taskmill.store.base import Store

MANY = 10_000
"""Counting so many takes the store some 10 ms."""
_KEPT = 20e-6
"""Seconds, for each of them, that a count of many is kept: some twenty times what it takes."""
_BREATH = 500
"""How many places are added up before others get their turn in the event loop."""


@attrs.frozen
class Counted:
    """What the store answered at one moment."""

    delayed: Tally = attrs.field(factory=Tally)
    """Pending, for a later time."""
    blocked: Tally = attrs.field(factory=Tally)
    waiting: Tally = attrs.field(factory=Tally)

    @property
    def kept(self) -> float:
        """For how many seconds it is good enough, so that not all the time goes into counting."""
        count = self.delayed.count + self.blocked.count + self.waiting.count
        return count * _KEPT if count >= MANY else 0


async def count_backlog(store: Store, clock: Clock) -> Counted:
    """Have the store count."""
    with clock.hold():
        backlog = await store.backlog()
    counted = Counted()
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
