"""What happened: a closed union of frozen classes.

Published after the commit that made it true; Progress, StopOverdue and LoopBlocked, which no commit
makes, are published when they happen.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeAlias, TypeVar, cast

import attrs

from taskmill.model.pauses import PauseScope
from taskmill.model.record import ErrorRecord, TaskId
from taskmill.model.sharing import GroupPolicy

T = TypeVar("T")
R = TypeVar("R")


class InterruptCause(enum.Enum):
    """Why a run was stopped without counting as an attempt."""

    SHUTDOWN = "shutdown"
    PAUSED = "paused"
    SNOOZED = "snoozed"
    """The handler asked to be run again later."""
    CRASH = "crash"
    """What ran the handler is gone: its worker process, or the connection to where it ran."""
    UNREADABLE = "unreadable"
    """What is stored of the task does not fit its type: it is held, and no handler was called."""


@attrs.frozen(kw_only=True)
class TaskHeader:
    """Which task an event is about, as it stood when the event happened."""

    id: TaskId
    type: str
    domain: str
    key: str | None
    label: str
    tags: Mapping[str, str]
    group: str | None
    priority: int
    """The base priority."""
    effective_priority: int
    attempt: int


@attrs.frozen(kw_only=True)
class About(Generic[T]):
    """The part that all task events share: the header and the payload."""

    header: TaskHeader
    load: Callable[[], T] = attrs.field(eq=False, repr=False, metadata={"json": False})

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self.header.id

    @property
    def task(self) -> T:
        """The payload; raises PayloadError where what is stored does not fit its type any more."""
        return self.load()

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values, its class under ``"event"``; the payload is left out."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class Enqueued(About[T]):
    """A new task is in the store."""

    due_at: datetime | None = None
    """Its start time, where that had not come at the submit.

    A follow-up (of a REQUEUED submit) also waits for the task before it.
    """


@attrs.frozen(kw_only=True)
class Dispatched(About[T]):
    """A run of the task is on record and its handler starts."""

    run: int


@attrs.frozen(kw_only=True)
class Progress(About[T]):
    """The handler reported how far it is; live, in order for each task."""

    fraction: float
    """0 to 1."""
    message: str | None = None


@attrs.frozen(kw_only=True)
class Completed(About[T], Generic[T, R]):
    """The handler returned and its result is stored."""

    result: R
    duration: timedelta


@attrs.frozen(kw_only=True)
class Failed(About[T]):
    """An attempt failed; the task either waits for its next attempt or has ended as FAILED."""

    error: ErrorRecord
    will_retry: bool
    retry_at: datetime | None = None

    @property
    def attempt(self) -> int:
        """Which attempt failed, counted from 1."""
        return self.header.attempt


@attrs.frozen(kw_only=True)
class DeadLettered(About[T]):
    """The retries are spent; the task has ended as DEAD."""

    error: ErrorRecord


@attrs.frozen(kw_only=True)
class Cancelled(About[T]):
    """The task has ended as CANCELLED; a handler that ran has stopped."""

    reason: str | None = None


@attrs.frozen(kw_only=True)
class Superseded(About[T]):
    """The task has ended as SUPERSEDED: another one does its work."""

    reason: str | None = None


@attrs.frozen(kw_only=True)
class Expired(About[T]):
    """The task has ended as EXPIRED: it did not start in its time to live."""

    reason: str | None = None


@attrs.frozen(kw_only=True)
class DependencyFailed(About[T]):
    """The task has ended as DEPENDENCY_FAILED: one that it depended on did not complete."""

    reason: str | None = None


@attrs.frozen(kw_only=True)
class Waiting(About[T]):
    """The handler has returned, and the task waits for its children."""


@attrs.frozen(kw_only=True)
class Revived(About[T]):
    """The task had ended and is back: it waits to run again."""


@attrs.frozen(kw_only=True)
class Interrupted(About[T]):
    """A run was stopped; the task is back in the queue and its attempt refunded."""

    cause: InterruptCause


@attrs.frozen(kw_only=True)
class Preempted(About[T]):
    """A run made room for a more urgent task; it is back in the queue and its attempt refunded."""


@attrs.frozen(kw_only=True)
class Unblocked(About[T]):
    """What the task was waiting for has ended; it is ready to run."""


@attrs.frozen(kw_only=True)
class StopOverdue(About[T]):
    """A handler was told to stop and has not; it keeps its slot."""

    grace: timedelta


@attrs.frozen(kw_only=True)
class Paused:
    """The scheduler, a domain or a group starts nothing until it is resumed."""

    scope: PauseScope
    name: str
    """The domain or the group; empty for the scheduler."""
    until: datetime | None = None
    """When it resumes by itself."""

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class Resumed:
    """A pause has ended."""

    scope: PauseScope
    name: str

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class GroupChanged:
    """Another policy holds for a group."""

    group: str
    before: GroupPolicy
    after: GroupPolicy

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class ScheduleSkipped:
    """Occurrences of a schedule were dropped, for the last one had not ended."""

    name: str
    """Of the schedule, in its domain."""
    domain: str
    type: str
    count: int

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class ScheduleEnded:
    """A schedule makes no further tasks: it has run out, was cancelled, or cannot go on."""

    name: str
    """Of the schedule, in its domain."""
    domain: str
    type: str
    reason: str

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen(kw_only=True)
class LoopBlocked:
    """The event loop stood still for longer than ``loop_limit``, and goes on again."""

    header: TaskHeader | None
    """The task whose run it was; None where it was the application's own code."""
    duration: timedelta
    """How long the loop did not answer."""
    stack: str
    """What was being called, innermost last, when it was noticed."""

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


