"""Which lanes a gate woke as the best it had, until they are asked."""

from __future__ import annotations

from collections.abc import Sequence

from taskmill.engine.queue.lanes import LaneQueue
from taskmill.rules.gates import Gate
from taskmill.rules.shares import Share, Shares


class Woken:
    """Knows them by the account of their group: where that changes, another one may be the best."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self.by_share: dict[Share, dict[LaneQueue, None]] = {}
        """Empty while shares are off."""

    def note(self, queue: LaneQueue, gate: Gate | None) -> None:
        """A gate has woken a lane; None: it has been asked since."""
        queue.woken_by = gate
        if not self._shares.is_fair:
            return
        if gate is not None:
            self.by_share.setdefault(queue.share, {})[queue] = None
        elif queue.share in self.by_share:
            woken = self.by_share[queue.share]
            woken.pop(queue, None)
            if not woken:
                del self.by_share[queue.share]

    def of(self, share: Share) -> Sequence[LaneQueue]:
        """The lanes of a group."""
        return list(self.by_share[share]) if share in self.by_share else ()
