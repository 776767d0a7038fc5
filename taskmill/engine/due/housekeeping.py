"""Which ended tasks and pauses are forgotten, and when: a little after every so many ends."""

from __future__ import annotations

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.due.timed import Timed
from taskmill.engine.events.endings import Endings
from taskmill.model.changes import Change, Prune
from taskmill.model.effects import Deleted, Effect
from taskmill.model.policies import Retention
from taskmill.model.times import ceil_ms, to_ms
from taskmill.rules.pauses import Pauses

EVERY = 1000
"""After how many ends it is looked at again."""

LIMIT = 500
"""How many tasks are deleted in one batch; more are in the next ones."""


class Housekeeping:
    """Keeps the history as long as its retention says."""

    def __init__(
        self,
        *,
        retention: Retention,
        pauses: Pauses,
        dispatcher: Dispatcher,
        endings: Endings,
        clock: Clock,
    ) -> None:
        self._pauses = pauses
        self._retention = retention
        self._dispatcher = dispatcher
        self._endings = endings
        self._clock = clock
        self._timed = Timed(self._prune, self._pruned)
        endings.every(EVERY, self._look)

    def load(self) -> None:
        """The store was opened: it may hold more than is to be kept."""
        self._dispatcher.watch(self._timed)
        self._look()

    def _look(self) -> None:
        self._timed.by(to_ms(self._clock.now()))
        self._dispatcher.rearm()

    def _prune(self, now_ms: int) -> Change:
        return Prune(
            counts=self._retention.counts(),
            before_ms=now_ms - ceil_ms(self._retention.min_age),
            keep=self._endings.awaited(),
            limit=LIMIT,
            now_ms=now_ms,
        )

    def _pruned(self, effect: Effect) -> int | None:
        if isinstance(effect, Deleted) and effect.pauses_until_ms is not None:
            self._pauses.forget(effect.pauses_until_ms)
        is_more = isinstance(effect, Deleted) and effect.count >= LIMIT // 2
        if is_more:
            self._dispatcher.rearm()
        return to_ms(self._clock.now()) if is_more else None
