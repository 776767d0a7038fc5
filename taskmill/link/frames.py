"""How messages travel over a socket: each is one JSON object on a line of its own."""

from __future__ import annotations

import json
from asyncio import StreamReader, StreamWriter
from typing import Any, TypeAlias, cast

import anyio

Message: TypeAlias = dict[str, Any]

MAX_SIZE = 64 * 1024 * 1024
"""In bytes; a longer line is no message."""
MAX_QUESTION = 64 * 1024
"""The same for what the dispatcher is asked, which is short."""


class Frames:
    """Messages over one connection. Any number of tasks may send, one receives.

    On asyncio's own streams: with those of anyio, a connection that ends in the moment in which
    its reader is cancelled leaves an error in the event loop.
    """

    def __init__(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sending = anyio.Lock()

    async def send(self, message: Message) -> None:
        """Send a message; ConnectionError once the other side is gone."""
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        async with self._sending:
            if self._writer.is_closing():
                raise ConnectionError("the connection is closed")
            try:
                self._writer.write(line)
                await self._writer.drain()
            except OSError as error:
                raise _lost(error) from error

    async def receive(self) -> Message:
        """The next message; ConnectionError once the other side is gone, or sends anything else."""
        try:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise ConnectionError("the other side has closed the connection")
            found: object = json.loads(line.decode("utf-8", "surrogatepass"))
        except OSError as error:
            raise _lost(error) from error
        except (ValueError, RecursionError) as error:
            raise ConnectionError("the other side sends what is no message") from error
        if not isinstance(found, dict):
            raise ConnectionError("the other side sends what is no message")
        return cast("Message", found)  # an isinstance check loses the types

    def close(self) -> None:
        """Hang up; what was not received yet is lost."""
        self._writer.transport.abort()


def _lost(error: OSError) -> ConnectionError:
    """To a socket whose owner takes no more, asyncio connects all the same; then this tells."""
    return ConnectionError(f"the connection is lost: {error}")
