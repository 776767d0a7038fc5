"""The reads and writes that a rule can ask for inside a transaction.

A rule that needs the store is a generator: it yields steps, is sent their answers, and returns
its effect. Each backend carries the steps out over its own driver. Nobody else writes meanwhile.
"""

from __future__ import annotations

import enum
from collections.abc import Generator, Mapping
from typing import Any, Generic, TypeAlias, cast

import attrs
from typing_extensions import TypeVar

from taskmill.model.changes import NewTask, Settlement, Timetable
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus

A = TypeVar("A", default=None)
"""What the answer is."""


class Tie(enum.IntEnum):
    """Why one task waits for another, beside being its parent or its follow-up."""

    NEEDS = 0
    """It depends on it."""
    JOINS = 1
    """It spawned the same work, and waits for it as for a child."""


class Step(Generic[A]):
    """One read or write."""


# --- reads ---------------------------------------------------------------------------------------


@attrs.frozen
class FindTask(Step[TaskRecord | None]):
    """The record of the task with this id, or None."""

    id: TaskId


@attrs.frozen
class FindTasks(Step[tuple[TaskRecord, ...]]):
    """The records of those of these tasks that exist, by id."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindStates(Step[Mapping[TaskId, TaskStatus]]):
    """Where those of these tasks are that exist."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindLastId(Step[int]):
    """The highest id that was ever given."""


@attrs.frozen
class FindActive(Step[TaskRecord | None]):
    """The record of the active task, or of the follow-up, with this identity."""

    identity: bytes
    follow_up: bool


@attrs.frozen
class FindHolder(Step[TaskRecord | None]):
    """The record of the task that holds the identity of one that has ended.

    It is active, or completed not long ago.
    """

    id: TaskId
    now_ms: int


@attrs.frozen
class FindWindow(Step[TaskRecord | None]):
    """The record of the completed task that still stands for this identity."""

    identity: bytes
    now_ms: int


@attrs.frozen
class FindChildren(Step[tuple[TaskRecord, ...]]):
    """The active children of these tasks, by id."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindOpen(Step[frozenset[TaskId]]):
    """Those of these tasks that have active children, or joined a task that has not ended."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindFailedChild(Step[TaskRecord | None]):
    """The first child of this life of a task, or task it joined, that ended in failure."""

    id: TaskId


@attrs.frozen
class FindFollowUps(Step[tuple[TaskRecord, ...]]):
    """The tasks that wait in the follow-up place behind these, by id."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class Waiter:
    """A task that waits for another by a tie."""

    record: TaskRecord
    waits_for: TaskId
    tie: Tie


@attrs.frozen
class FindWaiters(Step[tuple[Waiter, ...]]):
    """The active tasks whose unmet ties are on these, by id."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindHeldUp(Step[frozenset[TaskId]]):
    """The tasks that cannot end before one of these has: by ties, as parents or follow-ups."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class FindNeeds(Step[Mapping[TaskId, TaskStatus]]):
    """What a task depends on that is not met, and where it is."""

    id: TaskId


@attrs.frozen
class FindUnmet(Step[frozenset[TaskId]]):
    """Those of these tasks that depend on something that is not met."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class Select(Step[tuple[TaskId, ...]]):
    """The tasks that are meant, by id."""

    selection: Selection


@attrs.frozen
class FindExpired(Step[tuple[TaskRecord, ...]]):
    """Tasks that have not started and whose time to live is over, the oldest first."""

    now_ms: int
    limit: int


@attrs.frozen
class FindNextExpiry(Step[int | None]):
    """When the next task expires."""


@attrs.frozen
class FindTimetable(Step[Timetable | None]):
    """The schedule of this name."""

    domain: str
    name: str


@attrs.frozen
class FindDueTimetables(Step[tuple[Timetable, ...]]):
    """The active schedules with an occurrence due, the longest due first."""

    now_ms: int
    limit: int


