"""How many ready tasks could start, if there were room for all of them."""

from __future__ import annotations

from collections import Counter

from taskmill.engine.lanes import LaneQueue
from taskmill.rules.pauses import Pauses


class Startable:
    """Counts the ready tasks that have a handler here, by domain and group."""

    def __init__(self, pauses: Pauses) -> None:
        self.count = 0
        """All of them, under pauses or not."""
        self._pauses = pauses
        self._by_place: Counter[tuple[str, str | None]] = Counter()

    def change(self, queue: LaneQueue, by: int) -> None:
        """So many tasks came into a lane, or left it."""
        kind = queue.lane.kind
        if kind.is_handled:
            self.count += by
            place = (kind.domain, queue.lane.group)
            left = self._by_place[place] + by
            if left:
                self._by_place[place] = left
            else:
                del self._by_place[place]

    def under_no_pause(self) -> int:
        """How many of them no pause holds."""
        if not self._pauses.any_held:
            return self.count
        return sum(n for place, n in self._by_place.items() if not self._pauses.holds(*place))
