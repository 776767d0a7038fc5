"""Who hears what happened: bounded streams that never slow the engine down."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Generic, TypeVar, cast

import anyio

from taskmill.model.errors import InvalidState
from taskmill.model.events import (
    About,
    AnyTaskEvent,
    GroupChanged,
    Lagged,
    LoopBlocked,
    ScheduleEnded,
    ScheduleSkipped,
    ScopeEvent,
)
from taskmill.model.pauses import PauseScope

E_co = TypeVar("E_co", covariant=True)

BOUND = 1024
"""How many unread events a stream keeps."""


class EventStream(
    AbstractAsyncContextManager["EventStream[E_co]"], AsyncIterator[E_co], Generic[E_co]
):
    """Events as they happen: ``async with handle.events() as events: async for event in events``.

    The subscription exists inside the ``async with``: nothing that happens in the block is
    missed, unless the reader is slower than events come and more than 1024 are unread. Then the
    oldest are dropped and a Lagged with their number takes their place. Ends when the scheduler
    has shut down and everything was read. For one reader: a second one gets InvalidState.
    """

    def __init__(
        self,
        hub: Callable[[], Hub],
        *,
        domain: str | None,
        task_type: str | None,
        bound: int = BOUND,
    ) -> None:
        self._hub_of_now = hub
        self._hub: Hub | None = None
        self.domain = domain
        self.task_type = task_type
        self._bound = bound
        self._unread: deque[AnyTaskEvent | ScopeEvent] = deque()
        self._missed = 0
        self._news: anyio.Event | None = None

    async def __aenter__(self) -> EventStream[E_co]:
        self._hub = self._hub_of_now()
        self._hub.subscribe(self)
        try:
            await self._hub.attend()
        except BaseException:
            self._hub.unsubscribe(self)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._hub is not None:
            self._hub.unsubscribe(self)
            self._hub = None

    async def __anext__(self) -> E_co:
        if self._hub is None:
            raise InvalidState("read events inside `async with handle.events() as events:`")
        while True:
            if self._missed:
                lagged, self._missed = Lagged(self._missed), 0
                return cast("E_co", lagged)  # every stream's events include Lagged
            if self._unread:
                return cast("E_co", self._unread.popleft())  # the hub filtered by domain and type
            if self._hub.is_closed:
                raise StopAsyncIteration
            if self._news is not None:
                raise InvalidState(
                    "this stream is being read already; give each reader one of its own, "
                    "by another call of events()"
                )
            self._news = anyio.Event()
            try:
                await self._news.wait()
            finally:
                self._news = None

    def offer(self, event: AnyTaskEvent | ScopeEvent) -> None:
        """Keep ``event`` for the reader; drop the oldest one if there is no room."""
        if len(self._unread) >= self._bound:
            self._unread.popleft()
            self._missed += 1
            if self._hub is not None:
                self._hub.on_drop()
        self._unread.append(event)
        self.nudge()

    def miss(self, count: int) -> None:
        """Events that were for this stream are lost."""
        self._missed += count
        self.nudge()

    def nudge(self) -> None:
        """Have the reader look again."""
        if self._news is not None:
            self._news.set()

    def wants(self, event: AnyTaskEvent | ScopeEvent) -> bool:
        """Whether ``event`` belongs on this stream."""
        if not isinstance(event, About):
            return self.task_type is None and self._is_about_us(event)
        header = event.header
        if self.task_type is not None:
            return header.type == self.task_type
        return self.domain is None or header.domain == self.domain

    def _is_about_us(self, event: ScopeEvent) -> bool:
        """Groups and the scheduler are everybody's; a domain, and what is in it, only its own."""
        if isinstance(event, LoopBlocked):
            at = None if event.header is None else event.header.domain
            return self.domain in (None, at)
        if isinstance(event, ScheduleSkipped | ScheduleEnded):
            return self.domain in (None, event.domain)
        if isinstance(event, GroupChanged) or event.scope is not PauseScope.DOMAIN:
            return True
        return self.domain in (None, event.name)


class Hub:
    """The open streams of one scheduler."""

    def __init__(self) -> None:
        self._streams: dict[EventStream[Any], None] = {}
        self.is_closed = False
        self.attend: Callable[[], Awaitable[None]] = _at_once
        """Returns once events come here that happen from then on."""
        self.on_drop: Callable[[], None] = lambda: None
        """Called when a stream has dropped an event."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens; where nobody does, events need not be made."""
        return bool(self._streams)

    def publish(self, make: Callable[[], AnyTaskEvent | ScopeEvent]) -> None:
        """Hand one event to every stream that wants it; it is made only if somebody listens."""
        if self._streams:
            event = make()
            for stream in self._streams:
                if stream.wants(event):
                    stream.offer(event)

    def miss(self, count: int) -> None:
        """Events were lost before they came here."""
        for stream in self._streams:
            stream.miss(count)

    def subscribe(self, stream: EventStream[Any]) -> None:
        """From now on ``stream`` hears what happens."""
        self._streams[stream] = None

    def unsubscribe(self, stream: EventStream[Any]) -> None:
        """``stream`` hears nothing further."""
        self._streams.pop(stream, None)

    def close(self) -> None:
        """End all streams, once what is unread has been read."""
        self.is_closed = True
        for stream in self._streams:
            stream.nudge()


async def _at_once() -> None:
    """They come from this process."""
