"""A disk that is full: callers are told, nothing accepted is lost, and it heals by itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Scheduler,
    SqliteStore,
    StoreError,
    Task,
    TaskStatus,
)


class Disk(DomainKey, name="disk"): ...


class Write(Task[Disk, str], name="write"):
    number: int
    ballast: str = ""


@Write.handler
async def write(task: Write, ctx: Context[Disk]) -> str:
    await ctx.state(anyio.Event).wait()
    return "x" * 50_000


async def set_room(store: SqliteStore, pages: int | None) -> None:
    """Let the database grow by so many pages, or without limit."""

    def limit(db: sqlite3.Connection) -> None:
        size: int = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {2**31 if pages is None else size + pages}")

    assert store._writer is not None
    await store._writer.run(limit)


@pytest.mark.anyio
async def test_a_full_disk_refuses_new_work_keeps_results_and_heals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteStore(tmp_path / "app.db")
    go_on = anyio.Event()
    domain = Domain(Disk, handlers=[write], state=[go_on])
    async with Scheduler(store=store, domains=[domain]) as scheduler:
        accepted = await scheduler.submit_many([Write(number=n) for n in range(8)])
        while len(scheduler.active_tasks()) < 8:
            await anyio.lowlevel.checkpoint()
        await set_room(store, 0)
        for _ in range(3):
            with pytest.raises(StoreError, match="the disk is full; free some space"):
                await scheduler.submit(Write(number=99, ballast="y" * 100_000))
        go_on.set()
        while scheduler.active_tasks():
            await anyio.lowlevel.checkpoint()
        with pytest.raises(StoreError, match="the disk is full"):
            await scheduler.submit(Write(number=100, ballast="y" * 100_000))
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 0
        await set_room(store, None)
        for submitted in accepted:
            assert len(await scheduler.result(submitted)) == 50_000
        assert await scheduler.result(await scheduler.submit(Write(number=100)))
        await scheduler.idle()
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 9
    assert "nothing new starts until it works again" in caplog.text
    assert "writing works again" in caplog.text
