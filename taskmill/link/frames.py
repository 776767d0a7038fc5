"""How messages travel over a socket: each is one JSON object on a line of its own."""

from __future__ import annotations

import json
from typing import Any, TypeAlias, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

Message: TypeAlias = dict[str, Any]

MAX_SIZE = 256 * 1024 * 1024
"""In bytes; a longer line is no message."""


class Frames:
    """Messages over one connection. Any number of tasks may send, one receives."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._received = BufferedByteReceiveStream(stream)
        self._sending = anyio.Lock()

    async def send(self, message: Message) -> None:
        """Send a message; ConnectionError once the other side is gone."""
        line = json.dumps(message, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        try:
            async with self._sending:
                await self._stream.send(line)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionError("the other side has closed the connection") from error

    async def receive(self) -> Message:
        """The next message; ConnectionError once the other side is gone, or sends anything else."""
        try:
            line = await self._received.receive_until(b"\n", MAX_SIZE)
            found: object = json.loads(line.decode("utf-8", "surrogatepass"))
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.DelimiterNotFound) as error:
            raise ConnectionError("the other side has closed the connection") from error
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ConnectionError("the connection is broken") from error
        except ValueError as error:
            raise ConnectionError("the other side sends what is no JSON") from error
        if not isinstance(found, dict):
            raise ConnectionError("the other side sends what is no message")
        return cast("Message", found)  # an isinstance check loses the types

    async def close(self) -> None:
        """Hang up."""
        with anyio.CancelScope(shield=True):
            await anyio.aclose_forcefully(self._stream)