@attrs.frozen
class Lagged:
    """The reader of this stream was too slow and missed the ``count`` events before the next.

    Where another process dispatches and the connection to it was lost, at least so many.
    """

    count: int

    def to_dict(self) -> dict[str, object]:
        """The event as JSON-ready values."""
        return _to_dict(self)


TaskEvent: TypeAlias = (
    Enqueued[T]
    | Dispatched[T]
    | Progress[T]
    | Completed[T, R]
    | Failed[T]
    | DeadLettered[T]
    | Cancelled[T]
    | Interrupted[T]
    | Preempted[T]
    | Unblocked[T]
    | Superseded[T]
    | Expired[T]
    | DependencyFailed[T]
    | Waiting[T]
    | Revived[T]
    | StopOverdue[T]
)
"""An event about a task of type T with result type R."""

AnyTaskEvent: TypeAlias = TaskEvent[Any, Any]
ScopeEvent: TypeAlias = (
    Paused | Resumed | GroupChanged | ScheduleSkipped | ScheduleEnded | LoopBlocked
)
"""An event about more than one task; a stream of one type of task has none of them."""
Event: TypeAlias = AnyTaskEvent | ScopeEvent | Lagged


def _to_dict(event: object) -> dict[str, object]:
    values: dict[str, object] = {"event": type(event).__name__}
    for field in _fields(event):
        if field.metadata.get("json", True):
            values[field.name] = _plain(getattr(event, field.name))
    return values


def _fields(value: object) -> Sequence[attrs.Attribute[Any]]:
    fields: Sequence[attrs.Attribute[Any]] = getattr(type(value), "__attrs_attrs__", ())
    return fields


def _plain(value: object) -> object:
    match value:
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case enum.Enum():
            return value.value
        case Mapping():
            items = cast("Mapping[object, object]", value)  # an isinstance check loses the types
            return {str(key): _plain(item) for key, item in items.items()}
        case None | str() | int() | float():
            return value
        case list() | tuple():
            elements = cast("Sequence[object]", value)  # as above
            return [_plain(item) for item in elements]
        case _ if attrs.has(type(value)):
            return {field.name: _plain(getattr(value, field.name)) for field in _fields(value)}
        case _:
            return repr(value)
