"""A connection that the other side resets has ended, and nothing remains to be asked for."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from taskmill.streams import serve, stream

pytestmark = pytest.mark.anyio


def reset(other: socket.socket) -> None:
    """Close with something unread, by which the other side is reset."""
    other.setblocking(True)
    assert other.recv(1)
    other.close()


async def test_a_reset_ends_what_is_read_and_leaves_no_error_behind() -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await stream(ours)
    reading = asyncio.ensure_future(reader.readexactly(4))
    writer.write(b"unread")
    await writer.drain()
    reset(theirs)
    with pytest.raises(asyncio.IncompleteReadError):
        await reading
    await writer.wait_closed()
    with pytest.raises(ConnectionError):
        await writer.drain()


async def test_a_caller_that_resets_leaves_no_error_at_the_server(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    came: asyncio.Future[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = loop.create_future()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "s"))
    server = await serve(listening, lambda reader, writer: came.set_result((reader, writer)))
    caller = socket.socket(socket.AF_UNIX)
    caller.setblocking(False)
    await loop.sock_connect(caller, str(tmp_path / "s"))
    reader, writer = await came
    writer.write(b"unread")
    await writer.drain()
    reset(caller)
    assert await reader.read() == b""
    await writer.wait_closed()
    writer.close()
    server.close()
    await server.wait_closed()
