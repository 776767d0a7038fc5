"""How the parts of a scheduler are put together that does not dispatch."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from threading import get_ident

import anyio

from taskmill.client.ends import Ends
from taskmill.client.feed import Feed
from taskmill.client.line import Line, NobodyThere
from taskmill.client.remote import Remote, Requests
from taskmill.client.views import Distant, DistantSnapshots
from taskmill.engine.clock import Clock
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.events.tracing import Tracing
from taskmill.engine.registry import Registry
from taskmill.engine.requests.control import Control
from taskmill.engine.requests.enlistment import Enlistment
from taskmill.engine.requests.schedules import Schedules
from taskmill.engine.requests.steering import Steering
from taskmill.engine.requests.tuning import Tuning
from taskmill.engine.views.queries import Queries
from taskmill.engine.writer import Writer
from taskmill.link.frames import Frames
from taskmill.model.effects import Holder
from taskmill.model.errors import ConfigurationError, InvalidState
from taskmill.model.policies import Shutdown
from taskmill.model.record import TaskRecord
from taskmill.rules.limits import Limits
from taskmill.store.base import Store


class Client:
    """One opening of a scheduler that submits, asks and looks on; another process dispatches."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        limits: Limits,
        poll_interval: timedelta,
        hub: Hub,
        meters: Meters,
        clock: Clock,
        tracing: Tracing | None = None,
    ) -> None:
        home = store.home()
        if home is None:
            raise ConfigurationError(f"{store!r} is in memory, where no other process dispatches")
        self.clock = clock
        self._store = store
        self._hub = hub
        self._poll_interval = poll_interval
        self._thread = get_ident()
        self._line = Line(home)
        self._ends = Ends(line=self._line, poll_interval=poll_interval)
        self._feed = Feed(line=self._line, hub=hub, registry=registry, poll_interval=poll_interval)
        self._requests = Requests(store=store, limits=limits, clock=clock)
        self._writer = Writer(
            store=self._requests,
            clock=clock,
            source=self._requests,
            meters=meters,
            on_idle=_nothing,
        )
        remote = Remote(
            store=store,
            writer=self._writer,
            requests=self._requests,
            line=self._line,
            clock=clock,
            poll_interval=poll_interval,
        )
        self._enlistment = Enlistment(store=store, clock=clock, notice=self._line.hint)
        self.queries = Queries(
            store=store,
            clock=clock,
            showing=Distant(line=self._line, limits=limits, clock=clock),
        )
        self.control = Control(
            registry=registry,
            applying=remote,
            enlistment=self._enlistment,
            endings=self._ends,
            clock=clock,
            limits=limits,
            queries=self.queries,
            tracing=tracing,
        )
        self.steering = Steering(limits=limits, applying=remote, clock=clock)
        self.schedules = Schedules(store=store, registry=registry, applying=remote, clock=clock)
        self.snapshots = DistantSnapshots(
            line=self._line,
            store=store,
            limits=limits,
            schedules=self.schedules,
            clock=clock,
            domains=registry.domains,
        )
        self._stopped = anyio.Event()
        self.has_started = anyio.Event()
        self.has_ended = anyio.Event()

    @property
    def is_here(self) -> bool:
        """Whether this is the thread of the event loop that the scheduler runs in."""
        return get_ident() == self._thread

    @property
    def tuning(self) -> Tuning:
        """Raises InvalidState: limits are those of the process that dispatches."""
        raise InvalidState(
            "this scheduler does not dispatch, and limits hold where that is done: set them in "
            "the process that dispatches"
        )

    async def serve(self) -> None:
        """Open, write and ask until told to stop, and close; only stopped, not cancelled."""
        with anyio.CancelScope(shield=True):
            try:
                with self.clock.hold():
                    await self._store.visit()
                    self._requests.hold(await self._store.pauses())
                async with anyio.create_task_group() as outer:
                    outer.start_soon(self._writer.run)
                    async with anyio.create_task_group() as background:
                        self._line.load(background)
                        self._ends.load(background)
                        self._feed.load(background)
                        self._enlistment.load(background)
                        self.has_started.set()
                        await self._stopped.wait()
                        self._leave()
                        background.cancel_scope.cancel()
                    self._writer.close()
            finally:
                self._leave()
                with self.clock.hold():
                    await self._store.close()
                self.has_ended.set()

    def _leave(self) -> None:
        """Whoever still waits for the dispatcher is let go, and nobody begins to."""
        self._line.close()
        self._ends.close()
        self._hub.close()

    def stop(self, mode: Shutdown) -> None:  # noqa: ARG002 - nothing runs here that could be drained
        """Begin to shut down."""
        self._stopped.set()

    async def overdue(self) -> None:
        """No handler runs here, so none is overdue."""
        await anyio.sleep_forever()

    def active_tasks(self) -> list[TaskRecord]:
        """No handler runs in this process."""
        return []

    async def idle(self) -> None:
        """Wait until the dispatcher is idle; for one to come, where nobody dispatches."""
        while not self._stopped.is_set():
            try:
                await self._line.ask("idle")
            except NobodyThere:
                await anyio.sleep(self._poll_interval.total_seconds())
            else:
                return

    @asynccontextmanager
    async def feed(self) -> AsyncGenerator[AsyncIterator[dict[str, object]]]:
        """The events of the dispatcher as they happen, JSON-ready, as of their ``to_dict``.

        Ends with the dispatcher; InvalidState where nobody dispatches.
        """
        try:
            frames = await self._line.open_stream("events")
        except NobodyThere:
            raise InvalidState(
                "nobody dispatches from this database now, or cannot be reached; so there are no "
                "events"
            ) from None
        try:
            yield _events_of(frames)
        finally:
            frames.close()

    async def holder(self) -> Holder | None:
        """The process that dispatches; None where none does."""
        with self.clock.hold():
            return await self._store.holder()


async def _events_of(frames: Frames) -> AsyncIterator[dict[str, object]]:
    with suppress(ConnectionError):
        while True:
            yield (await frames.receive())["event"]


def _nothing() -> None:
    """Nobody waits for this process to be idle."""
