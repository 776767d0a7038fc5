"""How a database is opened by somebody who has none of its domains: an operator's command."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from taskmill.client.client import Client
from taskmill.engine.clock import Clock, SystemClock
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.placing import Placing
from taskmill.engine.registry import Registry
from taskmill.engine.service import serving
from taskmill.model.errors import StoreError
from taskmill.model.policies import Stop
from taskmill.rules.limits import Limits
from taskmill.rules.routing import Routing
from taskmill.store.sqlite import SqliteStore

POLL = timedelta(seconds=0.1)


@asynccontextmanager
async def visiting(path: Path, clock: Clock | None = None) -> AsyncGenerator[Client]:
    """Open the database at ``path`` without dispatching; StoreError where there is none."""
    _check_there(path)
    client = Client(
        store=SqliteStore(path),
        registry=Registry([], [], {}, Placing({}, Routing())),
        limits=Limits(max_concurrency=1, kinds={}),
        poll_interval=POLL,
        hub=Hub(),
        meters=Meters([], []),
        clock=clock or SystemClock(),
    )
    async with serving(client, Stop()):
        yield client


def _check_there(path: Path) -> None:
    if not path.exists():
        raise StoreError(f"there is no database {path}")
