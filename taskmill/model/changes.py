"""What the engine asks the store to change.

A change is one step of a batch: the store applies a batch in order, in one transaction, and
answers each change with its effect (`model.effects`). Times are integer milliseconds, UTC, as in
rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import attrs

from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.pauses import PauseScope
from taskmill.model.record import ErrorRecord, TaskId
from taskmill.model.resources import IoTotals
from taskmill.model.schedules import ScheduleStatus
from taskmill.model.secret import redacted_repr
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus


class StopCause(enum.Enum):
    """Why a running handler is told to stop."""

    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    """A child failed, and it with it."""
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    PAUSED = "paused"
    PREEMPTED = "preempted"


class Ready(NamedTuple):
    """A pending task that is due: what the ready queue knows of it."""

    type: str
    group: str | None
    priority: int
    ready_at_ms: int
    id: TaskId
    stage: int = 0


@attrs.frozen(kw_only=True, slots=False)  # so many fields are set in half the time without
class NewTask:
    """A task as submitted, with all options resolved."""

    type: str
    domain: str
    payload: str = attrs.field(repr=redacted_repr)
    identity: bytes
    key: str | None
    label: str | None
    tags: Mapping[str, str]
    group: str | None
    priority: int
    max_retries: int | None
    options: str | None
    """JSON of the call's own options that apply to an attempt, and of what tracing carries."""
    created_at_ms: int
    ready_at_ms: int
    due_at_ms: int | None
    run_at_ms: int | None
    parent: TaskId | None
    inherits_tags: bool
    """Whether the parent's tags are taken over where these set none."""
    requeue: bool
    """Whether a follow-up is wanted where the task that stands for the work is running."""
    on_duplicate: OnDuplicate = OnDuplicate.KEEP
    unique_for_ms: int | None = None
    expires_at_ms: int | None = None
    ttl_ms: int | None = None
    """The time to live, where it begins with the first attempt."""
    has_ttl: bool = True
    """Whether it has a time to live of its own, or none on purpose; otherwise its parent's."""
    fail_fast: bool = True
    max_interruptions: int = 5
    depends_on: tuple[TaskId, ...] = ()
    on_dependency_failure: OnDependencyFailure = OnDependencyFailure.CANCEL
    schedule: str | None = None
    scheduled_for_ms: int | None = None


# --- changes -------------------------------------------------------------------------------------


@attrs.frozen
class Submit:
    """Insert these tasks, all or none. Effect: `Placed` for each, or `Refused`."""

    tasks: tuple[NewTask, ...]


@attrs.frozen
class Claim:
    """Put the next run of a pending task on record.

    Effect: its record; None if it does not wait to start any more, or has expired and is yet to be
    ended; `Refused` if its row cannot be read, which has ended it.
    """

    id: TaskId
    now_ms: int
    has_undo: bool = False
    """Whether its handler has an ``on_cancel``."""


@attrs.frozen
class ClaimNew:
    """Put the first run on record of the task that a submit before it in the batch has made.

    Effect: as of a `Claim`; None also where the submit made no task that is ready.
    """

    place: int
    """Where in the batch the submit is, which is of one task."""
    now_ms: int
    has_undo: bool = False


@attrs.frozen(kw_only=True, slots=False)  # as above
class Settlement:
    """How a run ended and where the task goes from here. Effect: `Settled`.

    Made by `rules.settle` only. Applies to exactly this run; a stale one changes nothing.
    """

    id: TaskId
    run: int
    now_ms: int
    status: TaskStatus
    attempt: int
    due_at_ms: int | None = None
    result: str | None = attrs.field(default=None, repr=redacted_repr)
    reason: str | None = None
    error: ErrorRecord | None = None
    preempted: bool = False
    is_interrupted: bool = False
    """Whether what ran the handler was lost."""
    is_unreadable: bool = False
    """Whether the task is held from now on, for its payload could not be read."""
    finalizes: bool = False
    """Whether the handler has returned ``result`` as what its ``finalize`` gets."""
    is_undone: bool = False
    """Whether its ``on_cancel`` has run, or is not owed."""
    io: IoTotals | None = None
    """What all its runs moved so far; None leaves what is on record."""
    has_tags: bool = False


@attrs.frozen(kw_only=True)
class CancelTask:
    """End a task and its subtree: what waits at once, what runs is to stop, and that on record.

    Effect: `Changed`, or None for an id unknown in ``domain``.
    """

    id: TaskId
    domain: str | None
    reason: str | None
    now_ms: int


@attrs.frozen(kw_only=True)
class CancelWhere:
    """End all active tasks that are meant, with their subtrees. Effect: `Changed`."""

    selection: Selection
    reason: str | None
    now_ms: int


@attrs.frozen(kw_only=True)
class Revive:
    """Make a task that ended in failure pending again, or run one that is held. Effect: `Changed`.

    `Refused` where its state does not allow it, None for an id unknown in ``domain``.
    """

    id: TaskId
    domain: str | None
    now_ms: int


@attrs.frozen(kw_only=True)
class ReviveWhere:
    """Revive all tasks that are meant and can be. Effect: `Changed`."""

    selection: Selection
    now_ms: int


