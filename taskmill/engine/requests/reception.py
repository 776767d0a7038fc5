"""What the dispatcher tells other processes at its socket, and what it lets itself be told."""

from __future__ import annotations

import logging
from asyncio import AbstractServer
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from anyio.abc import TaskStatus as Started

from taskmill.engine.events.endings import Endings
from taskmill.engine.events.hub import EventStream, Hub
from taskmill.engine.registry import Registry
from taskmill.engine.requests.inbox import Inbox
from taskmill.engine.views.queries import Queries
from taskmill.engine.views.snapshots import Snapshots
from taskmill.link.address import address_of, found_at, listen, remove
from taskmill.link.frames import Frames, Message
from taskmill.link.values import to_json
from taskmill.model.errors import PayloadError, TaskmillError
from taskmill.model.events import About, Completed, Event
from taskmill.model.limits import check_id
from taskmill.model.record import TaskId
from taskmill.store.base import Store

log = logging.getLogger("taskmill.reception")


class Reception:
    """Serves the socket beside the file. What is said there is a hint; the truth is the file."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        inbox: Inbox,
        queries: Queries,
        snapshots: Snapshots,
        endings: Endings,
        hub: Hub,
        idle: Callable[[], Awaitable[None]],
        poll_interval: timedelta,
    ) -> None:
        self._store = store
        self._registry = registry
        self._queries = queries
        self._snapshots = snapshots
        self._endings = endings
        self._hub = hub
        self._inbox = inbox
        self._idle = idle
        self._interval = poll_interval.total_seconds()

    async def run(self, *, task_status: Started[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve whoever connects, for ever; started once others can."""
        home = self._store.home()
        if home is None:
            task_status.started()
            return
        address = address_of(home)
        async with anyio.create_task_group() as connections:
            listener = await self._listen(address, connections)
            task_status.started()
            while listener is not None:
                await self._stay(address, listener)
                log.warning("the socket %s was removed, and is made again", address)
                listener = await self._listen(address, connections)
            log.info("no socket at %s: other processes are noticed by the file alone", address)

    async def _listen(self, address: Path, connections: TaskGroup) -> AbstractServer | None:
        return await listen(address, lambda frames: connections.start_soon(self._serve, frames))

    async def _stay(self, address: Path, listener: AbstractServer) -> None:
        """Return once the socket was removed; one that another process has put there is its own."""
        own = found_at(address)
        try:
            while found_at(address) is not None:  # noqa: ASYNC110 - who removes it sets no event
                await anyio.sleep(self._interval)
        finally:
            listener.close()
            remove(address, own)

    async def _serve(self, frames: Frames) -> None:
        """One connection, until the other side hangs up."""
        try:
            async with anyio.create_task_group() as group:
                try:
                    while True:
                        await self._heed(await frames.receive(), frames, group)
                finally:
                    group.cancel_scope.cancel()
        except* ConnectionError as gone:
            log.debug("a connection has ended: %s", gone.exceptions[0])
        except* Exception:
            log.exception("serving another process failed, which is a bug")
        finally:
            frames.close()

    async def _heed(self, message: Message, frames: Frames, group: TaskGroup) -> None:
        match message:
            case {"verb": "look", "id": int(number)}:
                group.start_soon(self._answer, frames, number, self._look)
            case {"verb": "snapshot", "id": int(number)}:
                group.start_soon(self._answer, frames, number, self._snapshot)
            case {"verb": "explain", "id": int(number), "task": int(task)}:
                explain = partial(self._explain, TaskId(task))
                group.start_soon(self._answer, frames, number, explain)
            case {"verb": "end", "id": int(number), "task": int(task)}:
                group.start_soon(self._answer, frames, number, partial(self._end, TaskId(task)))
            case {"verb": "idle", "id": int(number)}:
                group.start_soon(self._answer, frames, number, self._until_idle)
            case {"verb": "events", "id": int(number)}:
                group.start_soon(self._stream, frames, number)
            case _:
                raise ConnectionError(f"it says what is not understood: {message!r:.100}")

    async def _answer(
        self, frames: Frames, number: int, verb: Callable[[], Awaitable[object]]
    ) -> None:
        try:
            answer: Message = {"id": number, "value": await verb()}
        except TaskmillError as error:
            answer = {"id": number, "error": type(error).__name__, "message": str(error)}
        except Exception as error:
            log.exception("what another process asked for failed, which is a bug")
            answer = {"id": number, "error": "StoreError", "message": f"it failed: {error!r:.300}"}
        await frames.send(answer)

    # --- what can be asked for ---

    async def _look(self) -> None:
        await self._inbox.settle()

    async def _snapshot(self) -> object:
        return to_json(await self._snapshots.of_all())

    async def _explain(self, task: TaskId) -> object:
        return to_json(await self._queries.explain(task, domain=None))

    async def _end(self, task: TaskId) -> None:
        """Return once a task has ended; one that has is not awaited even for a moment."""
        check_id(task, "there is")
        if await self._has_ended(task):
            return
        ended = self._endings.expect(task)
        try:
            if not await self._has_ended(task):
                await ended.wait()
        finally:
            self._endings.forget(task, ended)

    async def _has_ended(self, task: TaskId) -> bool:
        return (await self._queries.read(task, domain=None)).status.is_terminal

    async def _until_idle(self) -> None:
        await self._inbox.settle()
        await self._idle()

    async def _stream(self, frames: Frames, number: int) -> None:
        events: EventStream[Event] = EventStream(lambda: self._hub, domain=None, task_type=None)
        async with events:
            await frames.send({"id": number, "value": None})
            async for event in events:
                await frames.send(self._told(event))
        frames.close()

    def _told(self, event: Event) -> Message:
        """An event as it is sent: with what its type's codec writes of payload and result."""
        fields = event.to_dict()
        message: Message = {"event": fields}
        known = self._registry.find(event.header.type) if isinstance(event, About) else None
        if known is None or not isinstance(event, About):
            return message
        try:
            message["payload"] = known.codec.encode(event.task)
            if isinstance(event, Completed):
                message["result"] = known.codec.encode_result(event.result)
        except PayloadError as error:
            log.debug("an event is sent without its payload: %s", error)
        return message
