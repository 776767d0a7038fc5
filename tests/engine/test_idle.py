"""When `idle` returns, and to whom."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import Context, Domain, DomainKey, RetryPolicy, Scheduler, SqliteStore, Task
from taskmill.model.changes import Submit
from taskmill.model.times import to_ms
from taskmill.testing import virtual_time
from tests.engine.app import Board, Nap, Work, domains, open_app
from tests.store.conformance import new_task, sqlite_store

pytestmark = pytest.mark.anyio


async def test_everybody_who_waits_for_idle_is_told() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="a", seconds=5))
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(app.scheduler.idle)
        assert app.seconds() == 5


class Two(DomainKey, name="two"): ...


class Kept(Task[Two], name="kept"):
    number: int = 0


class Gone(Task[Two], name="gone"):
    number: int = 0


async def fail(task: Any, ctx: Context[Two]) -> None:
    raise ValueError("no luck")


async def test_retries_of_a_type_that_has_no_handler_here_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    retry = RetryPolicy.constant(1, timedelta(hours=1))
    kept, gone = Kept.handler(fail), Gone.handler(fail)
    async with virtual_time() as clock:
        domain = Domain(Two, handlers=[kept, gone], retry=retry)
        async with Scheduler(path, domains=[domain], clock=clock) as scheduler:
            await scheduler.submit(Kept())
            later = RetryPolicy.constant(1, timedelta(hours=10))
            [first, _] = await scheduler.submit_many([Gone(), Gone(number=1)], retry=later)
            await anyio.sleep(1)
            again = clock.now() + timedelta(hours=1)
    async with virtual_time(start=again - timedelta(minutes=1)) as clock:
        domain = Domain(Two, handlers=[kept], tasks=[Gone], retry=retry)
        hour = timedelta(hours=1)
        async with Scheduler(path, domains=[domain], clock=clock, poll_interval=hour) as scheduler:
            with anyio.fail_after(3600):
                await scheduler.cancel(first.id)
                await scheduler.idle()
                assert 50 <= clock.monotonic() <= 61
            await anyio.sleep(20 * 3600)
            with anyio.fail_after(1):
                await scheduler.idle()


class AskedStore(SqliteStore):
    """A store that says how often it was asked whether anybody has committed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked = 0

    async def version(self) -> int:
        self.asked += 1
        return await super().version()


class SlowDisk(AskedStore):
    """What others commit to it does not show in the time of the log."""

    def stamp(self) -> tuple[int, int] | None:
        return 0, 0


async def test_a_commit_that_shows_in_no_time_is_noticed_all_the_same(tmp_path: Path) -> None:
    path, board = tmp_path / "app.db", Board()
    elsewhere, payload = sqlite_store(path), '{"name":"elsewhere","seconds":0}'
    async with (
        virtual_time() as clock,
        Scheduler(store=SlowDisk(path), domains=domains(board), clock=clock),
    ):
        await anyio.sleep(10)
        with clock.hold():
            await elsewhere.visit()
            new = new_task("a", kind="work::nap", payload=payload, created_at_ms=to_ms(clock.now()))
            await elsewhere.request([Submit((new,))], now=clock.now())
            await elsewhere.close()
        await anyio.sleep(6)
    assert board.stopped == ["elsewhere"]


async def test_a_file_that_nobody_writes_to_is_only_glanced_at(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    store, board = AskedStore(path), Board()
    async with (
        virtual_time() as clock,
        Scheduler(store=store, domains=domains(board), clock=clock) as scheduler,
    ):
        await scheduler.submit(Nap(name="here"))
        await scheduler.idle()
        await anyio.sleep(10)
        assert store.asked > 10, "what was written a moment ago may be written again unnoticed"
        os.utime(f"{path}-wal", (1_000_000_000, 1_000_000_000))
        await anyio.sleep(1)
        store.asked = 0
        await anyio.sleep(1000)
        assert 190 <= store.asked <= 210, "each tenth time"
        only_submits = Domain(Work, tasks=[Nap])
        async with Scheduler(path, domains=[only_submits], dispatch=False) as elsewhere:
            submitted = await elsewhere.submit(Nap(name="elsewhere"))
            await elsewhere.wait(submitted.id)
    assert board.stopped == ["here", "elsewhere"]
