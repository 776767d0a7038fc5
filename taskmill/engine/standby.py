"""How a process becomes the dispatcher of a store: at once, or when the one before it has ended."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

import anyio

from taskmill.engine.clock import Clock
from taskmill.model.effects import Opening
from taskmill.model.errors import StoreInUse
from taskmill.store.base import Store

log = logging.getLogger("taskmill.engine")


async def become_dispatcher(
    store: Store,
    clock: Clock,
    *,
    standby: timedelta | None,
    given_up: Callable[[], Awaitable[object]],
) -> Opening | None:
    """Open the store; where it is in use, try again each ``standby``, or raise StoreInUse.

    None once ``given_up`` has returned.
    """
    is_known = False
    while True:
        try:
            with clock.hold():
                return await store.open(now=clock.now())
        except StoreInUse as error:
            if standby is None:
                raise
            if not is_known:
                log.info("standing by: %s", error)
            is_known = True
        with anyio.move_on_after(standby.total_seconds()):
            await given_up()
            return None
