"""How the events of another process come to the streams of this one."""

from __future__ import annotations

from datetime import timedelta

import anyio
from anyio.abc import TaskGroup

from taskmill.client.line import Line, NobodyThere
from taskmill.engine.events.hub import Hub
from taskmill.engine.registry import Registry
from taskmill.link.frames import Frames, Message
from taskmill.link.values import event_from_json
from taskmill.model.errors import PayloadError
from taskmill.model.events import Lagged


class Feed:
    """Has the dispatcher's events come while somebody listens."""

    def __init__(
        self, *, line: Line, hub: Hub, registry: Registry, poll_interval: timedelta
    ) -> None:
        self._line = line
        self._hub = hub
        self._registry = registry
        self._interval = poll_interval.total_seconds()
        self._tried: anyio.Event | None = None

    def load(self, background: TaskGroup) -> None:
        """The scheduler was opened."""
        self._background = background
        self._hub.attend = self._attend

    async def _attend(self) -> None:
        """Return once events come, or at once where nobody dispatches yet."""
        if self._hub.is_closed:
            return
        if self._tried is None:
            self._tried = anyio.Event()
            self._background.start_soon(self._run, self._tried)
        await self._tried.wait()

    async def _run(self, tried: anyio.Event) -> None:
        """Pass events on until nobody listens any more."""
        try:
            has_heard = False
            while self._hub.is_heard:
                try:
                    frames = await self._line.open_stream("events")
                except NobodyThere:
                    tried.set()
                    await anyio.sleep(self._interval)
                    continue
                if has_heard:
                    self._hub.miss(1)  # or more: what happened in between is not known
                has_heard = True
                tried.set()
                await self._pass_on(frames)
        finally:
            self._tried = None
            tried.set()

    async def _pass_on(self, frames: Frames) -> None:
        try:
            while self._hub.is_heard:
                self._tell(await frames.receive())
        except ConnectionError:
            pass  # the dispatcher has gone; another may come
        finally:
            frames.close()

    def _tell(self, message: Message) -> None:
        event = event_from_json(message["event"], *self._loads(message))
        if isinstance(event, Lagged):
            self._hub.miss(event.count)
        else:
            self._hub.publish(lambda: event)

    def _loads(self, message: Message) -> tuple[object, object]:
        """The payload and the result of an event; what cannot be read of them is an error."""
        header: Message = message["event"].get("header") or {}
        name = str(header.get("type"))
        known = self._registry.find(name)
        if known is None or "payload" not in message:
            return PayloadError(f"the payload of a {name!r} is not known here"), None
        try:
            payload = known.codec.decode(message["payload"])
            if "result" not in message:
                return payload, None
            return payload, known.codec.decode_result(message["result"])
        except PayloadError as error:
            return error, None
