"""A store on a disk that fails when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from taskmill import SqliteStore, StoreError, TaskId, TaskRecord
from taskmill.model.changes import Change, Claim, Timetable
from taskmill.model.effects import Effect, Opening
from taskmill.model.selection import Selection


class FailingStore:
    """A memory store; while ``fails`` is set it raises that in place of writing."""

    def __init__(self) -> None:
        self._store = SqliteStore(":memory:")
        self.fails: BaseException | None = None
        self.refused: int | None = None
        """The task whose claims are refused."""
        self.batches = 0

    async def open(self, *, now: datetime) -> Opening:
        return await self._store.open(now=now)

    async def close(self) -> None:
        await self._store.close()

    async def get(self, task: TaskId) -> TaskRecord | None:
        return await self._store.get(task)

    async def count(self, selection: Selection) -> int:
        return await self._store.count(selection)

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        self.batches += 1
        if self.fails is not None:
            raise self.fails
        taken = [change for change in changes if not self._refuses(change)]
        effects = iter(await self._store.apply(taken))
        return [
            StoreError("refused") if self._refuses(change) else next(effects) for change in changes
        ]

    def _refuses(self, change: Change) -> bool:
        return isinstance(change, Claim) and change.id == self.refused

    async def children(self, task: TaskId) -> list[TaskRecord]:
        return await self._store.children(task)

    async def waits_for(self, task: TaskId, *, limit: int) -> list[TaskRecord]:
        return await self._store.waits_for(task, limit=limit)

    async def timetables(self, domain: str | None) -> list[Timetable]:
        return await self._store.timetables(domain)
