"""What an executor is: a named place where handlers run, with room for so many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import attrs

from taskmill.define.context import Workplace
from taskmill.define.task import Handler
from taskmill.model.record import TaskRecord
from taskmill.model.showing import shown
from taskmill.model.stages import Stage


@attrs.frozen(kw_only=True)
class Work:
    """One run of one handler, as it is handed to an executor.

    ``record`` and ``part`` are all that a worker elsewhere needs: the task's type, its payload as
    JSON, and what is to be done with it. An executor of this process has `call` instead.
    """

    part: Stage
    """EXECUTE, FINALIZE (with ``record.memo``, JSON of what the handler returned) or UNDO."""
    handler: Handler[Any]
    workplace: Workplace
    """What the handler's `Context` stands on: from it come the fence and the deadline, to it go
    progress, children, tags and bytes, from this event loop."""
    call: Callable[[], Any]
    """Run the handler here: an outcome, or for ``async def`` an awaitable of one.

    What the handler raises comes out of it.
    """
    hold: Callable[[], AbstractContextManager[object]]
    """To be entered while the work is outside the event loop, where time is virtual."""
    preparing: Callable[[], AbstractContextManager[object]]
    """To be entered while what is to run it is made ready: that, for up to a minute, does not count
    towards its timeout."""

    @property
    def record(self) -> TaskRecord:
        """The task as its claim left it."""
        return self.workplace.seen


@attrs.frozen
class Success:
    """The handler returned: its result as JSON, None for a type without one.

    Of a handler with a ``finalize``, what that gets.
    """

    result: str | None = None


@attrs.frozen
class Failure:
    """The handler raised, or could not be run."""

    error: BaseException
    trace: str = ""
    """The traceback, where the error was not raised in this process."""
    message: str = ""
    """What ``str()`` said of it there: here it may lack what that takes. By default, ask it."""
    is_final: bool = False
    """Whether another attempt would meet the same: what was returned does not fit."""
    is_unreadable: bool = False
    """Whether the handler was never called, for what is stored does not fit: the task is held."""


@attrs.frozen
class Lost:
    """The worker that ran it is gone, and nobody knows how far it came.

    The task goes back to the queue, its attempt refunded, until that has happened to it
    ``max_interruptions`` times; once more, and it is dead.
    """

    reason: str
    has_begun: bool = True
    """False where the handler was never called: that counts as nothing, and is tried again."""


Outcome: TypeAlias = Success | Failure | Lost


def checked(made: object) -> Outcome:
    """What an executor returned; where that is no outcome, a failure that says so."""
    if isinstance(made, Success | Failure | Lost):
        return made
    error = TypeError(f"an executor returned {shown(made)}, and neither Success, Failure nor Lost")
    return Failure(error, is_final=True)


class RemoteError(Exception):
    """What a handler raised elsewhere, of a class that is not known here."""

    def __init__(self, type: str, message: str) -> None:  # noqa: A002 - the word of ErrorRecord
        super().__init__(message)
        self.type = type
        """Qualified name of the exception's class."""


class Host(Protocol):
    """What an executor knows of the scheduler that uses it."""

    @property
    def name(self) -> str:
        """Under which name it has the executor."""
        ...

    @property
    def home(self) -> Path | None:
        """The file of the scheduler's store; None for one in memory."""
        ...

    def down(self, reason: str) -> None:
        """Nothing can run there now: tasks go to its ``fallback``, else they wait."""
        ...

    def up(self) -> None:
        """Work can run there again."""
        ...


class Executor(Protocol):
    """Runs handlers. Made by hand for one scheduler, which starts it and stops it."""

    @property
    def capacity(self) -> int | None:
        """How many handlers may run here at once; None for as many as the scheduler allows."""
        ...

    @property
    def fallback(self) -> str | None:
        """The name of the executor that takes its tasks while it is down; None: they wait."""
        ...

    def check(self, handler: Handler[Any]) -> None:
        """Raise ConfigurationError for a handler that it cannot run."""
        ...

    async def start(self, host: Host) -> None:
        """Be ready for work; awaited when the scheduler opens, before anything is started."""
        ...

    async def run(self, work: Work) -> Outcome:
        """Run a handler to its end. What this raises counts as what the handler raised.

        Where it is cancelled, the handler is to stop, and `run` returns or raises the cancellation
        once it has really stopped: until then its slot is taken. A handler that returned all the
        same has its outcome returned.
        """
        ...

    async def stop(self) -> None:
        """Let go of everything; awaited when the scheduler closes and no handler runs any more."""
        ...
