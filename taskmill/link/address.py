"""Where the dispatcher of a database file can be reached: at a Unix socket beside the file."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from taskmill.link.frames import MAX_QUESTION, MAX_SIZE, Frames
from taskmill.streams import serve, stream

LONGEST = 100
"""The longest address in bytes that every system takes."""


def address_of(database: Path) -> Path:
    """The socket of a database file."""
    return database.with_name(f"{database.name}.sock")


async def listen(
    address: Path, connected: Callable[[Frames], object]
) -> asyncio.AbstractServer | None:
    """Listen at ``address``, for its owner alone; None where the system has no such sockets.

    Whoever listened there before is gone: only the one dispatcher of a file listens. What serves a
    connection hangs up itself.
    """
    if not _is_supported():
        return None

    def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected(Frames(reader, writer))

    listener = socket.socket(socket.AF_UNIX)
    try:
        _bind(listener, address)
        return await serve(listener, greet, MAX_QUESTION)
    except OSError:
        listener.close()
        return None


def found_at(address: Path) -> tuple[int, int] | None:
    """Which socket is at ``address`` now; None where none is."""
    try:
        found = address.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def remove(address: Path, own: tuple[int, int] | None) -> None:
    """Remove the socket at ``address`` if it is ``own``, and not another process's."""
    if found_at(address) == own:
        address.unlink(missing_ok=True)


async def connect(address: Path) -> Frames:
    """Connect to whoever listens at ``address``; ConnectionError where nobody does."""
    if not _is_supported():
        raise ConnectionError("this system has no Unix sockets")
    caller = socket.socket(socket.AF_UNIX)
    caller.settimeout(0)
    try:
        with _short(address) as name:
            await asyncio.get_running_loop().sock_connect(caller, name)
        return Frames(*await stream(caller, MAX_SIZE))
    except BaseException as error:
        caller.close()
        if isinstance(error, OSError):
            raise ConnectionError(f"nobody listens at {address}: {error}") from error
        raise


def _is_supported() -> bool:
    return hasattr(socket, "AF_UNIX") and sys.platform != "win32"


def _bind(listener: socket.socket, address: Path) -> None:
    """Take the place; nobody can connect before `listen`, when it is its owner's alone."""
    address.unlink(missing_ok=True)
    with _short(address) as name:
        listener.bind(name)
        os.chmod(name, 0o600)  # noqa: PTH101 - the name may be one of /proc


@contextmanager
def _short(address: Path) -> Generator[str]:
    """A name for ``address`` that is short enough, where Linux's /proc can give one."""
    if len(os.fsencode(address)) <= LONGEST:
        yield str(address)
        return
    folder = os.open(address.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{address.name}"
    finally:
        os.close(folder)