@attrs.frozen
class FindDeclared(Step[tuple[Timetable, ...]]):
    """The schedules that a domain has declared, or did once."""

    domain: str


@attrs.frozen
class FindNextFire(Step[int | None]):
    """When the next occurrence of an active schedule is due."""


# --- writes --------------------------------------------------------------------------------------


@attrs.frozen
class Insert(Step[TaskId | None]):
    """Insert the task. Answer: its id, or None where its identity is taken."""

    task: NewTask
    status: TaskStatus = TaskStatus.PENDING
    follow_up: bool = False
    arriving: bool = False
    """Whether the dispatcher is to notice it first."""


@attrs.frozen
class Settle(Step[bool]):
    """Settle the run if it is still this one, was not told to stop and concerns nobody else.

    Answer: whether that was so.
    """

    settlement: Settlement


@attrs.frozen
class Put(Step):
    """Write what can change of these records."""

    records: tuple[TaskRecord, ...]


@attrs.frozen
class PutTags(Step):
    """Write the tags of this record."""

    record: TaskRecord


@attrs.frozen
class RecordError(Step):
    """Keep the error of a settlement with its task."""

    settlement: Settlement


@attrs.frozen
class Link(Step):
    """Have a task wait for others; what is ``met`` is kept for the record alone."""

    id: TaskId
    waits_for: tuple[TaskId, ...]
    tie: Tie
    met: bool = False


@attrs.frozen
class Meet(Step):
    """These tasks wait for those no longer: (task, waits_for)."""

    pairs: tuple[tuple[TaskId, TaskId], ...]


@attrs.frozen
class Redirect(Step):
    """Who waited for the old task, its parent too, waits for the new one."""

    old: TaskId
    new: TaskId


@attrs.frozen
class Untie(Step):
    """What a task has joined, and spawned so far, is looked at no longer."""

    id: TaskId


@attrs.frozen
class Mark(Step):
    """The end of these tasks concerns others."""

    ids: tuple[TaskId, ...]


@attrs.frozen
class Announce(Step):
    """Tell the dispatcher of a submit: of this task, or, without one, that it is to be made."""

    task: NewTask
    id: TaskId | None


@attrs.frozen
class EndWindow(Step):
    """No completed task stands for this identity any longer."""

    identity: bytes


@attrs.frozen
class Renew(Step[int | None]):
    """The time to live of a task begins again. Answer: when it expires, if that is known now."""

    id: TaskId
    now_ms: int


@attrs.frozen
class PutTimetable(Step):
    """Write this schedule, new or in place of the one of its name."""

    timetable: Timetable


@attrs.frozen
class DropTimetable(Step):
    """Delete the schedule of this name."""

    domain: str
    name: str


Reading: TypeAlias = (
    FindTask
    | FindTasks
    | FindStates
    | FindLastId
    | FindActive
    | FindHolder
    | FindWindow
    | FindChildren
    | FindOpen
    | FindFailedChild
    | FindFollowUps
    | FindWaiters
    | FindHeldUp
    | FindNeeds
    | FindUnmet
    | Select
    | FindExpired
    | FindNextExpiry
    | FindTimetable
    | FindDueTimetables
    | FindDeclared
    | FindNextFire
)
"""Steps that answer with what is in the store."""

Writing: TypeAlias = (
    PutTimetable
    | DropTimetable
    | Insert
    | Settle
    | Put
    | PutTags
    | RecordError
    | Link
    | Meet
    | Redirect
    | Untie
    | Mark
    | Announce
    | EndWindow
    | Renew
)
AnyStep: TypeAlias = Reading | Writing

E = TypeVar("E", default=None)
Rule: TypeAlias = Generator[AnyStep, Any, E]


def ask(step: Step[A]) -> Rule[A]:
    """Yield ``step`` and return its answer: ``answer = yield from ask(FindTask(id))``."""
    answer: A = yield cast("AnyStep", step)  # every step is one of them
    return answer
