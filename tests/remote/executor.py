"""An executor made against the protocol alone: it hands tasks to a worker behind a socket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anyio
import attrs

from taskmill import Failure, Handler, Host, Lost, Outcome, RemoteError, Success, Work


@attrs.define(eq=False)
class RemoteExecutor:
    """Sends each task as a line of JSON, and waits for the line that says how it ended."""

    capacity: int | None = None
    fallback: str | None = None
    _host: Host | None = None
    _writer: asyncio.StreamWriter | None = None
    _listening: asyncio.Task[None] | None = None
    _waiting: dict[int, tuple[Work, asyncio.Future[Outcome]]] = attrs.field(
        factory=dict[int, tuple[Work, "asyncio.Future[Outcome]"]]
    )

    def check(self, handler: Handler[Any]) -> None:
        """The worker knows the types by their names; what is said here of them does not matter."""

    async def start(self, host: Host) -> None:
        self._host = host
        host.down("not connected yet")

    async def connect(self, port: int) -> None:
        """Meet the worker."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writer = writer
        self._listening = asyncio.create_task(self._listen(reader, writer))
        if self._host is not None:
            self._host.up()

    async def _listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            said = json.loads(line)
            work, outcome = self._waiting[said["id"]]
            if "progress" in said:
                work.workplace.progress(said["progress"], None)
            elif not outcome.done():
                outcome.set_result(_outcome(said))
        if self._host is not None:
            self._host.down("the connection to the worker is lost")
        for _, outcome in self._waiting.values():
            if not outcome.done():
                outcome.set_result(Lost("the connection to the worker is lost"))
        writer.close()

    async def run(self, work: Work) -> Outcome:
        if self._writer is None:
            return Lost("there is no connection yet", has_begun=False)
        record = work.record
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting[record.id] = work, outcome
        try:
            self._send(
                id=record.id,
                type=record.type,
                part=work.part.name,
                fence=work.workplace.fence,
                payload=record.payload,
            )
            try:
                return await asyncio.shield(outcome)
            except asyncio.CancelledError:
                self._send(id=record.id, stop=True)
                with anyio.CancelScope(shield=True):
                    await outcome
                raise
        finally:
            del self._waiting[record.id]

    def _send(self, **said: object) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(said).encode() + b"\n")

    async def stop(self) -> None:
        self._host = None
        if self._writer is not None and self._listening is not None:
            self._writer.close()
            await self._listening


def _outcome(said: dict[str, Any]) -> Outcome:
    if "error" in said:
        return Failure(RemoteError(said["error"]["type"], said["error"]["message"]))
    return Success(said["result"])
