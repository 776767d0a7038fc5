"""A process that dies: what it had claimed is left running in its file."""

from __future__ import annotations

from pathlib import Path

from taskmill import SqliteStore, TaskId
from taskmill.model.changes import CancelTask, Change, Claim
from taskmill.model.times import to_ms
from taskmill.testing import FakeClock


async def die(
    path: Path, clock: FakeClock, *claimed: int, has_undo: bool = False, cancelled: bool = False
) -> None:
    """Open the file, start these tasks, and leave them as a killed process does."""
    store = SqliteStore(path)
    now_ms = to_ms(clock.now())
    await store.open(now=clock.now())
    changes: list[Change] = [Claim(TaskId(task), now_ms, has_undo) for task in claimed]
    if cancelled:
        changes += [
            CancelTask(id=TaskId(task), domain=None, reason=None, now_ms=now_ms) for task in claimed
        ]
    await store.apply(changes)
    await store.close()
