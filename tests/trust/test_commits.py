"""What is told is on record before it is told: others who read the file see it already."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import (
    Completed,
    Context,
    Dispatched,
    Enqueued,
    Paused,
    Resumed,
    SqliteStore,
    Stop,
    TaskId,
    TaskStatus,
)
from taskmill.testing import virtual_time
from tests.life.app import Do, Nap, Work, open_app
from tests.life.hearing import heard

pytestmark = pytest.mark.anyio


def seen_by_others(path: Path, task: TaskId) -> tuple[Any, ...]:
    """The status, the run and the stop cause of a task, read as another process does."""
    with closing(sqlite3.connect(path)) as db:
        statement = "SELECT status, run, stop_cause FROM taskmill_tasks WHERE id = ?"
        return tuple(db.execute(statement, (task,)).fetchone())


async def test_a_handler_begins_when_its_run_is_on_record(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    seen: list[tuple[Any, ...]] = []

    async def look(ctx: Context[Work]) -> None:
        seen.append((*seen_by_others(path, ctx.id), ctx.record.run))

    async with open_app(str(path)) as app:
        app.body("x", look)
        for _ in range(3):
            await app.work.result(await app.work.submit(Do(name="x")))
    assert seen == [("running", 1, None, 1)] * 3


async def test_an_event_tells_of_what_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    wanted: dict[type[object], set[str]] = {
        Enqueued: {"pending", "running", "completed"},
        Dispatched: {"running", "completed"},
        Completed: {"completed"},
    }
    async with open_app(str(path)) as app, app.work.events() as events:
        submitted = await app.work.submit(Nap(name="x", seconds=1))
        async for event in events:
            status, *_ = seen_by_others(path, submitted.id)
            assert status in wanted[type(event)]
            if isinstance(event, Completed):
                break


async def test_what_was_submitted_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        for number in range(5):
            submitted = await app.work.submit(Nap(name=str(number), seconds=100))
            assert seen_by_others(path, submitted.id)[0] in ("pending", "running")


async def test_events_of_one_commit_come_in_the_order_of_the_changes() -> None:
    async with open_app() as app, app.work.events() as events:
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(app.work.pause_group, f"g{number}")
                group.start_soon(app.work.resume_group, f"g{number}")
        told = [
            (event.name, type(event))
            for event in await heard(events)
            if isinstance(event, Paused | Resumed)
        ]
    assert told == [(f"g{n}", kind) for n in range(10) for kind in (Paused, Resumed)]


async def test_a_stop_that_was_confirmed_holds_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "app.db"

    async def shielded(ctx: Context[Work]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(100)

    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock, shutdown=Stop()) as app:
            app.body("x", shielded)
            submitted = await app.work.submit(Do(name="x"))
            await anyio.sleep(1)
            assert await app.work.cancel(submitted.id)
            assert seen_by_others(path, submitted.id) == ("running", 1, "cancelled")
            crashed = copied(path, tmp_path / "crashed.db")
        store = SqliteStore(crashed)
        await store.open(now=clock.now())
        record = await store.get(submitted.id)
        assert record is not None
        assert record.status is TaskStatus.CANCELLED
        await store.close()


def copied(path: Path, target: Path) -> Path:
    """What a process that dies now leaves."""
    for suffix in ("", "-wal"):
        target.with_name(target.name + suffix).write_bytes(
            path.with_name(path.name + suffix).read_bytes()
        )
    return target
