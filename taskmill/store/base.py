"""What the engine needs of a store; every backend passes the same conformance suite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from taskmill.model.changes import Change, NewTask, Request, Timetable
from taskmill.model.effects import (
    Answer,
    Asked,
    Backlog,
    Effect,
    Ends,
    Holder,
    LevelCount,
    Opening,
    Placed,
    Refused,
)
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection


class Store(Protocol):
    """Durable tasks. Times are given by the caller; a store reads no clock."""

    async def open(self, *, now: datetime) -> Opening:
        """Become the one dispatcher of this store, after recovery in one transaction.

        StoreInUse, naming the process, where another is.
        """
        ...

    async def visit(self) -> None:
        """Open without becoming the dispatcher: for `request`, and for what reads.

        ConfigurationError where no other process can be the dispatcher.
        """
        ...

    async def request(self, changes: Sequence[Request], *, now: datetime) -> Asked:
        """Make the submits whose work nobody does yet, and ask for the rest, in one transaction.

        Durable on return. The effect of what is asked for is `Requested`.
        """
        ...

    async def answer(self, request: int) -> Answer | None:
        """What came of a request, once; None while nothing has."""
        ...

    async def stand_in(self, *, now: datetime) -> bool:
        """Answer what was asked for where nobody dispatches; False where somebody does."""
        ...

    async def holder(self) -> Holder | None:
        """Who dispatches now; None where nobody does."""
        ...

    async def pauses(self) -> tuple[PauseRecord, ...]:
        """What is paused, and the closed pauses that tasks have waited through."""
        ...

    async def levels(self) -> tuple[LevelCount, ...]:
        """How many ready tasks each level of each lane holds."""
        ...

    async def close(self) -> None:
        """Let go of the store; a store that is not open is left alone."""
        ...

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        """Apply ``changes`` in order, in one transaction; durable on return.

        A change that the database refuses gets a StoreError in its place and leaves the others
        be. Raises StoreError where nothing could be written.
        """
        ...

    async def submit_on(
        self, connection: object, tasks: Sequence[NewTask]
    ) -> tuple[Placed, ...] | Refused:
        """Submit tasks in the open transaction of the caller's own connection.

        They are there when that commits, and wait for `Collect`. InvalidState without an open
        transaction, ConfigurationError for a connection to something else.
        """
        ...

    def is_in_transaction(self, connection: object) -> bool:
        """Whether a connection that was submitted on still has its transaction open."""
        ...

    def home(self) -> Path | None:
        """The file that holds it; None for a store that no other process can open."""
        ...

    def stamp(self) -> object | None:
        """What was written last, cheaply; None where only `version` can tell.

        Where it is as it was before a call of `version`, nobody has begun to commit since that.
        """
        ...

    async def version(self) -> int:
        """A number that changes when anybody else has committed."""
        ...

    async def get(self, task: TaskId) -> TaskRecord | None:
        """The task with this id, as last committed."""
        ...

    async def backlog(self) -> list[Backlog]:
        """How many active tasks wait for a time, for another task, or for their children."""
        ...

    async def ends(self, task_type: str, *, recent: int) -> Ends:
        """How the tasks of a type have ended that are kept; durations of ``recent`` completed."""
        ...

    async def children(self, task: TaskId) -> list[TaskRecord]:
        """The children of a task, and what it joined, by id, as last committed."""
        ...

    async def timetables(self, domain: str | None) -> list[Timetable]:
        """The schedules of a domain, or of all, by name."""
        ...

    async def waits_for(self, task: TaskId, *, limit: int) -> list[TaskRecord]:
        """What has to end before a blocked or waiting task can go on, by id."""
        ...

    async def tasks(
        self, selection: Selection, *, limit: int, after: TaskId | None = None
    ) -> list[TaskRecord]:
        """The first ``limit`` tasks that ``selection`` names, by id, from behind ``after`` on."""
        ...

    async def ended(
        self, selection: Selection, *, limit: int, after: tuple[int, TaskId] | None = None
    ) -> list[TaskRecord]:
        """The last ``limit`` tasks to end of those that ``selection`` names, the last one first.

        Before ``after``, if given: an end in milliseconds, and among tasks of one moment an id.
        Active tasks are left out.
        """
        ...

    async def ids(self, selection: Selection) -> list[TaskId]:
        """The ids of all tasks that ``selection`` names, in order."""
        ...

    async def count(self, selection: Selection) -> int:
        """How many tasks ``selection`` names."""
        ...

    async def count_by_tag(self, selection: Selection, key: str) -> dict[str, int]:
        """How many tasks that ``selection`` names have each value of a tag, in order of values.

        Texts are in the order of their code points, here as in `tag_keys`.
        """
        ...

    async def tag_keys(self, domain: str | None, prefix: str) -> list[str]:
        """The tag keys with this prefix that active tasks have, in order."""
        ...


VERBS = tuple(verb for verb in vars(Store) if not verb.startswith("_"))
"""What every store can do."""
