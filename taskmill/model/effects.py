"""What came of a change, and what a store holds when it is opened.

Times are integer milliseconds, UTC, as in rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

import attrs

from taskmill.model.changes import NewTask, Ready, Request, Timetable
from taskmill.model.errors import StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.pauses import PauseRecord
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.status import TaskStatus


@attrs.frozen
class Move:
    """One task that a change has changed, before and after; the engine and events follow it.

    The records may be without errors and dependencies, which are not read for it.
    """

    before: TaskRecord
    after: TaskRecord


@attrs.frozen(kw_only=True)
class Placed:
    """Where a submitted task went."""

    id: TaskId
    outcome: SubmitOutcome
    replaced: TaskId | None = None
    ready: Ready | None = None
    """The place a new task has in the ready queue."""
    is_due: bool = False
    """Whether a new task waits for its start time."""
    tags: Mapping[str, str] | None = None
    """Its tags, where a parent's were added to its own."""
    expires_at_ms: int | None = None
    moves: tuple[Move, ...] = ()
    """What it did to others, and what others did to it at once."""


class Fault(enum.Enum):
    """Why a rule refused a change."""

    STATE = "state"
    DEPENDENCY = "dependency"
    PRUNED = "pruned"


@attrs.frozen
class Refused:
    """A rule refused the whole change; nothing was changed."""

    reason: str
    fault: Fault = Fault.STATE


@attrs.frozen(kw_only=True)
class Settled:
    """What a settlement did."""

    status: TaskStatus | None
    """Where the task is now, as its stop says where that came first; None if nothing changed."""
    after: TaskRecord | None = None
    """The task as it is now, where its end concerns others or was not as it was settled."""
    moves: tuple[Move, ...] = ()
    """What its end did to others."""


@attrs.frozen(kw_only=True)
class Changed:
    """What a change did to the tasks it named, and to others through them."""

    named: tuple[TaskId, ...]
    """The tasks it named that are changed by it, or were before."""
    moves: tuple[Move, ...] = ()


@attrs.frozen(kw_only=True)
class Swept:
    """Tasks that did not start in time."""

    moves: tuple[Move, ...]
    next_ms: int | None
    """When the next one expires; may be past, when the limit was reached."""


@attrs.frozen(kw_only=True)
class Fired:
    """What came of looking at the schedules."""

    placed: tuple[tuple[NewTask, Placed], ...] = ()
    """The occurrences that became tasks."""
    skipped: tuple[tuple[Timetable, int], ...] = ()
    """Where occurrences were dropped, for the last one had not ended; and how many."""
    stopped: tuple[Timetable, ...] = ()
    """Schedules that ended with this, or cannot go on and were paused."""
    next_ms: int | None = None
    """When the next occurrence is due."""


@attrs.frozen(kw_only=True)
class Collected:
    """What came of what others had left in the inbox."""

    done: tuple[tuple[Request, Effect], ...]
    """In the order in which it was asked for; a submit in another transaction is one as well."""
    has_more: bool


@attrs.frozen
class Requested:
    """A change was left in the inbox; its answer comes under this number."""

    id: int


@attrs.frozen
class Asked:
    """What came of requests that were written by a process that does not dispatch."""

    effects: tuple[Effect | StoreError, ...]
    pauses: tuple[PauseRecord, ...]
    """What is paused, as of the same transaction."""


@attrs.frozen
class Answer:
    """What came of a request; moves are left out, for nothing in this process follows them."""

    effect: Effect | StoreError


@attrs.frozen
class Deleted:
    """How many tasks were deleted."""

    count: int
    pauses_until_ms: int | None = None
    """Pauses that had ended by then were forgotten as well: no active task waited through them."""


@attrs.frozen(kw_only=True)
class Promoted:
    """Tasks that became ready."""

    ready: tuple[Ready, ...]
    retries: Mapping[str, int]
    """How many of them were waiting for their next attempt, by task type."""
    next_due_ms: int | None
    """When the next task is due; may be past, when the limit was reached."""


@attrs.frozen
class Refilled:
    """The positions read, in order; fewer than the limit where there are no more."""

    positions: tuple[tuple[int, int], ...]


Effect: TypeAlias = (
    tuple[Placed, ...]
    | Refused
    | TaskRecord
    | Settled
    | Changed
    | Swept
    | Fired
    | Collected
    | Requested
    | Timetable
    | Deleted
    | Promoted
    | Refilled
    | PauseRecord
    | None
)


@attrs.frozen(kw_only=True)
class Holder:
    """The process that dispatches from a store."""

    pid: int
    host: str
    since: datetime
    epoch: int


@attrs.frozen
class LevelCount:
    """How many ready tasks one level of one lane holds."""

    type: str
    group: str | None
    priority: int
    count: int
    stage: int = 0


@attrs.frozen(kw_only=True)
class Ends:
    """What a store has of the tasks of one type that have ended."""

    counts: Mapping[TaskStatus, int]
    durations_ms: tuple[int, ...]
    """Of those that completed last, the last one first."""
    io: IoTotals
    """What those have moved."""


@attrs.frozen
class Backlog:
    """How many tasks of one domain and group wait for something else than their turn."""

    domain: str
    group: str | None
    status: TaskStatus
    """PENDING for a later time, BLOCKED or WAITING."""
    count: int


@attrs.frozen(kw_only=True)
class Opening:
    """What a store holds when a dispatcher opens it, after recovery."""

    epoch: int
    levels: tuple[LevelCount, ...]
    next_due_ms: int | None
    retries: Mapping[str, int]
    """How many tasks wait for their next attempt, by task type."""
    next_expiry_ms: int | None = None
    next_fire_ms: int | None = None
    recovered: int = 0
    """Runs that a crash had interrupted."""
    pauses: tuple[PauseRecord, ...] = ()
    """What is paused, and the closed pauses that a task waited through."""
