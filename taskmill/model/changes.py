"""What the engine asks the store to change, and what came of it.

A change is one step of a batch: the store applies a batch in order, in one transaction, and
answers each change with its effect. Times are integer milliseconds, UTC, as in rows.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import attrs

from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.status import TaskStatus


class StopCause(enum.Enum):
    """Why a running handler is told to stop."""

    CANCELLED = "cancelled"
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


@attrs.frozen(kw_only=True)
class NewTask:
    """A task as submitted, with all options resolved."""

    type: str
    domain: str
    payload: str
    identity: bytes
    key: str | None
    label: str | None
    tags: Mapping[str, str]
    group: str | None
    priority: int
    max_retries: int | None
    options: str | None
    """JSON of the call's own options that apply to an attempt."""
    created_at_ms: int
    ready_at_ms: int
    due_at_ms: int | None
    run_at_ms: int | None
    parent: TaskId | None
    inherits_tags: bool
    """Whether the parent's tags are taken over where these set none."""
    requeue: bool
    """Whether a follow-up is wanted where the task that stands for the work is running."""


# --- changes -------------------------------------------------------------------------------------


@attrs.frozen
class Submit:
    """Insert these tasks, all or none. Effect: `Placed` for each, or `Refused`."""

    tasks: tuple[NewTask, ...]


@attrs.frozen
class Claim:
    """Put the next run of a pending task on record. Effect: its record, or None if it is gone."""

    id: TaskId
    now_ms: int


@attrs.frozen(kw_only=True)
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
    result: str | None = None
    reason: str | None = None
    error: ErrorRecord | None = None
    preempted: bool = False


@attrs.frozen(kw_only=True)
class CancelTask:
    """End a waiting task, or put on record that a running one is to stop.

    Effect: `Ended`, `Stopping`, `Unchanged`, or None for an id unknown in ``domain``.
    """

    id: TaskId
    domain: str | None
    reason: str | None
    now_ms: int


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


@attrs.frozen(kw_only=True)
class Pause:
    """Hold a scope, or move the deadline of a pause that holds. Effect: its `PauseRecord`."""

    scope: PauseScope
    name: str
    now_ms: int
    until_ms: int | None = None


@attrs.frozen(kw_only=True)
class Resume:
    """Hold a scope no longer. Effect: the `PauseRecord` that ended, or None if none did."""

    scope: PauseScope
    name: str
    now_ms: int
    due_by_ms: int | None = None
    """Only if its deadline has come by then; it may have been moved meanwhile."""


Change: TypeAlias = Submit | Claim | Settlement | CancelTask | Promote | Refill | Pause | Resume


# --- effects -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Placed:
    """Where a submitted task went."""

    id: TaskId
    outcome: SubmitOutcome
    left: Ready | None = None
    """The place it had in the ready queue until now."""
    ready: Ready | None = None
    """The place it has now."""
    tags: Mapping[str, str] | None = None
    """Its tags, where a parent's were added to its own."""


@attrs.frozen
class Refused:
    """A rule refused the whole change; nothing was changed."""

    reason: str


@attrs.frozen(kw_only=True)
class Settled:
    """What a settlement did."""

    status: TaskStatus | None
    """Where the task is now: CANCELLED where its stop came first; None if nothing changed."""
    unblocked: TaskRecord | None = None
    """The follow-up that waited for this task and is ready now."""


@attrs.frozen(kw_only=True)
class Ended:
    """A waiting task ended."""

    record: TaskRecord
    """As it was until now."""
    reason: str
    left: Ready | None
    """The place it had in the ready queue; None where it had none."""
    was_due_at_ms: int | None
    unblocked: TaskRecord | None


@attrs.frozen
class Stopping:
    """The task runs, and that it is to stop is on record."""

    id: TaskId


@attrs.frozen
class Unchanged:
    """The task had ended already."""

    status: TaskStatus


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
    | Ended
    | Stopping
    | Unchanged
    | Promoted
    | Refilled
    | PauseRecord
    | None
)


# --- opening -------------------------------------------------------------------------------------


@attrs.frozen
class LevelCount:
    """How many ready tasks one level of one lane holds."""

    type: str
    group: str | None
    priority: int
    count: int


@attrs.frozen(kw_only=True)
class Opening:
    """What a store holds when a dispatcher opens it, after recovery."""

    epoch: int
    levels: tuple[LevelCount, ...]
    next_due_ms: int | None
    retries: Mapping[str, int]
    """How many tasks wait for their next attempt, by task type."""
    recovered: int
    """Runs that a crash had interrupted."""
    pauses: tuple[PauseRecord, ...] = ()
    """What is paused, and the closed pauses that a task waited through."""
