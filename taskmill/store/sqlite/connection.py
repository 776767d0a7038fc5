"""One SQLite connection on a thread of its own, and the one way to have work done there."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite
import anyio
import anyio.to_thread

from taskmill.model.errors import StoreError

T = TypeVar("T")

BUSY_SECONDS = 5.0
"""How long a statement waits for another process's write transaction."""

_DAMAGED = "the file is damaged; restore it from a backup"
_UNREADABLE = "the file is damaged, or the disk cannot be read; look at it, or restore a backup"
"""SQLite calls a file damaged also where the system could not read it."""
_NO_MEMORY = (
    "there is not enough memory; if the machine has some left, the file is damaged: restore it "
    "from a backup"
)
"""SQLite asks for as much as a row is long by what its page says, damaged or not."""


class Port:
    """A connection. All work goes through `run`, as one function on the connection's thread."""

    def __init__(self, name: str, connection: aiosqlite.Connection) -> None:
        self._name = name
        self._connection = connection

    @classmethod
    async def open(cls, path: str, name: str, *, uri: bool = False) -> Port:
        """Connect; ``name`` is what errors call the database."""
        connection = aiosqlite.connect(
            path, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=256, uri=uri
        )
        try:
            await connection
        except sqlite3.Error as error:
            await thread_ended(connection)
            raise store_error(name, error) from error
        return cls(name, connection)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the connection's thread; what SQLite raises becomes a StoreError."""
        try:
            return await run_on(self._connection, work)
        except sqlite3.Error as error:
            raise store_error(self._name, error) from error
        except UnicodeDecodeError as error:
            raise StoreError(f"{self._name}: {_DAMAGED} ({error})") from error
        except MemoryError as error:
            raise StoreError(f"{self._name}: {_NO_MEMORY}") from error
        except (OverflowError, UnicodeError) as error:
            raise StoreError(f"{self._name}: no value that SQLite can hold: {error}") from error

    async def interrupt(self) -> None:
        """Have the statement fail that runs on the connection's thread; it is not waited for."""
        await self._connection.interrupt()

    async def close(self) -> None:
        """Close the connection and end its thread."""
        await self._connection.close()


async def run_on(connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """Run ``work`` on the thread of ``connection``.

    aiosqlite has no public call for this. A statement at a time costs a hop each: 181 us for
    what takes 41 us as one function.
    """
    execute: Any = connection._execute  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType, reportUnknownVariableType] # noqa: SLF001
    database = connection._conn  # pyright: ignore[reportPrivateUsage] # noqa: SLF001
    result: T = await execute(work, database)
    return result


async def thread_ended(connection: aiosqlite.Connection) -> None:
    """Wait for the thread of a connection that could not be made.

    aiosqlite tells it to end and does not wait; it fails, and says so on standard error, where
    the event loop has ended first. Up to version 0.21 the connection is the thread.
    """
    thread: Any = getattr(connection, "_thread", connection)
    with anyio.CancelScope(shield=True):
        await anyio.to_thread.run_sync(thread.join)


def store_error(name: str, error: sqlite3.Error) -> StoreError:
    """What to tell a caller about ``error``, and what to do."""
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    advice = {
        sqlite3.SQLITE_FULL: "the disk is full; free some space",
        sqlite3.SQLITE_BUSY: f"another process has been writing for over {BUSY_SECONDS:.0f} s",
        sqlite3.SQLITE_READONLY: "the file or its directory is read-only; allow writing",
        sqlite3.SQLITE_CANTOPEN: "the file cannot be opened; look at its path and permissions",
        sqlite3.SQLITE_CORRUPT: _UNREADABLE,
        sqlite3.SQLITE_NOTADB: (
            "this is no SQLite database, or its beginning is damaged; name another file, or "
            "restore it from a backup"
        ),
        sqlite3.SQLITE_IOERR: "the disk cannot be read or written",
    }.get(code)
    return StoreError(f"{name}: {error}" if advice is None else f"{name}: {advice} ({error})")
