"""Which stores there are, and the servers behind them: each is started when it is first needed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Protocol, Self

from benchmarks.peers.postgres import postgres
from benchmarks.peers.process import Unavailable
from benchmarks.peers.redis import redis


class Store(enum.StrEnum):
    """Where tasks are kept."""

    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"
    REDIS = "Redis"


class Server(Protocol):
    """A server that is up."""

    @property
    def version(self) -> str:
        """Its name and version."""
        ...

    def fresh(self, name: str) -> AbstractContextManager[str]:
        """Have an empty database for a while; gives its URL."""
        ...


STARTS: Mapping[Store, Callable[[Path], AbstractContextManager[Server]]] = {
    Store.POSTGRES: postgres,
    Store.REDIS: redis,
}


class Servers:
    """The servers that were needed so far; all of them end with the block."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._servers: dict[Store, Server | Unavailable] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.__exit__(kind, error, trace)

    def of(self, store: Store) -> Server | None:
        """The server of a store, None for one without; Unavailable, each time, if there is none."""
        if store not in STARTS:
            return None
        if store not in self._servers:
            self._servers[store] = self._start(store)
        server = self._servers[store]
        if isinstance(server, Unavailable):
            raise Unavailable(*server.args)
        return server

    def _start(self, store: Store) -> Server | Unavailable:
        with ExitStack() as starting:
            # right in the system's place for such folders: the server's user has to get there
            made = TemporaryDirectory(prefix=f"taskmill-{store.lower()}-")
            folder = Path(starting.enter_context(made))
            try:
                server = starting.enter_context(STARTS[store](folder))
            except (Unavailable, OSError) as error:
                return Unavailable(str(error))
            self._opened.push(starting.pop_all())
            return server

    @property
    def versions(self) -> list[str]:
        """Of the servers that are up."""
        return [s.version for s in self._servers.values() if not isinstance(s, Unavailable)]
