"""One run of one handler: from the claimed record to the result that is settled."""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Callable, Iterable, MutableMapping
from datetime import datetime, timedelta
from logging import Logger, LoggerAdapter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import anyio
import anyio.to_thread
import attrs
from typing_extensions import TypeVarTuple

from taskmill.define.context import Context
from taskmill.define.task import DomainKey, Task
from taskmill.engine.clock import Clock
from taskmill.engine.registry import Registration
from taskmill.executors.base import Executor, Work
from taskmill.model.changes import StopCause
from taskmill.model.errors import PayloadError, PayloadTooLarge, Permanent, RetryAfter, Stopped
from taskmill.model.limits import MAX_LENGTH
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.rules.options import AttemptOptions, attempt_options
from taskmill.rules.plan import Start
from taskmill.rules.retry import is_retryable, retry_delay
from taskmill.rules.settle import Halted, Raised, Result, Returned

if TYPE_CHECKING:
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

MAX_TRACEBACK = 16 * 1024
MAX_MESSAGE = 4 * 1024
_OURS = ("taskmill.engine.", "taskmill.executors.", "anyio.")


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
        self._ended: anyio.Event | None = None
        self._scope = anyio.CancelScope()

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
            return self._raised(_own_doing(error, failure), jitter)
        finally:
            del failure  # it holds this frame, and this frame it
        return self._halted(None, jitter)

    def _returned(self, jitter: Callable[[], float]) -> Result:
        try:
            return Returned(self.registration.codec.encode_result(self.result))
        except (PayloadError, PayloadTooLarge) as error:
            return self._for_good(error)
        except Exception as error:  # noqa: BLE001 - the user's own values
            return self._raised(error, jitter)

    def broken(self, error: BaseException) -> Raised:
        """What is settled where even `run` could not say how the handler ended."""
        return self._for_good(error)

    async def _call(self, executor: Executor) -> object:
        handler = self.registration.handler
        if handler is None:
            raise Permanent(f"{self.record.type!r} has no handler here")
        work = Work(
            execute=handler.execute,
            task=self.task,
            context=Context[Any](self),
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

    def _for_good(self, error: BaseException) -> Raised:
        """A failure that another attempt would meet again."""
        return Raised(
            error=describe(error, run=self.record.run, at=self._surroundings.clock.now()),
            max_retries=self.options.max_retries,
            delay=None,
        )

    def _raised(self, error: BaseException, jitter: Callable[[], float]) -> Raised:
        """What came of an error; one that cannot be judged is not retried, and says why."""
        delay, note = None, ""
        try:
            delay = self._delay_after(error, jitter)
        except BaseException as unjudged:  # noqa: BLE001 - retry_on is the user's; nothing is awaited
            note = f"Not retried, for judging this error raised {_text_of(unjudged)}"
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
            return retry_delay(policy, self.record.attempt, jitter=jitter())
        return None

    # --- how it is stopped ---

    def stop(self, cause: StopCause) -> None:
        """Tell the handler to stop: async ones at their next await, threads when they look."""
        if self.cause is None or cause is StopCause.CANCELLED:
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
        return self.cause is not None

    @property
    def log(self) -> LoggerAdapter[Logger]:
        record = self.record
        return _TaskLog(
            logging.getLogger(f"taskmill.task.{record.type.replace('::', '.')}"),
            {"task_id": record.id, "task_type": record.type, "attempt": record.attempt},
        )

    def check(self) -> None:
        if self.cause is not None:
            raise Stopped(f"task {self.record.id} is to stop: {self.cause.value}")

    def state(self, of: type[S]) -> S:
        return self._surroundings.state(self.record.domain, of)

    def handle(self, key: type[D]) -> DomainHandle[D]:
        return self._surroundings.handle(key)

    def find_handle(self, key: type[D]) -> DomainHandle[D] | None:
        return self._surroundings.find_handle(key)

    def progress(self, fraction: float, message: str | None) -> None:
        self._surroundings.progressed(self, min(max(fraction, 0.0), 1.0), message)

    async def spawn(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        return await self._surroundings.spawn(self.seen, tasks, options)

    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        with self._surroundings.clock.hold():
            return await anyio.to_thread.run_sync(function, *args)


class _TaskLog(LoggerAdapter[Logger]):
    """Adds which task speaks to what the caller's ``extra`` says."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}


def _own_doing(error: BaseException, failure: BaseException | None) -> BaseException:
    """``error`` as it is to be recorded; ``failure`` is what the handler itself raised.

    What differs from it came up on leaving the attempt's scope: the handler left another open.
    """
    if error is not failure:
        if isinstance(failure, Exception):
            return failure
        left_open = RuntimeError(
            "the handler ended inside a cancel scope or task group that it had entered; "
            "use `with` and `async with`, which leave it"
        )
        left_open.__cause__ = error if failure is None else failure
        return left_open
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        cancelled = RuntimeError(
            "the asyncio task of the handler was cancelled, and not by the scheduler; "
            "cancel what the handler started, or the taskmill task by its id"
        )
        cancelled.__cause__ = error
        return cancelled
    return error


def describe(error: BaseException, *, run: int, at: datetime, note: str = "") -> ErrorRecord:
    """What is kept of an exception: its class, message and the end of its traceback, bounded.

    ``note`` is kept as the last line of the traceback. Nothing that the exception's own code does
    comes out of here.
    """
    frames = _said(lambda: _frames_of(error), "the traceback")
    return ErrorRecord(
        type=_said(lambda: _name_of(type(error)), "the name"),
        message=_said(lambda: str(error), "str()")[:MAX_MESSAGE],
        traceback=f"{frames}{note}"[-MAX_TRACEBACK:],
        run=run,
        at=at,
    )


def _text_of(error: BaseException) -> str:
    return f"{_NAME(type(error))}: {_said(lambda: str(error), 'str()')}"[:MAX_MESSAGE]


def _said(what: Callable[[], str], called: str) -> str:
    """A text that an exception makes, in UTF-8; it may be of any subclass of str, or raise."""
    try:
        return str.encode(what(), "utf-8", "backslashreplace").decode("utf-8")
    except BaseException as broken:  # noqa: BLE001 - the user's __str__
        return f"<{called} of this error raised {_NAME(type(broken))}>"


def _name_of(kind: type[BaseException]) -> str:
    return f"{_MODULE(kind)}.{_QUALNAME(kind)}".removeprefix("builtins.")


# The attributes of classes as `type` has them, whatever a metaclass makes of them.
_NAME: Callable[[type], str] = type.__dict__["__name__"].__get__
_QUALNAME: Callable[[type], str] = type.__dict__["__qualname__"].__get__
_MODULE: Callable[[type], str] = type.__dict__["__module__"].__get__


def _frames_of(error: BaseException) -> str:
    trace = _own_frames(error.__traceback__)
    try:
        return "".join(traceback.format_exception(type(error), error, trace, limit=-25))
    except BaseException:  # noqa: BLE001 - its notes, or groups in groups in groups
        return "".join(traceback.format_tb(trace, limit=-25))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is the handler's, not ours."""
    at = trace
    while at is not None and str(at.tb_frame.f_globals.get("__name__")).startswith(_OURS):
        at = at.tb_next
    return trace if at is None else at
