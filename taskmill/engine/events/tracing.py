"""What a scheduler tells to what traces its work: each submit, and each attempt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, assert_never

import attrs

from taskmill.define.task import Task
from taskmill.model.events import InterruptCause
from taskmill.model.outcomes import Submitted
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.rules.options import carried
from taskmill.rules.settle import (
    Halted,
    Interrupted,
    Raised,
    Result,
    Returned,
    Snoozed,
    Unreadable,
)


@attrs.frozen(kw_only=True)
class AttemptEnd:
    """How an attempt ended. With neither an error nor an interruption, its handler returned."""

    error: ErrorRecord | None = None
    """What failed it, whether it is tried again or not."""
    interruption: str | None = None
    """Why it ended without an outcome: a word such as ``"preempted"``, ``"cancelled"`` (its task
    ends with it), ``"snoozed"`` or ``"crash"`` (what ran it is gone)."""


class Sending(Protocol):
    """One submit, while it is under way."""

    @property
    def carrier(self) -> Mapping[str, str]:
        """What is to be kept with each new task of it, durable: a few short texts, or nothing."""
        ...

    def sent(self, submitted: Sequence[Submitted[Any]]) -> None:
        """The submit is durable; one for each task, in order."""
        ...


class Processing(Protocol):
    """One attempt, while it is under way."""

    def ended(self, end: AttemptEnd) -> None:
        """The handler has ended; not called where the scheduler itself fails."""
        ...


class Tracing(Protocol):
    """Traces what a scheduler does: ``Scheduler(..., tracing=...)``.

    Called in the scheduler's event loop. What it raises comes out of the submit, or fails the
    attempt.
    """

    def sending(self, types: Sequence[str]) -> AbstractContextManager[Sending]:
        """Is entered around one submit, in the task and context of its caller.

        ``types`` has the stored name of each task's type, in order; empty for what is no task.
        """
        ...

    def processing(
        self, record: TaskRecord, carrier: Mapping[str, str]
    ) -> AbstractContextManager[Processing]:
        """Is entered around one attempt; a handler in the loop or in a thread runs in its context.

        ``carrier`` is what the task was submitted with; empty for the tasks of schedules, and for
        those that were submitted without tracing.
        """
        ...


def types_of(tasks: Sequence[Task[Any, Any]]) -> list[str]:
    """The stored names of the types of tasks; empty for what is no task, which is refused later."""
    return [getattr(task, "task_type", "") for task in tasks]


async def traced(
    tracing: Tracing, record: TaskRecord, attempt: Callable[[], Awaitable[Result]]
) -> Result:
    """Run an attempt as part of the trace that its task was submitted in."""
    with tracing.processing(record, carried(record.options)) as processing:
        result = await attempt()
        processing.ended(_end(result))
        return result


def _end(result: Result) -> AttemptEnd:
    match result:
        case Returned():
            return AttemptEnd()
        case Raised(error=error):
            return AttemptEnd(error=error)
        case Snoozed():
            return AttemptEnd(interruption=InterruptCause.SNOOZED.value)
        case Halted(cause=cause, error=error):
            return AttemptEnd(interruption=cause.value, error=error)
        case Interrupted():
            return AttemptEnd(interruption=InterruptCause.CRASH.value)
        case Unreadable(error=error):
            return AttemptEnd(interruption=InterruptCause.UNREADABLE.value, error=error)
        case _:
            assert_never(result)