@attrs.frozen(kw_only=True)
class Reorder:
    """Give an active task another priority, or another start time. Effect: `Changed`.

    `Refused` where its state does not allow it, None for an id unknown in ``domain``.
    """

    id: TaskId
    domain: str | None
    now_ms: int
    priority: int | None = None
    run_at_ms: int | None = None


@attrs.frozen(kw_only=True)
class SetTags:
    """Replace the tags of a task. Effect: `Changed`, or None for an unknown id."""

    id: TaskId
    tags: Mapping[str, str]


@attrs.frozen(kw_only=True)
class Expire:
    """End what has not started in its time to live. Effect: `Swept`."""

    now_ms: int
    limit: int


@attrs.frozen(kw_only=True)
class Delete:
    """Delete tasks that have ended. Effect: `Deleted`."""

    selection: Selection
    keep: frozenset[TaskId]
    """Tasks that somebody waits for."""
    now_ms: int


@attrs.frozen(kw_only=True)
class Prune:
    """Delete what has been kept for long enough, a batch at a time. Effect: `Deleted`."""

    counts: Mapping[TaskStatus, int | None]
    """How many of each terminal state are kept; None for all."""
    before_ms: int
    """What ended later is kept."""
    keep: frozenset[TaskId]
    """Tasks that somebody waits for."""
    limit: int
    now_ms: int


@attrs.frozen(kw_only=True)
class Timetable:
    """A schedule as the store keeps it: the task of its occurrences, and how far it has come."""

    domain: str
    name: str
    template: NewTask
    """The task as if it had been submitted when this was written."""
    rule: str
    """JSON."""
    status: ScheduleStatus
    anchor_ms: int
    next_ms: int | None
    runs: int
    last_task: TaskId | None = None
    last_ms: int | None = None
    reason: str | None = None
    is_declared: bool = False
    """Whether a domain declares it."""
    created_at_ms: int


class Steer(enum.Enum):
    """What to do with a schedule."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


@attrs.frozen(kw_only=True)
class SetSchedule:
    """Make a schedule, or change the one of that name. Effect: its `Timetable`.

    The same rule goes on where it is, another one begins anew.
    """

    domain: str
    name: str
    template: NewTask
    rule: str
    is_declared: bool
    now_ms: int


@attrs.frozen(kw_only=True)
class SteerSchedule:
    """Pause, resume or cancel a schedule. Effect: its `Timetable`, None where there is none."""

    domain: str
    name: str
    steer: Steer
    now_ms: int


@attrs.frozen(kw_only=True)
class PauseUndeclared:
    """Pause the schedules of a domain that were declared once and are not any more.

    Effect: `Fired`, with what was paused in it.
    """

    domain: str
    declared: frozenset[str]
    now_ms: int


@attrs.frozen(kw_only=True)
class Fire:
    """Make what is due of the schedules into tasks. Effect: `Fired`."""

    now_ms: int
    opened_ms: int
    """What was due by then came while no process was running."""
    limit: int


@attrs.frozen(kw_only=True)
class Collect:
    """Settle what others have left in the inbox: submits and requests. Effect: `Collected`."""

    now_ms: int
    limit: int
    keep: frozenset[TaskId] = frozenset()
    """Tasks that somebody waits for: no request deletes them."""


@attrs.frozen(kw_only=True)
class Promote:
    """Make tasks whose time has come ready. Effect: `Promoted`."""

    now_ms: int
    limit: int


@attrs.frozen(kw_only=True)
class Refill:
    """Read the ready tasks of one level behind a position, after the writes queued before it.

    Effect: `Refilled`.
    """

    type: str
    group: str | None
    priority: int
    after: tuple[int, int]
    limit: int
    stage: int = 0


@attrs.frozen(kw_only=True)
class Pause:
    """Hold a scope, or move the deadline of a pause that holds. Effect: its `PauseRecord`."""

    scope: PauseScope
    name: str
    now_ms: int
    until_ms: int | None = None
    interrupt: bool = True
    """Whether what runs there is to stop."""


@attrs.frozen(kw_only=True)
class Resume:
    """Hold a scope no longer. Effect: the `PauseRecord` that ended, or None if none did."""

    scope: PauseScope
    name: str
    now_ms: int
    due_by_ms: int | None = None
    """Only if its deadline has come by then; it may have been moved meanwhile."""


Change: TypeAlias = (
    Submit
    | Claim
    | ClaimNew
    | Settlement
    | CancelTask
    | CancelWhere
    | Revive
    | ReviveWhere
    | Reorder
    | SetTags
    | Expire
    | Delete
    | Prune
    | SetSchedule
    | SteerSchedule
    | PauseUndeclared
    | Fire
    | Collect
    | Promote
    | Refill
    | Pause
    | Resume
)

Request: TypeAlias = (
    Submit
    | CancelTask
    | CancelWhere
    | Revive
    | ReviveWhere
    | Reorder
    | SetTags
    | Delete
    | SetSchedule
    | SteerSchedule
    | Pause
    | Resume
)
"""What can be asked for from outside the engine, in its own process or in another one."""
