"""How a database, in use or not, is copied into a new file that is whole."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

import anyio

from taskmill.model.errors import StoreError
from taskmill.store.sqlite.connection import Port
from taskmill.store.sqlite.inspecting import inspecting


async def back_up(path: Path, destination: Path) -> int:
    """Copy the database at ``path`` to a new file, its owner's alone; return its size in bytes.

    The copy is the database as of one commit, without what was deleted, checked page by page and
    on the disk when this returns. StoreError where ``destination`` exists or the copy is not
    sound; nothing is left of a copy that failed or was interrupted.
    """
    _make(destination)
    try:
        async with inspecting(path) as port:  # what is left of a copy has ended when this is left
            await _copy(port, destination)
        await anyio.to_thread.run_sync(_verify, destination)
        return await anyio.to_thread.run_sync(_sync, destination)
    except BaseException:
        _remove(destination)
        raise


def _make(destination: Path) -> None:
    """Make the file, empty: SQLite fills one that is, and would make it for all to read."""
    try:
        os.close(os.open(destination, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise StoreError(f"{destination} exists, and is not overwritten; name another") from None
    except OSError as error:
        raise StoreError(f"{destination} cannot be made: {error.strerror}") from error


async def _copy(port: Port, destination: Path) -> None:
    try:
        await port.run(lambda db: db.execute("VACUUM INTO ?", (str(destination),)).close())
    except anyio.get_cancelled_exc_class():
        await port.interrupt()
        raise


def _verify(destination: Path) -> None:
    try:
        with sqlite3.connect(destination) as copy:
            found = [str(line) for (line,) in copy.execute("PRAGMA integrity_check(1)")]
        copy.close()
    except (sqlite3.Error, MemoryError) as error:
        raise StoreError(f"{destination}: the copy cannot be read: {error}") from error
    if found != ["ok"]:
        raise StoreError(f"{destination}: the copy is damaged, as the database is: {found[0]}")


def _remove(destination: Path) -> None:
    with suppress(OSError):
        destination.unlink()


def _sync(destination: Path) -> int:
    """Bring the copy onto the disk, which VACUUM INTO leaves to its caller; return its size."""
    for place, flags in ((destination, os.O_RDONLY), (destination.parent, os.O_RDONLY)):
        descriptor = os.open(place, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    return destination.stat().st_size
