"""Which options a task can be given, by whom, and which filters choose tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from taskmill.model.policies import RetryPolicy
from taskmill.model.record import TaskId
from taskmill.model.sharing import IoBudget
from taskmill.model.status import TaskStatus

if TYPE_CHECKING:
    from taskmill.define.task import Task


class TaskOptions(TypedDict, total=False):
    """Options of a class, a domain or one call. A missing key inherits; None means none."""

    priority: int
    """0 (most urgent) to 255; see `Priority`."""
    group: str | None
    """The scheduler-wide group the task is counted in."""
    timeout: timedelta | None
    """The longest one run of the handler may take; then it is cancelled and counts as failed."""
    retry: RetryPolicy
    max_retries: int
    """Overrides the policy's own number of retries."""
    delay: timedelta
    """Start no sooner than this after the submit."""
    tags: Mapping[str, str] | None
    """Merged with the tags of the layers further out; None drops those."""
    stop_grace: timedelta
    """How long a stopped handler may take before it is reported as overdue."""
    preemptible: bool
    """Whether a run may be stopped to make room for something more urgent (default: yes)."""
    requeue: bool
    """Whether a submit for work that is running right now makes a follow-up (default: yes)."""


class ClassOptions(TaskOptions, total=False):
    """Options of a class: those of every layer, and what all tasks of a type have in common."""

    io: IoBudget
    """What a task is expected to move while it runs, in bytes per second."""


class SubmitOptions(TaskOptions, total=False):
    """Options of one call: those of a class, and what only a call can know."""

    key: str
    """The dedup identity, in place of the payload's `task_key`."""
    label: str
    run_at: datetime
    """Start no sooner than this (aware; a past time means now). Not together with ``delay``."""
    parent: TaskId


class TaskFilter(TypedDict, total=False):
    """Which tasks; all conditions must hold. Active ones only, unless ``status`` says otherwise."""

    types: Iterable[type[Task[Any, Any]]]
    status: TaskStatus | Iterable[TaskStatus]
    group: str | None
    parent: TaskId
    ids: Iterable[TaskId]
    key: str
    created_before: datetime
    created_after: datetime
