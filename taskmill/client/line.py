"""The connection to the process that dispatches: questions, each with its answer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import attrs
from anyio.abc import TaskGroup

from taskmill.link.address import address_of, connect
from taskmill.link.frames import Frames, Message
from taskmill.model import errors
from taskmill.model.errors import StoreError, TaskmillError


class NobodyThere(Exception):
    """Nobody dispatches from the file, or it cannot be reached but by the file."""


@attrs.define
class _Call:
    answered: anyio.Event = attrs.field(factory=anyio.Event)
    answer: Message | None = None
    """None where the connection ended first."""


class _Connection:
    """One connection, and the questions that wait for an answer."""

    def __init__(self, frames: Frames) -> None:
        self.frames = frames
        self.is_closed = False
        self._calls: dict[int, _Call] = {}
        self._last = 0

    async def read(self) -> None:
        """Hand out answers until the other side hangs up."""
        try:
            while True:
                message = await self.frames.receive()
                call = self._calls.pop(message.get("id", 0), None)
                if call is not None:
                    call.answer = message
                    call.answered.set()
        except ConnectionError:
            pass
        finally:
            self.is_closed = True
            for call in self._calls.values():
                call.answered.set()
            self.frames.close()

    async def ask(self, verb: str, values: Message) -> Message:
        self._last += 1
        number, call = self._last, _Call()
        self._calls[number] = call
        try:
            await self.frames.send({"verb": verb, "id": number, **values})
            await call.answered.wait()
        except ConnectionError as error:
            raise NobodyThere from error
        finally:
            self._calls.pop(number, None)
        if call.answer is None:
            raise NobodyThere
        return call.answer


class Line:
    """Asks the dispatcher; connects when there is something to ask."""

    def __init__(self, database: Path) -> None:
        self._address = address_of(database)
        self._connection: _Connection | None = None
        self._connecting = anyio.Lock()
        self._news = anyio.Event()
        self._is_closed = False

    def load(self, background: TaskGroup) -> None:
        """The scheduler was opened."""
        self._background = background
        background.start_soon(self._hint)

    def close(self) -> None:
        """From now on nobody is there."""
        self._is_closed = True

    async def ask(self, verb: str, **values: object) -> Any:
        """The dispatcher's answer; NobodyThere where there is none, and its error where it erred.

        A question that is lost with its connection is NobodyThere as well.
        """
        connection = await self._connected()
        answer = await connection.ask(verb, values)
        if "error" in answer:
            raise _error(answer)
        return answer.get("value")

    def hint(self) -> None:
        """Have the dispatcher look at the file, soon; one hint is as good as ten."""
        self._news.set()

    async def open_stream(self, verb: str) -> Frames:
        """A connection of its own for a verb that answers on and on."""
        try:
            frames = await connect(self._address)
            try:
                await frames.send({"verb": verb, "id": 0})
                await frames.receive()
            except BaseException:
                frames.close()
                raise
        except ConnectionError as error:
            raise NobodyThere from error
        return frames

    async def _hint(self) -> None:
        while True:
            await self._news.wait()
            self._news = anyio.Event()
            # otherwise the dispatcher finds it by itself, or at its next opening
            with suppress(NobodyThere, TaskmillError):
                await self.ask("look")

    async def _connected(self) -> _Connection:
        async with self._connecting:
            if self._is_closed:
                raise NobodyThere
            if self._connection is None or self._connection.is_closed:
                try:
                    frames = await connect(self._address)
                except ConnectionError as error:
                    raise NobodyThere from error
                if self._is_closed:
                    frames.close()
                    raise NobodyThere
                self._connection = _Connection(frames)
                self._background.start_soon(self._connection.read)
            return self._connection


def _error(answer: Message) -> TaskmillError:
    kind: object = getattr(errors, str(answer["error"]), None)
    message = str(answer.get("message"))
    if isinstance(kind, type) and issubclass(kind, TaskmillError):
        return kind(message)
    return StoreError(message)
