"""Files that cannot be written for a while, or for good: callers are told, and nothing is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from taskmill import Scheduler, SqliteStore, StoreError, TaskStatus
from taskmill.testing import virtual_time
from tests.life.app import Diary, Nap, domains

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def set_patience(store: SqliteStore, milliseconds: int) -> None:
    """Have the writing connection wait so long for others, in place of five seconds."""
    assert store._writer is not None
    await store._writer.run(lambda db: db.execute(f"PRAGMA busy_timeout = {milliseconds}").close())


@pytest.mark.parametrize("held", [10, 600])
async def test_a_writer_that_holds_on_delays_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, held: int
) -> None:
    path = tmp_path / "app.db"
    store, diary = SqliteStore(path), Diary()
    async with virtual_time() as clock:
        scheduler = Scheduler(
            store=store, domains=domains(diary), clock=clock, loop_limit=None, poll_interval=HOUR
        )
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            async with scheduler:
                await set_patience(store, 0)
                running = await scheduler.submit(Nap(name="running", seconds=1))
                waiting = await scheduler.submit(Nap(name="waiting"), delay=timedelta(seconds=5))
                await anyio.sleep(0.5)
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="another process has been writing for over"):
                    await scheduler.submit(Nap(name="refused"))
                await anyio.sleep(held)
                assert (await scheduler.get(running.id)).status is TaskStatus.RUNNING
                assert diary.lines == ["nap running"]
                other.execute("ROLLBACK")
                assert await scheduler.result(running, timeout=timedelta(minutes=1)) == "running"
                assert await scheduler.result(waiting, timeout=timedelta(minutes=1)) == "waiting"
                await scheduler.idle()
                ended = await scheduler.tasks(status=list(TaskStatus))
    assert [(record.status, record.run) for record in ended] == [(TaskStatus.COMPLETED, 1)] * 2
    assert diary.lines == ["nap running", "nap waiting"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "writing failed, nothing new starts until it works again",
        "writing works again",
    ]
