"""How the parts of an open scheduler are put together, and in which order they stop."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from random import Random
from threading import get_ident
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskGroup

from taskmill.define.task import DomainKey
from taskmill.engine.aftermath import Aftermath
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.due.firing import Firing
from taskmill.engine.due.housekeeping import Housekeeping
from taskmill.engine.due.pausing import Pausing
from taskmill.engine.events.endings import Endings
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.idleness import Idleness
from taskmill.engine.events.meters import Meters
from taskmill.engine.events.tracing import Tracing
from taskmill.engine.hooks import Hooks
from taskmill.engine.pressure import Gauges
from taskmill.engine.registry import Registry
from taskmill.engine.requests.control import Control
from taskmill.engine.requests.enlistment import Enlistment
from taskmill.engine.requests.inbox import Inbox
from taskmill.engine.requests.local import Local
from taskmill.engine.requests.reception import Reception
from taskmill.engine.requests.schedules import Schedules
from taskmill.engine.requests.steering import Steering
from taskmill.engine.requests.tuning import Tuning
from taskmill.engine.runs.durations import Durations
from taskmill.engine.runs.figures import Figures
from taskmill.engine.runs.hosting import Hosting
from taskmill.engine.runs.running import Running
from taskmill.engine.runs.surroundings import Surroundings
from taskmill.engine.runs.watchdog import Watchdog
from taskmill.engine.standby import become_dispatcher
from taskmill.engine.views.explainer import Explainer
from taskmill.engine.views.queries import Queries
from taskmill.engine.views.showing import Live
from taskmill.engine.views.snapshots import Snapshots
from taskmill.engine.views.standing import Onlooker
from taskmill.engine.writer import LAST_TRIES, Writer
from taskmill.executors.base import Executor
from taskmill.model.policies import Drain, Retention, Shutdown, Stop
from taskmill.model.record import TaskRecord
from taskmill.rules.limits import Limits
from taskmill.store.base import Store

if TYPE_CHECKING:
    from taskmill.handle import DomainHandle

log = logging.getLogger("taskmill.engine")


class Engine:
    """One opening of a scheduler: `serve` runs it, from opening the store to closing it."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        limits: Limits,
        gauges: Gauges,
        executors: Mapping[str, Executor],
        retention: Retention,
        loop_limit: timedelta | None,
        poll_interval: timedelta,
        standby: bool,
        hub: Hub,
        meters: Meters,
        clock: Clock,
        rng: Random,
        tracing: Tracing | None,
        find_handle: Callable[[type[DomainKey]], DomainHandle[Any] | None],
        handle: Callable[[type[DomainKey]], DomainHandle[Any]],
    ) -> None:
        self.clock = clock
        self.epoch = 0
        self._thread = get_ident()
        self._standby = poll_interval if standby else None
        self._store = store
        self._registry = registry
        self._hub = hub
        self._meters = meters
        hub.on_drop = meters.event_dropped
        self._find_handle = find_handle
        self._handle = handle
        self._endings = Endings()
        self._idleness = Idleness()
        self._idleness.is_idle = self._is_idle
        figures = Figures(executors)
        durations = Durations(store, clock)
        self._running = Running(
            registry=registry,
            limits=limits,
            executors=executors,
            hub=hub,
            endings=self._endings,
            figures=figures,
            meters=meters,
            durations=durations,
            clock=clock,
            rng=rng,
            tracing=tracing,
        )
        self._watchdog = Watchdog(
            loop_limit, attempts=self._running.attempts, hub=hub, meters=meters
        )
        self.dispatcher = Dispatcher(
            limits=limits,
            gauges=gauges,
            clock=clock,
            start=self._running.start,
            stop=self._running.stop,
            wake=lambda: self._writer.wake(),
            is_handled=registry.is_handled,
            follow=lambda moves: self._aftermath.follow(moves),
            meters=meters,
        )
        self._aftermath = Aftermath(
            registry=registry,
            dispatcher=self.dispatcher,
            hub=hub,
            endings=self._endings,
            meters=meters,
            stop=self._running.stop,
        )
        self._writer = Writer(
            store=store,
            clock=clock,
            source=self.dispatcher,
            meters=meters,
            on_idle=self._idleness.is_quiet,
        )
        self._pausing = Pausing(
            limits=limits,
            writer=self._writer,
            dispatcher=self.dispatcher,
            running=self._running,
            hub=hub,
            clock=clock,
        )
        self._firing = Firing(
            store=store,
            registry=registry,
            writer=self._writer,
            dispatcher=self.dispatcher,
            aftermath=self._aftermath,
            hub=hub,
            clock=clock,
        )
        self._aftermath.on_occurrence_ended = self._firing.occurrence_ended
        local = Local(
            registry=registry,
            writer=self._writer,
            aftermath=self._aftermath,
            pausing=self._pausing,
            firing=self._firing,
        )
        self._inbox = Inbox(
            store=store,
            dispatcher=self.dispatcher,
            endings=self._endings,
            local=local,
            clock=clock,
            poll_interval=poll_interval,
        )
        self._enlistment = Enlistment(store=store, clock=clock, notice=self._inbox.look)
        explainer = Explainer(limits=limits, dispatcher=self.dispatcher, clock=clock)
        self.queries = Queries(
            store=store,
            clock=clock,
            showing=Live(limits=limits, explainer=explainer, running=self._running, clock=clock),
        )
        self.control = Control(
            registry=registry,
            applying=local,
            enlistment=self._enlistment,
            endings=self._endings,
            clock=clock,
            limits=limits,
            queries=self.queries,
            tracing=tracing,
        )
        self.steering = Steering(limits=limits, applying=local, clock=clock)
        self.tuning = Tuning(limits=limits, dispatcher=self.dispatcher, hub=hub)
        self.schedules = Schedules(store=store, registry=registry, applying=local, clock=clock)
        self.snapshots = Snapshots(
            store=store,
            limits=limits,
            dispatcher=self.dispatcher,
            running=self._running,
            schedules=self.schedules,
            figures=figures,
            durations=durations,
            watchdog=self._watchdog,
            clock=clock,
            domains=registry.domains,
        )
        self._reception = Reception(
            store=store,
            registry=registry,
            inbox=self._inbox,
            queries=self.queries,
            snapshots=self.snapshots,
            endings=self._endings,
            hub=hub,
            idle=self.idle,
            poll_interval=poll_interval,
        )
        self._housekeeping = Housekeeping(
            retention=retention,
            pauses=limits.pauses,
            dispatcher=self.dispatcher,
            endings=self._endings,
            clock=clock,
        )
        self._hosting = Hosting(
            executors=executors, limits=limits, dispatcher=self.dispatcher, clock=clock
        )
        self._onlooker = Onlooker(
            registry=registry,
            limits=limits,
            dispatcher=self.dispatcher,
            running=self._running,
            clock=clock,
        )
        self._hooks = Hooks(registry.domains.values(), handle)
        self._mode: Shutdown | None = None
        self._mode_changed = anyio.Event()
        self._halted = anyio.Event()
        self.has_started = anyio.Event()
        self.has_ended = anyio.Event()

    @property
    def is_here(self) -> bool:
        """Whether this is the thread of the event loop that the scheduler runs in."""
        return get_ident() == self._thread

    # --- life ---

    async def serve(self) -> None:
        """Open, dispatch until told to stop, and close; not cancelled from outside, only stopped.

        The nesting is the order of shutdown: handlers end, then the writer has written all that
        is left, then the streams end, then the store closes.
        """
        with anyio.CancelScope(shield=True):
            try:
                opening = await become_dispatcher(
                    self._store,
                    self.clock,
                    standby=self._standby,
                    given_up=self._mode_changed.wait,
                )
                if opening is None:
                    self.has_started.set()
                    return
                self._meters.recovered(opening.recovered)
                if opening.recovered:
                    what = "run is" if opening.recovered == 1 else "runs are"
                    log.warning("%d interrupted %s back in the queue", opening.recovered, what)
                self.epoch = opening.epoch
                async with anyio.create_task_group() as outer:
                    outer.start_soon(self._writer.run)
                    async with anyio.create_task_group() as handlers:
                        self._connect(handlers)
                        self.dispatcher.load(opening)
                        self._pausing.load()
                        self._meters.standing = self._onlooker.look
                        handlers.start_soon(self.dispatcher.alarm.run)
                        handlers.start_soon(self.dispatcher.timer.run)
                        handlers.start_soon(self._pausing.alarm.run)
                        self._housekeeping.load()
                        self._enlistment.load(handlers)
                        self._inbox.load()
                        await handlers.start(self._reception.run)
                        self._writer.wake()
                        await self._firing.load(
                            opening.next_fire_ms, self._registry.domains.values()
                        )
                        try:
                            await self._unless_stopped(self._start_executors)
                            await self._hooks.start()
                            await self._unless_stopped(self._inbox.catch_up)
                            handlers.start_soon(self._inbox.run)
                            if self._mode is None:
                                self.dispatcher.begin()
                            self.has_started.set()
                            await self._until_stopped()
                        finally:
                            await self._all_stopped()
                        handlers.cancel_scope.cancel()
                    self._writer.close()
                if self._writer.lost is not None:
                    raise self._writer.lost
            finally:
                self._meters.closed()
                with self.clock.hold():
                    await self._watchdog.close()
                self._endings.close()
                self._hub.close()
                with self.clock.hold():
                    await self._store.close()
                self.has_ended.set()
                self._idleness.close()

    def stop(self, mode: Shutdown) -> None:
        """Begin to shut down; a later Stop cuts a Drain short."""
        if self._mode is None or isinstance(mode, Stop):
            self._mode = mode
            self._mode_changed.set()

    async def overdue(self) -> None:
        """Wait until a handler has not stopped in time and everything else is written.

        Returns at once where all of them have stopped, and after `LAST_TRIES` where writing fails.
        """
        await self._halted.wait()
        await anyio.sleep(self._running.longest_grace.total_seconds())
        with anyio.move_on_after(LAST_TRIES):
            while self.active_tasks() and not self._writer.is_idle:
                await self._idleness.quiet()

    def _connect(self, handlers: TaskGroup) -> None:
        self._running.connect(
            handlers=handlers,
            writer=self._writer,
            dispatcher=self.dispatcher,
            aftermath=self._aftermath,
            watchdog=self._watchdog,
            surroundings=self._surroundings(),
        )
        self._watchdog.start()

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            clock=self.clock,
            epoch=self.epoch,
            store=self._store,
            registry=self._registry,
            control=self.control,
            hub=self._hub,
            handle=self._handle,
            find_handle=self._find_handle,
        )

    async def _until_stopped(self) -> None:
        await self._mode_changed.wait()
        self.dispatcher.stop()
        if isinstance(self._mode, Drain):
            await self._drain(self._mode)
        self._running.halt()
        self._halted.set()
        await self.dispatcher.emptied()

    async def _all_stopped(self) -> None:
        """Return when no handler runs, also where it is an error that ends the scheduler."""
        self._running.halt()
        self._halted.set()
        with anyio.CancelScope(shield=True):
            await self._running.stopped()
            await self._hooks.stop()
            with self.clock.hold():
                await self._hosting.stop()

    async def _drain(self, drain: Drain) -> None:
        """Let running handlers finish, until the time is up or a Stop comes."""
        self._mode_changed = anyio.Event()
        with anyio.move_on_after(drain.timeout.total_seconds()):
            await self._unless_stopped(self.dispatcher.emptied)

    async def _start_executors(self) -> None:
        with self.clock.hold():
            await self._hosting.start(self._store.home())

    async def _unless_stopped(self, verb: Callable[[], Awaitable[None]]) -> None:
        """Await something until it is done, or until the scheduler is told to stop, or hurry."""
        async with anyio.create_task_group() as waiting:
            waiting.start_soon(self._cancel_when_hurried, waiting.cancel_scope)
            await verb()
            waiting.cancel_scope.cancel()

    async def _cancel_when_hurried(self, scope: anyio.CancelScope) -> None:
        await self._mode_changed.wait()
        scope.cancel()

    async def idle(self) -> None:
        """Wait until nothing runs, could start, or waits for its next attempt."""
        await self._idleness.wait()

    def _is_idle(self) -> bool:
        return self._writer.is_idle and self.dispatcher.is_idle

    def active_tasks(self) -> list[TaskRecord]:
        """The tasks whose handlers run now."""
        return self._running.records()
