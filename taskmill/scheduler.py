"""The scheduler: domains, state and limits around one store, as an async context manager."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from random import Random
from threading import current_thread, main_thread
from typing import Any, Self, final, overload

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import TaskStatus as Started
from typing_extensions import TypeVar, Unpack

from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task, TaskType
from taskmill.engine.clock import Clock, SystemClock
from taskmill.engine.control import Control
from taskmill.engine.engine import Engine
from taskmill.engine.hub import EventStream, Hub
from taskmill.engine.registry import INLINE, THREAD, Registry
from taskmill.executors.base import Executor
from taskmill.executors.inline import InlineExecutor
from taskmill.executors.thread import ThreadExecutor
from taskmill.handle import DomainHandle, selection
from taskmill.model.errors import ConfigurationError, InvalidState
from taskmill.model.events import Event, Lagged, TaskEvent
from taskmill.model.limits import check_cap
from taskmill.model.options import SubmitOptions, TaskFilter, TaskOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.policies import Drain, GroupPolicy, RetryPolicy, Shutdown, Stop
from taskmill.model.record import TaskId, TaskRecord
from taskmill.rules.gates import Limits
from taskmill.store.base import Store
from taskmill.store.sqlite import SqliteStore
from taskmill.store.sqlite.store import Durability

log = logging.getLogger("taskmill")

D = TypeVar("D", bound=DomainKey)
R = TypeVar("R")
T = TypeVar("T", bound=Task[Any, Any])


@final
class Scheduler(AsyncContextManagerMixin):
    """Runs the tasks of its domains: ``async with Scheduler("app.db", domains=[...]) as s:``.

    ``path`` is a SQLite file or ``":memory:"``; ``store`` is for a store made by hand. Entering
    opens the store, recovers what a crash left and dispatches until the block ends; leaving it
    shuts down as ``shutdown`` says, or at once where an exception or a cancellation ends it.
    Everything is checked here: ConfigurationError names what is wrong. StoreInUse is raised on
    entering where another process dispatches from the same file.
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
        retry: RetryPolicy | None = None,
        shutdown: Shutdown | None = None,
        executors: Mapping[str, Executor] | None = None,
        durability: Durability = "power",
        store: Store | None = None,
        clock: Clock | None = None,
        rng: Random | None = None,
    ) -> None:
        if (path is None) == (store is None):
            raise ConfigurationError(
                "give Scheduler a path, such as 'app.db' or ':memory:', or store=..., and not both"
            )
        self._store: Store = store or SqliteStore(path or "", durability=durability)
        defaults: TaskOptions = {} if retry is None else {"retry": retry}
        self._registry = Registry(domains, state, defaults)
        if not self._registry.domains:
            raise ConfigurationError("a scheduler needs a domain: Scheduler(..., domains=[...])")
        self._executors = _executors(executors or {})
        check_cap(max_concurrency, "max_concurrency")
        self._limits = Limits(
            max_concurrency=max_concurrency,
            handled=self._registry.handled,
            executors={name: executor.capacity for name, executor in self._executors.items()},
            domains={d.name: d.max_concurrency for d in self._registry.domains.values()},
            groups=dict(groups or {}),
            group_default=group_default or GroupPolicy(),
        )
        self._shutdown: Shutdown = shutdown if shutdown is not None else Drain()
        self._clock: Clock = clock or SystemClock()
        self._rng = rng or Random()  # noqa: S311 - spreads retries; nothing secret
        self._hub = Hub()
        self._engine: Engine | None = None

    def __repr__(self) -> str:
        return f"Scheduler({self._store!r}, domains={sorted(self._registry.domains)})"

    # --- life ---

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        if self._engine is not None:
            raise InvalidState("this scheduler is open already")
        failure: BaseException | None = None
        try:
            async with anyio.create_task_group() as engine_group:
                self._engine = engine = self._new_engine()
                try:
                    engine_group.start_soon(engine.serve)
                    await engine.has_started.wait()
                    yield self
                    engine.stop(self._shutdown)
                    await engine.has_ended.wait()  # a cancellation in here is a Stop
                except Exception as error:  # noqa: BLE001 - raised again, outside the group
                    failure = error
                    engine.stop(Stop())
                except BaseException:
                    engine.stop(Stop())
                    raise
        except BaseExceptionGroup as group:
            ended_by = group.exceptions[0] if len(group.exceptions) == 1 else group
            if failure is None:
                failure = ended_by
            else:
                log.error("the scheduler failed as well as what it served", exc_info=ended_by)
                failure.add_note(f"the scheduler failed as well: {ended_by!r}")
        finally:
            self._engine = None
            self._hub = Hub()
        if failure is not None:
            raise failure

    async def run(self, *, task_status: Started[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Serve until SIGINT or SIGTERM, or until `stop` is called: ``anyio.run(scheduler.run)``.

        Beside other things, ``await task_group.start(scheduler.run)`` returns once it is open.
        The first signal shuts down as ``shutdown`` says, a second one stops at once. A handler
        that does not stop within its ``stop_grace`` even then is left behind: the process exits
        with status 1, and the next opening takes its task up again.
        """
        if current_thread() is not main_thread():
            raise InvalidState(
                "run() takes signals, which only the main thread gets; in this thread use "
                "`async with scheduler:`"
            )
        async with self:
            engine = self._opened()
            task_status.started()
            async with anyio.create_task_group() as group:
                group.start_soon(self._obey_signals, engine)
                group.start_soon(self._leave_overdue, engine)
                await engine.has_ended.wait()
                group.cancel_scope.cancel()

    def stop(self, mode: Shutdown | None = None) -> None:
        """Begin to shut down, as ``mode`` or else as the scheduler's ``shutdown`` says."""
        self._opened().stop(mode if mode is not None else self._shutdown)

    async def idle(self) -> None:
        """Wait until nothing runs, could start, or waits for its next attempt.

        Tasks with a start time, and tasks whose type has no handler here, do not count.
        """
        await self._opened().idle()

    def _new_engine(self) -> Engine:
        return Engine(
            store=self._store,
            registry=self._registry,
            limits=self._limits,
            executors=self._executors,
            hub=self._hub,
            clock=self._clock,
            rng=self._rng,
            handle=self.domain,
            find_handle=self.find_domain,
        )

    def _opened(self) -> Engine:
        if self._engine is None:
            raise InvalidState("the scheduler is not open; use it inside `async with scheduler:`")
        if not self._engine.is_here:
            raise InvalidState(
                "the scheduler runs in the event loop of another thread; call it there, from a "
                "handler's thread by anyio.from_thread.run"
            )
        return self._engine

    def _control(self) -> Control:
        return self._opened().control

    async def _obey_signals(self, engine: Engine) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for number in signals:
                log.info("%s: shutting down", signal.Signals(number).name)
                engine.stop(self._shutdown)
                break
            async for number in signals:
                log.warning("%s again: stopping now", signal.Signals(number).name)
                engine.stop(Stop())
                break
            await anyio.sleep_forever()

    async def _leave_overdue(self, engine: Engine) -> None:
        await engine.overdue()
        left = engine.active_tasks()
        for record in left:
            log.error("leaving task %d (%s) behind: it does not stop", record.id, record.type)
        if left:
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)

    # --- domains and state ---

    def domain(self, key: type[D]) -> DomainHandle[D]:
        """The handle of a domain; UnknownDomainError if it was not mounted here."""
        return DomainHandle(key, self._registry.domain(key), self._control, lambda: self._hub)

    def find_domain(self, key: type[D]) -> DomainHandle[D] | None:
        """The handle of a domain, or None if it was not mounted here."""
        return None if self._registry.find_domain(key) is None else self.domain(key)

    def add_state(self, state: object) -> None:
        """Make ``state`` visible to every domain; an earlier one of its type is replaced."""
        self._registry.add_state(state)

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

    async def get(self, task: TaskId) -> TaskRecord:
        """The task with this id; UnknownTaskError if there is none."""
        return await self._control().get(task, domain=None)

    async def wait(self, task: TaskId, *, timeout: timedelta | None = None) -> TaskRecord:
        """The task once it has ended; as `DomainHandle.wait`."""
        return await self._control().wait(task, domain=None, timeout=timeout)

    async def result(self, of: Submitted[R], *, timeout: timedelta | None = None) -> R:
        """What the task returned; as `DomainHandle.result`."""
        value: Any = await self._control().result(of.id, domain=None, timeout=timeout)
        result: R = value
        return result

    async def cancel(self, task: TaskId) -> bool:
        """End a task; as `DomainHandle.cancel`."""
        return await self._control().cancel(task, domain=None)

    async def count(self, **where: Unpack[TaskFilter]) -> int:
        """How many tasks there are; active ones, unless ``status`` says otherwise."""
        return await self._control().count(selection(where, domain=None))

    def active_tasks(self) -> list[TaskRecord]:
        """The tasks whose handlers run now, from memory."""
        return self._opened().active_tasks()

    @overload
    def events(self, /) -> EventStream[Event]: ...
    @overload
    def events(self, of: TaskType[Any, T, R], /) -> EventStream[TaskEvent[T, R] | Lagged]: ...
    def events(self, of: TaskType[Any, Any, Any] | None = None, /) -> EventStream[Any]:
        """What happens in all domains, or to one type of task; enter it before reading."""
        task_type = None if of is None else of.task_projected()[1].task_type
        return EventStream(self._hub, domain=None, task_type=task_type)


def _executors(given: Mapping[str, Executor]) -> dict[str, Executor]:
    built_in: dict[str, Executor] = {INLINE: InlineExecutor(), THREAD: ThreadExecutor()}
    unknown = given.keys() - built_in.keys()
    if unknown:
        raise ConfigurationError(
            f"no task runs on an executor named {', '.join(sorted(unknown))}; "
            "coroutine handlers run on 'inline', plain functions on 'thread'"
        )
    return {**built_in, **given}
