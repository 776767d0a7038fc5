"""The scheduler: domains, state and limits around one store, as an async context manager."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any, Self, final, overload

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import TaskStatus as Started
from typing_extensions import TypeVar, Unpack

from taskmill.access import TaskAccess
from taskmill.client.client import Client
from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task, TaskType, checked_task_type
from taskmill.engine.clock import Clock, SystemClock
from taskmill.engine.engine import Engine
from taskmill.engine.events.hub import EventStream, Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.events.tracing import Tracing
from taskmill.engine.parts import (
    check_part,
    check_ports,
    check_preemption,
    check_slots,
    checked,
    checked_interval,
    checked_loop_limit,
    checked_mode,
    checked_policy,
    checked_role,
    defaults_of,
    executors_of,
    groups_of,
    rates_of,
    routing_of,
    sources_of,
    store_of,
)
from taskmill.engine.placing import Placing, TypeRoute
from taskmill.engine.pressure import Gauges
from taskmill.engine.reading import misfit
from taskmill.engine.registry import Registry
from taskmill.engine.requests.control import Control
from taskmill.engine.requests.steering import Steering
from taskmill.engine.service import (
    GaveUp,
    cause_of,
    check_loop,
    check_main_thread,
    obey_signals,
    serve,
    serving,
)
from taskmill.executors.base import Executor
from taskmill.handle import DomainHandle
from taskmill.model.errors import ConfigurationError, InvalidState, PayloadError
from taskmill.model.events import Event, Lagged, TaskEvent
from taskmill.model.limits import check_text
from taskmill.model.metrics import Metrics
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.pauses import PauseScope
from taskmill.model.policies import Drain, Priority, Retention, RetryPolicy, Shutdown
from taskmill.model.resources import PressureSource, Resources
from taskmill.model.schedules import Recurrence, ScheduleRecord
from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit, Throttle
from taskmill.model.snapshot import SchedulerSnapshot
from taskmill.model.storedwork import StoredWork
from taskmill.rules.limits import Limits
from taskmill.rules.routing import Routing
from taskmill.store.base import Store
from taskmill.store.sqlite.store import Durability

log = logging.getLogger("taskmill")

D = TypeVar("D", bound=DomainKey)
R = TypeVar("R")
T = TypeVar("T", bound=Task[Any, Any])


@final
class Scheduler(TaskAccess[Any], AsyncContextManagerMixin):
    """Runs the tasks of its domains: ``async with Scheduler("app.db", domains=[...]) as s:``.

    ``path`` is a SQLite file or ``":memory:"``; ``store`` is for a store made by hand. Entering
    opens the store, recovers what a crash left and dispatches until the block ends; leaving it
    shuts down as ``shutdown`` says, or at once where an exception or a cancellation ends it.
    Everything is checked here: ConfigurationError names what is wrong. On entering, StoreInUse
    is raised where another process dispatches from the same file. Should the scheduler itself
    fail, its block is cancelled and ends with SchedulerFailed.

    ``durability`` is ``"power"`` unless given; a ``store`` has its own.
    ``tracing`` follows submits and attempts, such as `taskmill.otel.OpenTelemetry`.

    With ``dispatch=False`` it submits, asks and looks on while another process dispatches from the
    same file; no handler, schedule or hook of a domain runs here, and types without a handler can
    be submitted too. What it asks for is in the file on return; cancel, pause and the like return
    once they are carried out: by the dispatcher, or right here where there is none.

    With ``standby=True`` entering waits while another process dispatches, and takes over when that
    ends. ``poll_interval`` is how often the file is looked at for what others have written, where
    they cannot say so, and for the end of a dispatcher.

    A handler that blocks the event loop for ``loop_limit`` is named in the log, with the line it
    is at; so is other code that does while handlers run. None turns this off.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        domains: Iterable[Domain[Any]],
        state: Iterable[object] = (),
        max_concurrency: int = 16,
        groups: Mapping[str, GroupPolicy] | None = None,
        group_default: GroupPolicy | None = None,
        fair: bool | None = None,
        rates: Mapping[type[Task[Any, Any]], RateLimit] | None = None,
        aging: Aging | None = None,
        preempt_at: int | None = Priority.REALTIME,
        max_preemptions: int = 3,
        pressure: Sequence[PressureSource] = (),
        throttle: Throttle | None = None,
        resources: Resources | None = None,
        io_capacity: IoBudget | None = None,
        retry: RetryPolicy | None = None,
        ttl: timedelta | None = None,
        retention: Retention | None = None,
        shutdown: Shutdown | None = None,
        executors: Mapping[str, Executor] | None = None,
        routing: Routing | None = None,
        loop_limit: timedelta | None = timedelta(seconds=0.5),
        dispatch: bool = True,
        standby: bool = False,
        poll_interval: timedelta = timedelta(seconds=0.5),
        durability: Durability | None = None,
        store: Store | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._store = store_of(path, store, durability)
        check_ports(clock, rng, tracing)
        self._executors = executors_of({} if executors is None else executors)
        self._routing = routing_of(routing)
        placing = Placing(self._executors, self._routing)
        self._dispatches = checked_role(self._store, dispatch=dispatch, standby=standby)
        self._standby = standby
        self._registry = Registry(
            domains, state, defaults_of(retry, ttl), placing, only_submits=not dispatch
        )
        if not self._registry.domains:
            raise ConfigurationError("a scheduler needs a domain: Scheduler(..., domains=[...])")
        check_slots(max_concurrency)
        check_preemption(preempt_at, max_preemptions)
        check_part(resources, "resources", ["sample"])
        capacity = checked(io_capacity, IoBudget, "io_capacity", "IoBudget(read=200_000_000)")
        self._gauges_of = partial(
            Gauges, sources=sources_of(pressure), resources=resources, capacity=capacity
        )
        self._limits = Limits(
            max_concurrency=max_concurrency,
            kinds=self._registry.kinds(),
            executors={name: executor.capacity for name, executor in self._executors.items()},
            domains={d.name: d.max_concurrency for d in self._registry.domains.values()},
            groups=groups_of({} if groups is None else groups),
            group_default=checked_policy(
                GroupPolicy() if group_default is None else group_default, "group_default"
            ),
            rates=rates_of({} if rates is None else rates, self._registry),
            fair=fair,
            aging=checked(aging, Aging, "aging", "Aging(step=timedelta(seconds=60))"),
            preempt_at=preempt_at,
            max_preemptions=max_preemptions,
            throttle=checked(throttle, Throttle, "throttle", "Throttle({Priority.NORMAL: 0.75})"),
            is_throttled=bool(pressure) or resources is not None,
            io_capacity=capacity,
        )
        self._retention = (
            checked(retention, Retention, "retention", "Retention(count=10_000)") or Retention()
        )
        self._shutdown = checked_mode(Drain() if shutdown is None else shutdown, "shutdown")
        self._loop_limit = checked_loop_limit(loop_limit)
        self._poll_interval = checked_interval(poll_interval)
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or Random()  # noqa: S311 - spreads retries; nothing secret
        self._meters = Meters(self._registry.by_domain(), self._executors)
        self._tracing = tracing
        self._hub = Hub()
        self._engine: Engine | Client | None = None

    def __repr__(self) -> str:
        return f"Scheduler({self._store!r}, domains={sorted(self._registry.domains)})"

    # --- life ---

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        self._check_closed()
        check_loop()
        self._engine = engine = self._new_engine()
        try:
            async with serving(engine, self._shutdown):
                yield self
        finally:
            self._engine = None
            self._hub = Hub()

    def _check_closed(self) -> None:
        if self._engine is not None:
            raise InvalidState(
                "this scheduler is open already; open it once, with `async with` or `run`"
            )

    async def run(self, *, task_status: Started[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until SIGINT or SIGTERM, or until `stop` is called: ``anyio.run(scheduler.run)``.

        Beside other things, ``await task_group.start(scheduler.run)`` returns once it is open.
        The first signal shuts down as ``shutdown`` says, a second one stops at once. A handler
        that does not stop within its ``stop_grace`` even then is left behind: the process exits
        with status 1, and the next opening takes its task up again.
        """
        self._check_closed()
        check_main_thread()
        try:
            async with anyio.create_task_group() as signals:
                await signals.start(obey_signals, self._shutdown, self._stop)
                async with self:
                    task_status.started()
                    await serve(self._opened())
                signals.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = cause_of(group)
            if not isinstance(error, GaveUp):
                raise error from None

    @asynccontextmanager
    async def lifespan(self, app: object) -> AsyncGenerator[dict[str, Self]]:  # noqa: ARG002
        """Open with a web application and close with it: ``FastAPI(lifespan=scheduler.lifespan)``.

        For Starlette, and what is made on it. Requests find the scheduler as
        ``request.state.scheduler``.
        """
        async with self:
            yield {"scheduler": self}

    def stop(self, mode: Shutdown | None = None) -> None:
        """Begin to shut down, as ``mode`` or else as the scheduler's ``shutdown`` says."""
        self._opened()
        self._stop(self._shutdown if mode is None else checked_mode(mode, "stop"))

    def _stop(self, mode: Shutdown) -> None:
        if self._engine is not None:
            self._engine.stop(mode)

    async def idle(self) -> None:
        """Wait until nothing runs, could start, or waits out the backoff of a retry.

        Tasks whose start time has not come, and tasks whose type has no handler here, do not
        count.
        """
        await self._opened().idle()

    def _new_engine(self) -> Engine | Client:
        if not self._dispatches:
            return Client(
                store=self._store,
                registry=self._registry,
                limits=self._limits,
                poll_interval=self._poll_interval,
                hub=self._hub,
                meters=self._meters,
                clock=self._clock,
                tracing=self._tracing,
            )
        return Engine(
            store=self._store,
            registry=self._registry,
            limits=self._limits,
            gauges=self._gauges_of(self._limits.pressure),
            executors=self._executors,
            retention=self._retention,
            loop_limit=self._loop_limit,
            poll_interval=self._poll_interval,
            standby=self._standby,
            hub=self._hub,
            meters=self._meters,
            clock=self._clock,
            rng=self._rng,
            tracing=self._tracing,
            handle=self.domain,
            find_handle=self.find_domain,
        )

    def _opened(self) -> Engine | Client:
        if self._engine is None:
            raise InvalidState("the scheduler is not open; use it inside `async with scheduler:`")
        if not self._engine.is_here:
            raise InvalidState(
                "the scheduler runs in the event loop of another thread; call it there, from a "
                "handler's thread by anyio.from_thread.run"
            )
        return self._engine

    def _heard(self) -> Hub:
        self._opened()
        return self._hub

    def _control(self) -> Control:
        return self._opened().control

    def _steering(self) -> Steering:
        return self._opened().steering

    # --- domains and state ---

    def domain(self, key: type[D]) -> DomainHandle[D]:
        """The handle of a domain; UnknownDomainError if it was not mounted here."""
        return DomainHandle(key, self._registry.domain(key), self._opened, self._heard)

    def find_domain(self, key: type[D]) -> DomainHandle[D] | None:
        """The handle of a domain, or None if it was not mounted here."""
        return None if self._registry.find_domain(key) is None else self.domain(key)

    def add_state(self, state: object) -> None:
        """Make ``state`` visible to every domain; an earlier one of its type is replaced."""
        self._registry.add_state(state)

    @property
    def routing(self) -> Routing:
        """The rules that choose executors: ``scheduler.routing.explain("ml::train")``."""
        return self._routing

    def routes(self) -> list[TypeRoute]:
        """Where the tasks of each type run, and what decided that; by the names of the types."""
        return self._registry.routes()

    def misfit(self, stored: StoredWork) -> PayloadError | None:
        """Why the domains here could not run what is stored; None where they can.

        The scheduler need not be open: `taskmill check` asks before a deploy.
        """
        return misfit(self._registry, stored)

    async def snapshot(self) -> SchedulerSnapshot:
        """What runs and waits now, in all domains and groups, and which limits are in force."""
        return await self._opened().snapshots.of_all()

    def metrics(self) -> Metrics:
        """What was counted since this object was made, and how it stands; from memory, any thread.

        What waits for a later time, for other tasks or for children is in `snapshot` alone.
        """
        return self._meters.read()

    # --- steering ---

    @property
    def is_paused(self) -> bool:
        """Whether the scheduler itself is paused; see `pause`."""
        return self._limits.pauses.is_held(PauseScope.SCHEDULER)

    async def pause(self, *, interrupt: bool = True) -> None:
        """Start nothing until `resume`, also after a restart.

        What runs is stopped and goes back to the queue, its attempt refunded; with
        ``interrupt=False`` it may finish. Pauses of domains and groups hold on their own.
        """
        await self._steering().pause(PauseScope.SCHEDULER, "", interrupt=interrupt)

    async def resume(self) -> None:
        """End a `pause` of the scheduler; what no other pause holds may start."""
        await self._steering().resume(PauseScope.SCHEDULER, "")

    def set_max_concurrency(self, max_concurrency: int) -> None:
        """Run at most so many tasks at once; what runs beyond a lowered cap goes on."""
        check_slots(max_concurrency)
        self._opened().tuning.set_cap(self._limits.all, max_concurrency)

    def set_group(self, name: str, policy: GroupPolicy) -> None:
        """Let another policy hold for a group, until this scheduler is made anew."""
        check_text(name, "a group's name")
        self._opened().tuning.set_group(name, checked_policy(policy, "the policy of a group"))

    def set_rate(self, task: type[Task[Any, Any]], limit: RateLimit | None) -> None:
        """Let tasks of a type start at another rate; None for any rate."""
        rate = checked(limit, RateLimit, "a rate", "RateLimit(100)")
        self._opened().tuning.set_rate(self._registry.type_of(task), rate)

    # --- tasks of all domains ---

    async def submit(self, task: Task[Any, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """Submit a task of any domain; as `DomainHandle.submit`."""
        [submitted] = await self._control().submit([task], options)
        return submitted

    async def submit_many(
        self, tasks: Iterable[Task[Any, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """Submit tasks of any domains in one transaction; as `DomainHandle.submit_many`."""
        return await self._control().submit(tasks, options)

    async def schedule(
        self, task: Task[Any, Any], rule: Recurrence, name: str | None = None
    ) -> ScheduleRecord:
        """Have a task of any domain recur; as `DomainHandle.schedule`."""
        domain = self._registry.of(task).domain
        return await self.domain(self._registry.domains[domain].key).schedule(task, rule, name)

    @overload
    def events(self, /) -> EventStream[Event]: ...
    @overload
    def events(self, of: TaskType[Any, T, R], /) -> EventStream[TaskEvent[T, R] | Lagged]: ...
    def events(self, of: TaskType[Any, Any, Any] | None = None, /) -> EventStream[Any]:
        """What happens in all domains, or to one type of task; as `DomainHandle.events`."""
        task_type = None if of is None else checked_task_type(of, "events").task_type
        return EventStream(self._heard, domain=None, task_type=task_type)
