"""Submits in transactions of the application: made there, noticed when they have committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import anyio
from anyio.abc import TaskGroup

from taskmill.engine.aftermath import Aftermath
from taskmill.engine.announce import load_of
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.registry import Registry
from taskmill.engine.timed import Timed
from taskmill.model.changes import Change, Collect, NewTask
from taskmill.model.effects import Collected, Effect, Placed, Refused
from taskmill.model.errors import InvalidState
from taskmill.model.times import to_ms
from taskmill.store.base import Store

STEP = 0.005
"""How often, in seconds, a transaction that was submitted in is looked at until it has ended."""

LIMIT = 1000
"""How many submits are settled in one batch."""


class Enlistment:
    """Knows which transactions of others hold submits."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        dispatcher: Dispatcher,
        aftermath: Aftermath,
        clock: Clock,
    ) -> None:
        self._store = store
        self._registry = registry
        self._dispatcher = dispatcher
        self._aftermath = aftermath
        self._clock = clock
        self._timed = Timed(self._collect, self._collected)
        self._open: dict[int, tuple[object, asyncio.Task[object] | None]] = {}

    def load(self, background: TaskGroup) -> None:
        """The scheduler was opened."""
        self._background = background
        self._dispatcher.watch(self._timed)

    async def submit(
        self, connection: object, tasks: Sequence[NewTask]
    ) -> tuple[Placed, ...] | Refused:
        """Submit in the open transaction of ``connection``."""
        effect = await self._store.submit_on(connection, tasks)
        if id(connection) not in self._open:
            self._open[id(connection)] = (connection, asyncio.current_task())
            self._background.start_soon(self._watch, connection)
        return effect

    def check_not_inside(self) -> None:
        """Refuse what would wait for the transaction that its own caller has open."""
        here = asyncio.current_task()
        for connection, task in self._open.values():
            if task is here and self._store.is_in_transaction(connection):
                raise InvalidState(
                    "this task has a transaction open on the database, and what it asks for waits "
                    "for that to end: commit first, or pass connection= here as well"
                )

    async def _watch(self, connection: object) -> None:
        """Look at a transaction in short steps until it has ended."""
        try:
            with self._clock.hold():
                before = await self._store.version()
            while self._store.is_in_transaction(connection):
                await anyio.sleep(STEP)
                with self._clock.hold():
                    version = await self._store.version()
                if version != before:
                    before = version
                    self._notice()
        finally:
            del self._open[id(connection)]
        self._notice()

    def _notice(self) -> None:
        self._timed.by(to_ms(self._clock.now()))
        self._dispatcher.rearm()

    def _collect(self, now_ms: int) -> Change:
        return Collect(now_ms=now_ms, limit=LIMIT)

    def _collected(self, effect: Effect) -> int | None:
        if not isinstance(effect, Collected):
            return None
        for new, placed in effect.placed:
            self._aftermath.arrived(new, placed, load_of(self._registry, new))
        if effect.has_more:
            self._dispatcher.rearm()
        return to_ms(self._clock.now()) if effect.has_more else None
