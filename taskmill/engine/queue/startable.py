"""How many tasks are ready, and how many of them could start if there were room for all."""

from __future__ import annotations

from taskmill.engine.queue.lanes import LaneQueue
from taskmill.engine.queue.tally import Tally
from taskmill.rules.pauses import Pauses


class Startable:
    """Counts the ready tasks: those that have a handler here, and those that nobody runs."""

    def __init__(self, pauses: Pauses) -> None:
        self._pauses = pauses
        self.handled = Tally()
        self.unhandled = Tally()
        self.all = (self.handled, self.unhandled)

    @property
    def count(self) -> int:
        """How many have a handler here, under pauses or not."""
        return self.handled.count

    def change(self, queue: LaneQueue, by: int) -> None:
        """So many tasks came into a lane, or left it."""
        lane = queue.lane
        tally = self.handled if lane.kind.is_handled else self.unhandled
        tally.change(lane.kind.domain, lane.group, by)

    def under_no_pause(self) -> int:
        """How many of those that have a handler no pause holds."""
        return self.handled.count - self.handled.paused(self._pauses)
