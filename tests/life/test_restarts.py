"""What an opening makes of what a stop or a crash left, and what a stop writes before it ends."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from time import perf_counter

import anyio
import pytest

from taskmill import (
    Context,
    Scheduler,
    SqliteStore,
    Stop,
    StopOverdue,
    StoreInUse,
    TaskId,
    TaskStatus,
)
from taskmill.testing import virtual_time
from tests.life.app import (
    HOUR,
    SECOND,
    Diary,
    Do,
    Family,
    Nap,
    Tidy,
    Work,
    domains,
    open_app,
)
from tests.life.crash import die
from tests.life.hearing import heard, told

pytestmark = pytest.mark.anyio


async def spawn_held(ctx: Context[Work]) -> None:
    await ctx.spawn(Nap(name="child"), group="held")


async def test_a_finalize_that_a_crash_cut_short_runs_again_and_execute_does_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    gate = anyio.Event()

    async def finalize(ctx: Context[Work]) -> None:
        if ctx.record.run == 2:
            gate.set()
            await anyio.sleep(1000)

    async with virtual_time() as clock:
        diary = Diary(bodies={"finalize f": finalize})
        async with open_app(str(path), clock=clock, diary=diary, shutdown=Stop()) as app:
            parent = await app.work.submit(Family(name="f"))
            await gate.wait()
        await die(path, clock, parent.id)
        async with open_app(str(path), clock=clock, diary=diary) as app:
            assert await app.work.result(parent) == "['f', 'run 1'] 0 children"
            record = await app.work.get(parent.id)
            assert (record.attempt, record.run, record.interruptions) == (1, 4, 1)
        assert diary.lines == ["execute f", "finalize f", "finalize f"]


async def test_an_opening_ends_what_was_to_stop_and_wakes_and_judges_who_waited_for_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        diary = Diary(bodies={"f": spawn_held})
        async with open_app(str(path), clock=clock, diary=diary) as app:
            await app.work.pause_group("held")
            parent = await app.work.submit(Family(name="f"), fail_fast=False)
            await anyio.sleep(1)
            child = TaskId(parent.id + 1)
            after = await app.work.submit(Nap(name="after"), depends_on=[child])
            assert (await app.work.get(parent.id)).status is TaskStatus.WAITING
        await die(path, clock, child, cancelled=True)
        async with open_app(str(path), clock=clock, diary=diary) as app:
            assert (await app.work.get(child)).status is TaskStatus.CANCELLED
            assert (await app.work.get(after.id)).status is TaskStatus.DEPENDENCY_FAILED
            assert await app.work.result(parent) == "['f', 'run 1'] 1 children"


async def test_what_expired_while_nobody_looked_expires_at_the_opening(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with virtual_time() as clock:
        async with open_app(path, clock=clock) as app:
            short = await app.work.submit(Nap(name="short"), delay=SECOND * 2, ttl=SECOND)
            after = await app.work.submit(Nap(name="after"), depends_on=[short])
        clock.jump(HOUR)
        async with open_app(path, clock=clock) as app:
            await app.scheduler.idle()
            assert (await app.work.get(short.id)).status is TaskStatus.EXPIRED
            assert (await app.work.get(after.id)).status is TaskStatus.DEPENDENCY_FAILED
            assert not app.diary.lines


async def test_opening_again_and_again_changes_nothing_more(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.scheduler.pause()
            tasks = await app.work.submit_many([Nap(name=str(n)) for n in range(3)])
            blocked = await app.work.submit(Nap(name="blocked"), depends_on=[tasks[0]])
            ids = [each.id for each in [*tasks, blocked]]
        await die(path, clock, tasks[0].id)
        await die(path, clock, tasks[1].id, cancelled=True)
        seen: list[object] = []
        for _ in range(3):
            async with open_app(str(path), clock=clock) as app:
                seen.append([await app.work.get(task) for task in ids])
        assert seen[0] == seen[1] == seen[2]
        async with open_app(str(path), clock=clock) as app:
            await app.scheduler.resume()
            assert await app.work.result(blocked) == "blocked"


async def test_at_the_fifth_crash_a_task_is_to_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.work.pause()
            task = await app.work.submit(Nap(name="suspect"))
        for _ in range(4):
            await die(path, clock, task.id)
        async with open_app(str(path), clock=clock) as app:
            record = await app.work.get(task.id)
            assert (record.interruptions, record.attempt, record.stage.is_alone) == (4, 0, False)
        await die(path, clock, task.id)
        async with open_app(str(path), clock=clock) as app:
            record = await app.work.get(task.id)
            assert (record.interruptions, record.attempt, record.stage.is_alone) == (5, 0, True)
            await app.work.resume()
            assert await app.work.result(task) == "suspect"


@pytest.mark.parametrize("count", [3000, pytest.param(100_000, marks=pytest.mark.nightly)])
async def test_recovery_takes_about_10_microseconds_a_row(tmp_path: Path, count: int) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.work.pause()
            naps = [Nap(name=str(number)) for number in range(count)]
            ids = [each.id for each in await app.work.submit_many(naps)]
        await die(path, clock, *ids)
        store = SqliteStore(path)
        start = perf_counter()
        await store.open(now=clock.now())
        took = perf_counter() - start
        await store.close()
        assert took < 0.5 + count * 50e-6, "slow machines may take five times as long"


async def test_on_cancel_that_is_owed_takes_a_slot_like_any_other_run(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.work.pause()
            owing = await app.work.submit_many([Tidy(name=n, tidying=5) for n in "ab"])
        for each in owing:
            await die(path, clock, each.id, has_undo=True, cancelled=True)
        async with open_app(str(path), clock=clock, max_concurrency=1) as app:
            await app.work.resume()
            for each in owing:
                record = await app.work.wait(each.id)
                assert record.status is TaskStatus.CANCELLED
            assert app.diary.lines == ["undo a", "undone a", "undo b", "undone b"]


async def test_what_a_stop_interrupted_needs_no_recovery(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock, shutdown=Stop()) as app:
            running = await app.work.submit(Nap(name="long", seconds=1000))
            await anyio.sleep(1)
        with closing(sqlite3.connect(path)) as connection:
            [row] = connection.execute(
                "SELECT status, attempt, run FROM taskmill_tasks WHERE id = ?", [running.id]
            )
        assert row == ("pending", 0, 1)
        assert not path.with_name("app.db-wal").exists()
        path.rename(tmp_path / "moved.db")


async def test_a_handler_can_stop_its_own_scheduler(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")

    async def body(ctx: Context[Work]) -> None:
        ctx.state(Scheduler).stop(Stop())
        await anyio.sleep(1000)

    diary = Diary(bodies={"x": body})
    async with virtual_time() as clock:
        scheduler = Scheduler(path, domains=domains(diary), clock=clock)
        async with scheduler:
            scheduler.add_state(scheduler)
            submitted = await scheduler.submit(Do(name="x"))
            with anyio.fail_after(100):
                async with scheduler.events() as events:
                    assert [event async for event in events]
        assert clock.monotonic() < 1
        diary.bodies.clear()
        async with open_app(path, clock=clock, diary=diary) as app:
            assert await app.work.result(submitted) == "x"
            assert (await app.work.get(submitted.id)).attempt == 1


async def test_the_block_waits_for_a_handler_that_does_not_stop_and_keeps_the_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "app.db")
    seen: list[str] = []

    async def body(ctx: Context[Work]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(60)
        seen.append("out")

    async def look() -> None:
        await anyio.sleep(50)
        with pytest.raises(StoreInUse):
            async with Scheduler(path, domains=domains(Diary()), clock=clock):
                pass
        seen.append("in use")

    async with virtual_time() as clock, anyio.create_task_group() as group:
        diary = Diary(bodies={"x": body})
        async with open_app(path, clock=clock, diary=diary, shutdown=Stop()) as app:
            await app.work.submit(Do(name="x"))
            await anyio.sleep(1)
            group.start_soon(look)
        assert app.seconds() == pytest.approx(60)
        assert seen == ["in use", "out"]
        assert "task 1 (work::do) was told to stop" in caplog.text


async def test_a_handler_that_ignores_its_stop_is_reported_after_30_seconds() -> None:
    async with open_app(max_concurrency=1) as app, app.work.events() as events:

        async def body(ctx: Context[Work]) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(60)

        app.body("x", body)
        stubborn = await app.work.submit(Do(name="x"))
        after = await app.work.submit(Nap(name="after"))
        await anyio.sleep(1)
        await app.work.cancel(stubborn.id)
        await anyio.sleep(29)
        assert told(await heard(events), StopOverdue) == []
        await anyio.sleep(2)
        assert told(await heard(events), StopOverdue) == [("StopOverdue", stubborn.id)]
        assert (await app.work.get(after.id)).status is TaskStatus.PENDING
        await app.work.result(after)
        assert app.seconds() == pytest.approx(60)
