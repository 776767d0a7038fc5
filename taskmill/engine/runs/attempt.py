"""One run of one handler: from the claimed record to the result that is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import cache, partial
from logging import Logger, LoggerAdapter
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread
import attrs
from typing_extensions import TypeVarTuple

from taskmill.define.context import Context
from taskmill.define.task import DomainKey, Task
from taskmill.engine.registry import Registration
from taskmill.engine.runs.judging import Judge
from taskmill.engine.runs.preparing import Preparing
from taskmill.executors.base import Executor, Failure, Lost, Outcome, Success, Work, checked
from taskmill.executors.failures import own_doing, said
from taskmill.executors.routine import Routine
from taskmill.executors.tasklog import task_log
from taskmill.model.changes import StopCause
from taskmill.model.errors import (
    InvalidState,
    PayloadError,
    PayloadTooLarge,
    Permanent,
    Stopped,
)
from taskmill.model.limits import MAX_PROGRESS_TEXT, check_tags
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.stages import Stage
from taskmill.rules.estimates import SILENT
from taskmill.rules.options import AttemptOptions, attempt_options
from taskmill.rules.plan import Start
from taskmill.rules.settle import Halted, Result, Returned

if TYPE_CHECKING:
    from taskmill.engine.runs.surroundings import Surroundings
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ENDINGS = (StopCause.CANCELLED, StopCause.SUPERSEDED, StopCause.FAILED)
"""Causes that end the task, so that its ``on_cancel`` is owed."""
_NOTHING = IoTotals()
_PAUSE = 1
"""Seconds until an ``on_cancel`` that its executor could not begin is tried again."""


@cache
def _scope_class() -> type[anyio.CancelScope]:
    """The class of cancel scopes; anyio looks for the event loop whenever its own name is used."""
    return type(anyio.CancelScope())


class Attempt:
    """One run: what its handler's `Context` stands on, and how it is told to stop."""

    def __init__(
        self,
        surroundings: Surroundings,
        record: TaskRecord,
        registration: Registration,
        start: Start,
        jitter: Callable[[], float],
    ) -> None:
        self._surroundings = surroundings
        self._jitter = jitter
        self.record = record
        self.registration = registration
        self.start = start
        self._unfit: PayloadError | None = None
        self.options: AttemptOptions = self._own_options()
        self._task: object = None
        self.result: object = None
        """What its handler returned."""
        self._is_made_here = False
        self.cause: StopCause | None = None
        self.has_begun = False
        """Whether its handler was called; not where the scheduler shut down before that."""
        self.has_ended = False
        self.runs_in: asyncio.Task[None] | None = None
        """Held here, as the event loop holds its tasks weakly."""
        self.reports = SILENT
        self.typical: float | None = None
        """Seconds that such runs take; it stays once it was asked for."""
        self.io = _NOTHING
        """What this run moved, as far as its handler said so."""
        self._ended: anyio.Event | None = None
        self._preparing: Preparing | None = None
        self._scope = _scope_class()()
        self._undoing: anyio.CancelScope | None = None

    # --- how it runs ---

    async def run(self, executor: Executor) -> Result:
        """Run the handler to its end; every way it can end is a value."""
        if self._unfit is not None:
            return self._judge().for_good(Failure(self._unfit))
        if self.record.stage.part is Stage.UNDO:
            return await self._undo(executor, Halted(StopCause.CANCELLED))
        result = await self._until_stopped(executor)
        if isinstance(result, Halted) and result.cause in _ENDINGS:
            return await self._undo(executor, result)
        return result

    async def _until_stopped(self, executor: Executor) -> Result:
        """Run the handler, or its finalize, to its end."""
        failure: BaseException | None = None
        try:
            with self._scope:
                try:
                    outcome = await self._outcome(executor, self.record.stage.part)
                except BaseException as error:
                    failure = error
                    raise
                match outcome:
                    case Success(result):
                        if self.cause is not StopCause.TIMEOUT:
                            return Returned(result, finalizes=self._finalizes)
                    case Failure() if self.cause is not None:
                        return self._halted(outcome.error)
                    case Failure() | Lost() if self.cause is None:
                        return self._judge().of(outcome)
                    case _:
                        pass  # it was to stop, and its worker is gone
        except BaseException as error:  # noqa: BLE001 - around the user's handler
            if self.cause is not None:
                return self._halted(error)
            return self._judge().raised(Failure(own_doing(error, failure)))
        finally:
            del failure  # it holds this frame, and this frame it
        return self._halted(None)

    async def _undo(self, executor: Executor, halted: Halted) -> Halted:
        """Run what is to run when a task is cancelled; an error in it is kept with the task."""
        handler = self.registration.handler
        if handler is None or handler.on_cancel is None:
            return attrs.evolve(halted, is_undone=True)
        failure: Failure | None = None
        grace = self.options.cancel_grace
        try:
            with anyio.CancelScope(shield=True) as self._undoing:
                self._undoing.deadline = anyio.current_time() + grace.total_seconds()
                outcome = await self._outcome(executor, Stage.UNDO)
                while isinstance(outcome, Lost) and not outcome.has_begun:
                    await anyio.sleep(_PAUSE)
                    outcome = await self._outcome(executor, Stage.UNDO)
                if isinstance(outcome, Failure):
                    failure = outcome
                elif isinstance(outcome, Lost):
                    failure = Failure(
                        RuntimeError(f"the worker of its on_cancel was lost: {outcome.reason}")
                    )
        except BaseException as raised:  # noqa: BLE001 - around the user's on_cancel
            failure = Failure(raised)
        if failure is None and self._undoing is not None and self._undoing.cancelled_caught:
            late = TimeoutError(f"on_cancel ran for longer than its cancel_grace of {grace}")
            failure = Failure(late)
        kept = None if failure is None else self._judge().kept(failure)
        return attrs.evolve(halted, is_undone=True, error=kept)

    def broken(self, error: BaseException) -> Result:
        """What is settled where even `run` could not say how the handler ended."""
        return self._judge().for_good(Failure(error))

    async def _outcome(self, executor: Executor, part: Stage) -> Outcome:
        """What an executor makes of one of the handler's functions, looked at."""
        outcome = checked(await executor.run(self._work(part)))
        if isinstance(outcome, Success) and part is not Stage.UNDO:
            return self._accepted(outcome)
        return outcome

    def _judge(self) -> Judge:
        return Judge(self.record, self.options, self._surroundings.clock.now, self._jitter)

    def _work(self, part: Stage) -> Work:
        """The run of one of the handler's functions, for the executor."""
        routine = self.registration.routine
        if routine is None:
            raise Permanent(f"{self.record.type!r} has no handler here")
        perform = self._perform if routine.handler.is_async else self._perform_blocking
        return Work(
            part=part,
            handler=routine.handler,
            workplace=self,
            call=partial(perform, routine, part),
            hold=self._surroundings.clock.hold,
            preparing=self._prepare,
        )

    @property
    def preparing(self) -> Preparing:
        """How long what is to run it has been made ready."""
        if self._preparing is None:
            self._preparing = Preparing(self._surroundings.clock.monotonic)
        return self._preparing

    def _prepare(self) -> AbstractContextManager[None]:
        return self.preparing.under_way()

    async def _perform(self, routine: Routine, part: Stage) -> Success | Failure:
        """Run a coroutine function of the handler here."""
        try:
            function, arguments = routine.function(part), self._arguments(routine, part)
        except PayloadError as error:
            return Failure(error, is_unreadable=True)
        return self._made(routine, part, await function(*arguments))

    def _perform_blocking(self, routine: Routine, part: Stage) -> Success | Failure:
        """Run a plain function of the handler here."""
        try:
            function, arguments = routine.function(part), self._arguments(routine, part)
        except PayloadError as error:
            return Failure(error, is_unreadable=True)
        return self._made(routine, part, function(*arguments))

    def _arguments(self, routine: Routine, part: Stage) -> tuple[object, ...]:
        context: Context[Any] = Context(self)
        return (*routine.arguments(self.record, part, self.load()), context)

    def _made(self, routine: Routine, part: Stage, value: object) -> Success | Failure:
        outcome = routine.outcome(value, part)
        if part is not Stage.UNDO and isinstance(outcome, Success):
            self.result, self._is_made_here = value, True
        return outcome

    @property
    def _finalizes(self) -> bool:
        """Whether what is returned is for the handler's finalize."""
        return self.registration.memo is not None and self.record.stage.part is Stage.EXECUTE

    def _accepted(self, outcome: Success) -> Success | Failure:
        """What was made elsewhere, if it fits; what was made here does."""
        routine = self.registration.routine
        if self._is_made_here or routine is None:
            return outcome
        try:
            self.result = routine.accepted(outcome.result, self.record.stage.part)
        except (PayloadError, PayloadTooLarge) as error:
            return Failure(error, is_final=True)
        return outcome

    def _own_options(self) -> AttemptOptions:
        """The options of this task; those of its type where what is stored of its own is none."""
        defaults = self.registration.defaults
        try:
            return attempt_options(defaults, self.record.options, self.record.max_retries)
        except Exception as error:  # noqa: BLE001 - a row may hold anything; it fails its own task
            self._unfit = PayloadError(
                f"the stored options {self.record.options!r:.200} do not fit: {error!r}"
            )
            return defaults.attempt

    def _halted(self, error: BaseException | None) -> Result:
        """The handler was told to stop and has, whatever it made of that."""
        if self.cause is StopCause.TIMEOUT:
            late = TimeoutError(f"ran for longer than its timeout of {self.options.timeout}")
            late.__cause__ = error
            return self._judge().raised(Failure(late))
        return Halted(self.cause or StopCause.SHUTDOWN)

    # --- how it is stopped ---

    def stop(self, cause: StopCause) -> None:
        """Tell the handler to stop: async ones at their next await, threads when they look."""
        if self.cause is None or (cause in _ENDINGS and self.cause not in _ENDINGS):
            self.cause = cause
        self.start.is_stopping = True
        self._scope.cancel()

    def load(self) -> object:
        """The payload, decoded once; PayloadError where it does not fit."""
        if self._task is None:
            self._task = self.registration.codec.decode(self.record.payload)
        return self._task

    def end(self) -> None:
        """The handler has stopped."""
        self.has_ended = True
        if self._ended is not None:
            self._ended.set()

    async def ended(self) -> None:
        """Wait until the handler has stopped."""
        if not self.has_ended:
            self._ended = self._ended or anyio.Event()
            await self._ended.wait()

    # --- what its context stands on ---

    @property
    def seen(self) -> TaskRecord:
        """The record as people see it: with the effective priority by which it started."""
        if self.start.effective == self.record.effective_priority:
            return self.record
        return attrs.evolve(self.record, effective_priority=self.start.effective)

    @property
    def reported(self) -> TaskRecord:
        """The record with what its handler has said since."""
        return attrs.evolve(
            self.record,
            effective_priority=self.start.effective,
            executor=self.start.lane.executor,
            progress=self.reports.fraction,
            io=self.io_so_far or self.record.io,
        )

    @property
    def io_so_far(self) -> IoTotals | None:
        """What all runs of the task moved; None where this one has nothing to add."""
        if self.io is _NOTHING or self.io == _NOTHING:
            return None
        return self.io if self.record.io is None else self.record.io + self.io

    @property
    def fence(self) -> int:
        return self._surroundings.epoch << 32 | self.record.run

    @property
    def deadline(self) -> datetime | None:
        started_at = self.record.started_at
        if self.options.timeout is None or started_at is None:
            return None
        spare = timedelta(seconds=self.preparing.seconds)
        return started_at + self.options.timeout + spare

    @property
    def is_stopping(self) -> bool:
        if self._undoing is not None:
            return self._undoing.cancel_called
        return self.cause is not None

    @property
    def log(self) -> LoggerAdapter[Logger]:
        return task_log(self.record)

    def check(self) -> None:
        if self.is_stopping:
            why = "its cancel_grace is over"
            if self._undoing is None and self.cause is not None:
                why = self.cause.value
            raise Stopped(f"task {self.record.id} is to stop: {why}")

    def state(self, of: type[S]) -> S:
        return self._surroundings.state(self.record.domain, of)

    def handle(self, key: type[D]) -> DomainHandle[D]:
        return self._surroundings.handle(key)

    def find_handle(self, key: type[D]) -> DomainHandle[D] | None:
        return self._surroundings.find_handle(key)

    def progress(self, fraction: float, message: str | None) -> None:
        made = float(min(max(0.0, fraction), 1.0))  # in this order NaN is cut, too
        if message is not None:
            message = said(lambda: str(message), "str()")[:MAX_PROGRESS_TEXT]
        self.reports = self.reports.progressed(made, message, self._surroundings.elapsed(self))
        self._surroundings.progressed(self, made, message)

    def bytes(self, done: int, total: int | None) -> None:
        self.reports = self.reports.flowed(done, total, self._surroundings.elapsed(self))
        if total:
            self.progress(done / total, None)

    def moved(self, io: IoTotals) -> None:
        self.io += io

    async def children(self) -> list[TaskRecord]:
        return await self._surroundings.children(self.record.id)

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        check_tags(tags)
        merged = {**self.record.tags, **tags}
        check_tags(merged)
        await self._surroundings.set_tags(self.record.id, merged)
        self.record = attrs.evolve(self.record, tags=merged)

    async def spawn_sibling(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        parent = self.record.parent
        if parent is None:
            raise InvalidState(f"task {self.record.id} has no parent, so it can have no siblings")
        return await self._surroundings.spawn(self.seen, tasks, {"parent": parent, **options})

    async def spawn(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        return await self._surroundings.spawn(self.seen, tasks, options)

    def check_awaits(self, verb: str) -> None:
        if not self._surroundings.is_here:
            raise InvalidState(
                f"nothing awaits ctx.{verb} in a thread; use ctx.blocking.{verb} there"
                if verb != "run_in_thread"
                else "this is a thread already; call the function itself"
            )

    def wait(self, verb: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        return self._surroundings.wait(verb, *args)

    async def submit(self, task: Task[Any, Any], options: SubmitOptions) -> Submitted[Any]:
        return await self._surroundings.submit(task, options)

    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        with self._surroundings.clock.hold():
            return await anyio.to_thread.run_sync(function, *args)
