"""What is known about one task, as the store holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NewType

import attrs

from taskmill.model.choices import OnDependencyFailure
from taskmill.model.resources import IoTotals
from taskmill.model.secret import redacted_repr
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus

TaskId = NewType("TaskId", int)


@attrs.frozen(kw_only=True)
class ErrorRecord:
    """How one attempt failed."""

    type: str
    """Qualified name of the exception's class."""
    message: str
    traceback: str
    """The end of the traceback, at most 16,384 characters; empty where there was none."""
    run: int
    at: datetime


@attrs.frozen(kw_only=True, slots=False)  # so many fields are set in half the time without
class TaskRecord:
    """One task. Times are aware, in UTC; counters are as committed."""

    id: TaskId
    type: str
    """Qualified: ``"ingest::fetch"``."""
    domain: str
    payload: str = attrs.field(repr=redacted_repr)
    """JSON; a `Secret` in it is in clear, but in the repr of the record."""
    key: str | None
    label: str
    tags: Mapping[str, str]
    group: str | None
    status: TaskStatus
    priority: int
    attempt: int
    """Attempts counted against the retry limit; interruptions are refunded."""
    run: int
    """Starts, never refunded; with the epoch it forms the fencing token."""
    max_retries: int | None
    """As given by the call; None when the task's type decides."""
    options: str | None
    """JSON of the other options the call gave for its attempts, and of what tracing carries."""
    created_at: datetime
    ready_at: datetime
    """Its submit, or its start time where that came later: its place in ready order.

    Kept over retries and interruptions; a follow-up takes the end of the task before it.
    """
    due_at: datetime | None
    """Set while the task may not start yet (delay, run_at, retry backoff)."""
    run_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    parent: TaskId | None
    result: str | None = attrs.field(repr=redacted_repr)
    """JSON; set for completed tasks."""
    errors: tuple[ErrorRecord, ...]
    """Oldest first, the last ten."""
    reason: str | None
    """Why the task ended the way it did, where it did not complete; never empty then.

    On a task that is to end: why.
    """
    expires_at: datetime | None = None
    """When it ends as EXPIRED if it has not started by then."""
    depends_on: tuple[TaskId, ...] = ()
    """Tasks that had to complete first, in the order of their ids."""
    on_dependency_failure: OnDependencyFailure = OnDependencyFailure.CANCEL
    schedule: str | None = None
    """The name of the schedule it is an occurrence of."""
    scheduled_for: datetime | None = None
    """The time it was meant for by its schedule."""
    io: IoTotals | None = None
    """What its handlers said they moved, over all runs; None where they said nothing."""
    executor: str | None = None
    """Where it runs; None where nothing here can run it, and in what is read from a store alone."""
    progress: float | None = None
    """How far its handler says it is, 0 to 1, while it runs; 1 when it has completed."""
    stage: Stage = Stage.EXECUTE
    """What its next run does, or what runs now."""
    memo: str | None = attrs.field(default=None, repr=redacted_repr)
    """JSON of what the handler returned, while the task waits for its children or finalizes."""
    ends_as: TaskStatus | None = None
    """Set on a task that is to end: as what. Nothing changes that any more."""
    fail_fast: bool = True
    """Whether it fails at once when a child does."""
    is_follow_up: bool = False
    """Whether it waits for the task with the same identity to end."""
    has_undo: bool = False
    """Whether its ``on_cancel`` is owed when it is cancelled: a handler with one has started."""
    interruptions: int = 0
    """Crashes of the scheduler's process that happened while it ran."""
    unique_for: timedelta | None = None
    """For how long its identity stays taken when it has completed."""
    preemptions: int = 0
    """How often it gave its slot to something more urgent."""
    effective_priority: int = attrs.field(
        default=attrs.Factory(lambda record: record.priority, takes_self=True)
    )
    """The priority by which it was last ordered: better than its own once it has aged."""

    @property
    def last_error(self) -> ErrorRecord | None:
        """The newest of ``errors``."""
        return self.errors[-1] if self.errors else None

    @property
    def duration(self) -> timedelta | None:
        """From the start of the last run to the end of the task; None before that.

        Longer than the run where the task ended while it waited for a retry.
        """
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at
