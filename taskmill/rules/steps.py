"""The reads and writes that a rule can ask for inside a transaction.

A rule that needs the store is a generator: it yields steps, is sent their answers, and returns
its effect. Each backend carries the steps out over its own driver.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

import attrs

from taskmill.model.changes import NewTask, Settlement
from taskmill.model.record import TaskId, TaskRecord


@attrs.frozen
class Insert:
    """Insert the task. Answer: its id, or None where its identity is taken."""

    task: NewTask
    follow_up: bool = False


@attrs.frozen
class FindActive:
    """Answer: the record of the active task, or of the follow-up, with this identity."""

    identity: bytes
    follow_up: bool


@attrs.frozen
class FindTask:
    """Answer: the record of the task with this id, or None."""

    id: TaskId


@attrs.frozen
class Upgrade:
    """Give a waiting task a better priority. No answer."""

    id: TaskId
    priority: int


@attrs.frozen
class Settle:
    """Settle the run if it is still this one and was not told to stop. Answer: its id, or None."""

    settlement: Settlement


@attrs.frozen
class SettleStopped:
    """Settle the run as cancelled if it is this one and was told to. Answer: its id, or None."""

    settlement: Settlement


@attrs.frozen
class RecordError:
    """Keep the error of a settlement with its task. No answer."""

    settlement: Settlement


@attrs.frozen(kw_only=True)
class EndWaiting:
    """Cancel a task that has not started. No answer."""

    id: TaskId
    now_ms: int
    reason: str


@attrs.frozen
class RequestStop:
    """Put on record that a running task is to stop. No answer."""

    id: TaskId


@attrs.frozen(kw_only=True)
class ReleaseFollowUp:
    """Let what waited behind an ended task take its place. Answer: its record, or None."""

    id: TaskId
    now_ms: int


Step: TypeAlias = (
    Insert
    | FindActive
    | FindTask
    | Upgrade
    | Settle
    | SettleStopped
    | RecordError
    | EndWaiting
    | RequestStop
    | ReleaseFollowUp
)
Answer: TypeAlias = TaskId | TaskRecord | None

E = TypeVar("E")
Rule: TypeAlias = Generator[Step, Answer, E]
