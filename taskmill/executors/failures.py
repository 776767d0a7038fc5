"""How an exception of a handler is described, whatever its own code does."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from datetime import datetime
from types import FrameType, TracebackType

from taskmill.executors.base import Failure, RemoteError
from taskmill.model.record import ErrorRecord

MAX_TRACEBACK = 16 * 1024
MAX_MESSAGE = 4 * 1024
MAX_FRAMES = 25
_OURS = ("taskmill.engine.", "taskmill.executors.", "anyio.")


def own_doing(error: BaseException, failure: BaseException | None) -> BaseException:
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


def describe(failure: Failure, *, run: int, at: datetime, note: str = "") -> ErrorRecord:
    """What is kept of an exception: its class, message and the end of its traceback, bounded.

    ``note`` is kept as the last line of the traceback. Nothing that the exception's own code does
    comes out of here.
    """
    error = failure.error
    frames = failure.trace or trace_of(error)
    message = said(lambda: failure.message or str(error), "str()")
    return ErrorRecord(
        type=error.type if isinstance(error, RemoteError) else name_of(error),
        message=message[:MAX_MESSAGE],
        traceback=f"{frames}{note}"[-MAX_TRACEBACK:],
        run=run,
        at=at,
    )


def name_of(error: BaseException) -> str:
    """The qualified name of its class."""
    return said(lambda: _name_of(type(error)), "the name")


def trace_of(error: BaseException) -> str:
    """Its traceback from the handler's frame on, as text."""
    return said(lambda: _frames_of(error), "the traceback")


def text_of(error: BaseException) -> str:
    return f"{_NAME(type(error))}: {said(lambda: str(error), 'str()')}"[:MAX_MESSAGE]


def said(what: Callable[[], str], called: str) -> str:
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
        return "".join(traceback.format_exception(type(error), error, trace, limit=-MAX_FRAMES))
    except BaseException:  # noqa: BLE001 - its notes, or groups in groups in groups
        return "".join(traceback.format_tb(trace, limit=-MAX_FRAMES))


def _own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is the handler's, not ours."""
    at = trace
    while at is not None and is_ours(at.tb_frame):
        at = at.tb_next
    return trace if at is None else at


def is_ours(frame: FrameType) -> bool:
    """Whether this is a frame of what calls handlers, not of theirs."""
    return str(frame.f_globals.get("__name__")).startswith(_OURS)
