"""What is known about one task, as the store holds it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NewType

import attrs

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


@attrs.frozen(kw_only=True)
class TaskRecord:
    """One task. Times are aware, in UTC; counters are as committed."""

    id: TaskId
    type: str
    """Qualified: ``"ingest::fetch"``."""
    domain: str
    payload: str
    """JSON."""
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
    """JSON of the other options the call gave for its attempts."""
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
    result: str | None
    """JSON; set for completed tasks."""
    errors: tuple[ErrorRecord, ...]
    """Oldest first, the last ten."""
    reason: str | None
    """Why the task ended the way it did, where it did not complete; never empty then."""
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
