"""What the engine needs of a store; every backend passes the same conformance suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import attrs

from taskmill.model.changes import Change, Effect, Opening
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus


@attrs.frozen(kw_only=True)
class Selection:
    """Which tasks, in terms a store can look up; None means any."""

    domain: str | None = None
    types: frozenset[str] | None = None
    statuses: frozenset[TaskStatus]
    ids: frozenset[TaskId] | None = None
    any_group: bool = True
    group: str | None = None
    """Looked at where ``any_group`` is false; None is then the tasks without a group."""
    parent: TaskId | None = None
    key: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Tags that a task has, all of them."""
    tag_prefix: str | None = None
    """How the key of some tag of it starts."""
    created_before: datetime | None = None
    created_after: datetime | None = None


class Store(Protocol):
    """Durable tasks. Times are given by the caller; a store reads no clock."""

    async def open(self, *, now: datetime) -> Opening:
        """Become the one dispatcher of this store, after recovery in one transaction.

        StoreInUse, naming the process, where another is.
        """
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

    async def get(self, task: TaskId) -> TaskRecord | None:
        """The task with this id, as last committed."""
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


VERBS = (
    "open",
    "close",
    "apply",
    "get",
    "tasks",
    "ended",
    "ids",
    "count",
    "count_by_tag",
    "tag_keys",
)
"""What every store can do."""
