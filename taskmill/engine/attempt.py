"""One run of one handler: from the claimed record to the result that is settled."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from logging import Logger, LoggerAdapter
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.to_thread
import attrs
from typing_extensions import TypeVarTuple

from taskmill.define.context import Context
from taskmill.define.task import DomainKey, Task
from taskmill.engine.clock import Clock
from taskmill.engine.failures import MAX_MESSAGE, describe, own_doing, said, text_of
from taskmill.engine.registry import Registration
from taskmill.engine.strategies import ask_strategy
from taskmill.engine.tasklog import TaskLog
from taskmill.executors.base import Executor, Work
from taskmill.model.changes import StopCause
from taskmill.model.errors import (
    Cancel,
    InvalidState,
    PayloadError,
    PayloadTooLarge,
    Permanent,
    RetryAfter,
    Snooze,
    Stopped,
)
from taskmill.model.limits import MAX_LENGTH, check_tags
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.policies import Backoff
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.stages import Stage
from taskmill.rules.options import AttemptOptions, attempt_options
from taskmill.rules.plan import Start
from taskmill.rules.retry import is_retryable, retry_delay
from taskmill.rules.settle import Halted, Raised, Result, Returned, Snoozed

if TYPE_CHECKING:
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ENDINGS = (StopCause.CANCELLED, StopCause.SUPERSEDED, StopCause.FAILED)
"""Causes that end the task, so that its ``on_cancel`` is owed."""
_NOTHING = IoTotals()


class Surroundings(Protocol):
    """What the handlers of one scheduler share, as far as an attempt passes it on."""

    @property
    def clock(self) -> Clock: ...
    @property
    def epoch(self) -> int: ...
    def state(self, domain: str, of: type[S]) -> S: ...
    def handle(self, key: type[D]) -> DomainHandle[D]: ...
    def find_handle(self, key: type[D]) -> DomainHandle[D] | None: ...
    def progressed(self, attempt: Attempt, fraction: float, message: str | None) -> None: ...
    async def spawn(
        self, parent: TaskRecord, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]: ...
    async def children(self, task: TaskId) -> list[TaskRecord]: ...
    async def set_tags(self, task: TaskId, tags: Mapping[str, str]) -> None: ...


class Attempt:
    """One run: what its handler's `Context` stands on, and how it is told to stop."""

    def __init__(
        self,
        surroundings: Surroundings,
        record: TaskRecord,
        registration: Registration,
        start: Start,
    ) -> None:
        self._surroundings = surroundings
        self.record = record
        self.registration = registration
        self.start = start
        self._unfit: PayloadError | None = None
        self.options: AttemptOptions = self._own_options()
        self.task: object = None
        self.result: object = None
        self.cause: StopCause | None = None
        self.has_begun = False
        """Whether its handler was called; not where the scheduler shut down before that."""
        self.has_ended = False
        self.runs_in: asyncio.Task[None] | None = None
        """Held here, as the event loop holds its tasks weakly."""
        self.progress_made: float | None = None
        self.bytes_done: tuple[int, int | None] | None = None
        """How many bytes are done, of how many, as its handler says."""
        self.io = IoTotals()
        """What this run moved, as far as its handler said so."""
        self._ended: anyio.Event | None = None
        self._scope = anyio.CancelScope()
        self._undoing: anyio.CancelScope | None = None

    # --- how it runs ---

    async def run(self, executor: Executor, jitter: Callable[[], float]) -> Result:
        """Run the handler to its end; every way it can end is a value."""
        if self._unfit is not None:
            return self._for_good(self._unfit)
        codec = self.registration.codec
        try:
            self.task = codec.decode(self.record.payload)
        except PayloadError as error:
            return self._for_good(error)
        part = self.record.stage.part
        if part is Stage.UNDO:
            ended_by = StopCause.CANCELLED
            return await self._undo(executor, Halted(ended_by))
        result = await self._until_stopped(executor, jitter)
        if isinstance(result, Halted) and result.cause in _ENDINGS:
            return await self._undo(executor, result)
        return result

    async def _until_stopped(self, executor: Executor, jitter: Callable[[], float]) -> Result:
        """Run the handler, or its finalize, to its end."""
        failure: BaseException | None = None
        try:
            with self._scope:
                try:
                    self.result = await self._call(executor)
                except BaseException as error:
                    failure = error
                    raise
                if self.cause is not StopCause.TIMEOUT:
                    return self._returned(jitter)
        except BaseException as error:  # noqa: BLE001 - around the user's handler
            if self.cause is not None:
                return self._halted(error, jitter)
            return self._raised(own_doing(error, failure), jitter)
        finally:
            del failure  # it holds this frame, and this frame it
        return self._halted(None, jitter)

    async def _undo(self, executor: Executor, halted: Halted) -> Halted:
        """Run what is to run when a task is cancelled; an error in it is kept with the task."""
        handler = self.registration.handler
        if handler is None or handler.on_cancel is None:
            return attrs.evolve(halted, is_undone=True)
        error: BaseException | None = None
        grace = self.options.cancel_grace
        try:
            with anyio.CancelScope(shield=True) as self._undoing:
                self._undoing.deadline = anyio.current_time() + grace.total_seconds()
                await self._work(executor, handler.on_cancel, ())
        except BaseException as raised:  # noqa: BLE001 - around the user's on_cancel
            error = raised
        if error is None and self._undoing is not None and self._undoing.cancelled_caught:
            error = TimeoutError(f"on_cancel ran for longer than its cancel_grace of {grace}")
        if error is None:
            return attrs.evolve(halted, is_undone=True)
        now = self._surroundings.clock.now()
        kept = describe(error, run=self.record.run, at=now)
        return attrs.evolve(halted, is_undone=True, error=kept)

    def _returned(self, jitter: Callable[[], float]) -> Result:
        memo = self.registration.memo
        try:
            if memo is not None and self.record.stage.part is Stage.EXECUTE:
                return Returned(memo.encode(self.result), finalizes=True)
            return Returned(self.registration.codec.encode_result(self.result))
        except (PayloadError, PayloadTooLarge) as error:
            return self._for_good(error)
        except Exception as error:  # noqa: BLE001 - the user's own values
            return self._raised(error, jitter)

    def broken(self, error: BaseException) -> Result:
        """What is settled where even `run` could not say how the handler ended."""
        return self._for_good(error)

    async def _call(self, executor: Executor) -> object:
        handler, memo = self.registration.handler, self.registration.memo
        if handler is None:
            raise Permanent(f"{self.record.type!r} has no handler here")
        if self.record.stage.part is not Stage.FINALIZE:
            return await self._work(executor, handler.execute, ())
        if handler.finalize is None or memo is None:
            raise Permanent(f"the handler of {self.record.type!r} has no finalize any more")
        returned = memo.decode(self.record.memo)
        return await self._work(executor, handler.finalize, (returned,))

    async def _work(
        self, executor: Executor, function: Callable[..., Any], returned: tuple[object, ...]
    ) -> object:
        """Call one of the handler's functions where it runs."""
        work = Work(
            call=function,
            arguments=(self.task, *returned, Context[Any](self)),
            hold=self._surroundings.clock.hold,
        )
        result = await executor.run(work)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise Permanent(
                f"the handler of {self.record.type!r} returned {result!r:.100}, which nothing "
                "awaits; make the handler async def"
            )
        return result

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

    def _halted(self, error: BaseException | None, jitter: Callable[[], float]) -> Result:
        """The handler was told to stop and has, whatever it made of that."""
        if self.cause is StopCause.TIMEOUT:
            late = TimeoutError(f"ran for longer than its timeout of {self.options.timeout}")
            late.__cause__ = error
            return self._raised(late, jitter)
        return Halted(self.cause or StopCause.SHUTDOWN)

    def _for_good(self, error: BaseException) -> Result:
        """A failure that another attempt would meet again; a task that is to end, ends."""
        kept = describe(error, run=self.record.run, at=self._surroundings.clock.now())
        if self.record.stage.part is Stage.UNDO:
            return Halted(StopCause.CANCELLED, is_undone=True, error=kept)
        return Raised(
            error=kept,
            max_retries=self.options.max_retries,
            delay=None,
        )

    def _raised(self, error: BaseException, jitter: Callable[[], float]) -> Result:
        """What came of an error; one that cannot be judged is not retried, and says why."""
        if isinstance(error, Snooze):
            return Snoozed(min(max(error.delay, timedelta(0)), MAX_LENGTH))
        if isinstance(error, Cancel):
            reason = said(lambda: error.reason, "the reason") or "cancelled by its handler"
            return Halted(StopCause.CANCELLED, reason=reason[:MAX_MESSAGE])
        delay, note = None, ""
        try:
            delay = self._delay_after(error, jitter)
        except BaseException as unjudged:  # noqa: BLE001 - retry_on is the user's; nothing is awaited
            note = f"Not retried, for judging this error raised {text_of(unjudged)}"
        now = self._surroundings.clock.now()
        kept = describe(error, run=self.record.run, at=now, note=note)
        return Raised(
            error=kept,
            max_retries=self.options.max_retries,
            delay=delay,
            dead_letter=self.options.retry.dead_letter,
            reason=kept.message if isinstance(error, Permanent) else "",
        )

    def _delay_after(self, error: BaseException, jitter: Callable[[], float]) -> timedelta | None:
        """When to try again; None for an error that is never retried."""
        policy = self.options.retry
        if isinstance(error, RetryAfter):
            return min(max(error.delay, timedelta(0)), MAX_LENGTH)
        if is_retryable(policy, error):
            attempt = self.record.attempt
            if isinstance(policy.backoff, Backoff):
                return retry_delay(policy, attempt, jitter=jitter())
            waits = ask_strategy(policy.backoff, attempt, error)
            return retry_delay(policy, attempt, jitter=jitter(), waits=waits)
        return None

    # --- how it is stopped ---

    def stop(self, cause: StopCause) -> None:
        """Tell the handler to stop: async ones at their next await, threads when they look."""
        if self.cause is None or (cause in _ENDINGS and self.cause not in _ENDINGS):
            self.cause = cause
        self.start.is_stopping = True
        self._scope.cancel()

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
            executor=self.start.lane.kind.executor,
            progress=self.progress_made,
            io=self.io_so_far or self.record.io,
        )

    @property
    def io_so_far(self) -> IoTotals | None:
        """What all runs of the task moved; None where this one has nothing to add."""
        if self.io == _NOTHING:
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
        return started_at + self.options.timeout

    @property
    def is_stopping(self) -> bool:
        if self._undoing is not None:
            return self._undoing.cancel_called
        return self.cause is not None

    @property
    def log(self) -> LoggerAdapter[Logger]:
        record = self.record
        return TaskLog(
            logging.getLogger(f"taskmill.task.{record.type.replace('::', '.')}"),
            {"task_id": record.id, "task_type": record.type, "attempt": record.attempt},
        )

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
        self.progress_made = min(max(fraction, 0.0), 1.0)
        self._surroundings.progressed(self, self.progress_made, message)

    def bytes(self, done: int, total: int | None) -> None:
        self.bytes_done = (done, total)
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

    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        with self._surroundings.clock.hold():
            return await anyio.to_thread.run_sync(function, *args)
