"""A store on a disk that fails when it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from taskmill import SqliteStore, StoreError, TaskId, TaskRecord
from taskmill.model.changes import Change, Claim, Effect, Opening
from taskmill.store.base import Selection


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

    async def tasks(
        self, selection: Selection, *, limit: int, after: TaskId | None = None
    ) -> list[TaskRecord]:
        return await self._store.tasks(selection, limit=limit, after=after)

    async def ended(
        self, selection: Selection, *, limit: int, after: tuple[int, TaskId] | None = None
    ) -> list[TaskRecord]:
        return await self._store.ended(selection, limit=limit, after=after)

    async def ids(self, selection: Selection) -> list[TaskId]:
        return await self._store.ids(selection)

    async def count_by_tag(self, selection: Selection, key: str) -> dict[str, int]:
        return await self._store.count_by_tag(selection, key)

    async def tag_keys(self, domain: str | None, prefix: str) -> list[str]:
        return await self._store.tag_keys(domain, prefix)

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
