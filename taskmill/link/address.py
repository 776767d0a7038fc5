"""Where the dispatcher of a database file can be reached: at a Unix socket beside the file."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import anyio
from anyio.abc import SocketListener, UNIXSocketStream

LONGEST = 100
"""The longest address in bytes that every system takes."""


def address_of(database: Path) -> Path:
    """The socket of a database file."""
    return database.with_name(f"{database.name}.sock")


async def listen(address: Path) -> SocketListener | None:
    """Listen at ``address``, as its owner alone; None where the system has no such sockets.

    Whoever listened there before is gone: only the one dispatcher of a file listens.
    """
    if not _is_supported():
        return None
    try:
        with _short(address) as name:
            return await anyio.create_unix_listener(name, mode=0o600)
    except OSError:
        return None


async def connect(address: Path) -> UNIXSocketStream:
    """Connect to whoever listens at ``address``; ConnectionError where nobody does."""
    if not _is_supported():
        raise ConnectionError("this system has no Unix sockets")
    try:
        with _short(address) as name:
            return await anyio.connect_unix(name)
    except OSError as error:
        raise ConnectionError(f"nobody listens at {address}: {error}") from error


def _is_supported() -> bool:
    return hasattr(socket, "AF_UNIX") and sys.platform != "win32"


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
