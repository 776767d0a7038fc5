"""Submits in transactions of the application: made there, noticed when they have committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from taskmill.engine.clock import Clock
from taskmill.model.changes import NewTask
from taskmill.model.effects import Placed, Refused
from taskmill.model.errors import InvalidState
from taskmill.store.base import Store

STEP = 0.005
"""How often, in seconds, a transaction that was submitted in is looked at until it has ended."""


class Enlistment:
    """Knows which transactions of others hold submits; ``notice`` is called when one commits."""

    def __init__(self, *, store: Store, clock: Clock, notice: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._notice = notice
        self._open: dict[int, tuple[object, asyncio.Task[object] | None]] = {}

    def load(self, background: TaskGroup) -> None:
        """The scheduler was opened."""
        self._background = background

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
