"""When it is looked at what other transactions and processes have left for the dispatcher."""

from __future__ import annotations

import logging
from datetime import timedelta

import anyio

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.due.timed import Timed
from taskmill.engine.events.endings import Endings
from taskmill.engine.requests.local import Local
from taskmill.model.changes import Change, Collect
from taskmill.model.effects import Collected, Effect
from taskmill.model.errors import StoreError
from taskmill.model.times import to_ms
from taskmill.store.base import Store

log = logging.getLogger("taskmill.inbox")

LIMIT = 1000
"""How many submits and requests are settled in one batch."""

GLANCES = 9
"""How often in a row the file is only glanced at: a commit that takes seconds does not show."""


class Inbox:
    """Settles what others have left: when it is told to look, and when the file has changed."""

    def __init__(
        self,
        *,
        store: Store,
        dispatcher: Dispatcher,
        endings: Endings,
        local: Local,
        clock: Clock,
        poll_interval: timedelta,
    ) -> None:
        self._store = store
        self._dispatcher = dispatcher
        self._endings = endings
        self._local = local
        self._clock = clock
        self._interval = poll_interval.total_seconds()
        self._timed = Timed(self._collect, self._collected)
        self._seen: int | None = None
        self._waiting: list[anyio.Event] = []
        self._looking: list[anyio.Event] = []

    def load(self) -> None:
        """The store was opened."""
        self._dispatcher.watch(self._timed, while_stopped=True)

    async def catch_up(self) -> None:
        """Settle what came since the store was opened, before anything starts."""
        if self._store.home() is not None:
            self._seen = await self._version()
            await self.settle()

    async def run(self) -> None:
        """Look whenever another process has written to the file."""
        if self._store.home() is None:
            return
        stamp, glances = None, 0
        while True:
            await anyio.sleep(self._interval)
            before, stamp = stamp, self._store.stamp()
            if stamp is not None and stamp == before and glances < GLANCES:
                glances += 1
                continue
            glances = 0
            version = await self._version()
            if version != self._seen:
                self.look()
            self._seen = version

    async def _version(self) -> int | None:
        try:
            with self._clock.hold():
                return await self._store.version()
        except StoreError as error:
            log.debug("the file cannot be looked at: %s", error)
            return None

    def look(self) -> None:
        """Settle what is there."""
        self._timed.by(to_ms(self._clock.now()))
        self._dispatcher.rearm()

    async def settle(self) -> None:
        """Settle what is there, and return when that is done."""
        done = anyio.Event()
        self._waiting.append(done)
        self.look()
        await done.wait()

    def _collect(self, now_ms: int) -> Change:
        self._looking += self._waiting
        self._waiting = []
        return Collect(now_ms=now_ms, limit=LIMIT, keep=self._endings.awaited())

    def _collected(self, effect: Effect) -> int | None:
        if not isinstance(effect, Collected):
            return None
        for request, each in effect.done:
            self._local.follow(request, (), each)
        if effect.has_more:
            self._dispatcher.rearm()
            return to_ms(self._clock.now())
        for done in self._looking:
            done.set()
        self._looking = []
        return None
