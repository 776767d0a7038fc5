"""Streams over a socket, on which a connection that is reset ends like one that is closed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TypeAlias

LIMIT = 64 * 1024
"""In bytes: how much may be read up to a separator, where nothing else is asked for."""

Connected: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


async def stream(
    connected: socket.socket, limit: int = LIMIT
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Read and write a socket that is connected; it is theirs from now on."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit, loop)
    protocol = _Ends(reader, loop=loop)
    transport, _ = await loop.create_connection(lambda: protocol, sock=connected)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def serve(
    listening: socket.socket, connected: Connected, limit: int = LIMIT
) -> asyncio.AbstractServer:
    """Have ``connected`` called for each connection to a Unix socket."""
    loop = asyncio.get_running_loop()

    def protocol() -> _Ends:
        return _Ends(asyncio.StreamReader(limit, loop), connected, loop)

    return await loop.create_unix_server(protocol, sock=listening)


class _Ends(asyncio.StreamReaderProtocol):
    """What a reset raises is kept in a future that nobody need ask, and may be logged for that."""

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        super().connection_lost(None)
