"""A snapshot tells of each running task how far it is by now, and how long it still takes."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import Context, RetryPolicy, Scheduler, SqliteStore, TaskId, TaskProgress
from taskmill.model.effects import Ends
from taskmill.testing import virtual_time
from tests.life.app import SECOND, App, Diary, Do, Errand, Family, Nap, Work, domains, open_app

pytestmark = pytest.mark.anyio


async def progress(app: App, task: TaskId) -> TaskProgress:
    return (await app.scheduler.snapshot()).progress_of[task]


def about(seconds: float) -> Any:
    return pytest.approx(timedelta(seconds=seconds), abs=timedelta(milliseconds=1))


async def test_nothing_is_known_of_the_first_run_of_a_type_that_says_nothing() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first", seconds=100))
        await anyio.sleep(10)
        seen = await app.scheduler.snapshot()
        assert seen.progress_of == {
            first.id: TaskProgress(
                reported=None,
                message=None,
                estimated=None,
                elapsed=seen.progress_of[first.id].elapsed,
                typical=None,
                eta=None,
                bytes=None,
            )
        }
        assert seen.progress_of[first.id].elapsed == about(10)
        assert (seen.progress, seen.bytes) == (None, None)


async def test_a_run_that_says_nothing_is_as_far_as_those_before_it_were() -> None:
    async with open_app() as app:
        for seconds in (1, 20, 400):
            await app.work.submit(Nap(name=f"{seconds}", seconds=seconds))
        failing = await app.work.submit(Nap(name="cancelled", seconds=1000))
        await anyio.sleep(500)
        await app.work.cancel(failing.id)
        await app.scheduler.idle()
        next_one = await app.work.submit(Nap(name="next", seconds=50))
        await anyio.sleep(10)
        early = await progress(app, next_one.id)
        assert early.typical == about(20), "the median of those that completed"
        assert early.reported is None
        assert early.estimated == pytest.approx(0.5)
        assert early.eta == about(10)
        await anyio.sleep(35)
        late = await progress(app, next_one.id)
        assert 0.9 < (late.estimated or 0) < 1
        assert late.eta is not None
        assert timedelta(0) < late.eta < 2 * SECOND


async def test_what_a_handler_reports_is_carried_on() -> None:
    async with open_app() as app:

        async def copies(ctx: Context[Work]) -> None:
            for number in range(1, 5):
                await anyio.sleep(10)
                ctx.progress_of(number, 10, f"part {number}")
            await anyio.sleep(5)
            ctx.log.info("half of the next part is done")
            await anyio.sleep(100)

        app.body("copies", copies)
        task = await app.work.submit(Do(name="copies"))
        await anyio.sleep(45)
        seen = await progress(app, task.id)
        assert (seen.reported, seen.message) == (0.4, "part 4")
        assert seen.estimated == pytest.approx(0.45)
        assert seen.eta == about(55)
        assert (await app.work.snapshot()).progress == pytest.approx(0.45)
        assert (await app.work.get(task.id)).progress == 0.4


async def test_bytes_have_a_rate_that_falls_when_they_stop_coming() -> None:
    async with open_app() as app:

        async def loads(ctx: Context[Work]) -> None:
            for number in range(1, 11):
                await anyio.sleep(1)
                ctx.bytes(number * 1000, 20_000)
            await anyio.sleep(1000)

        app.body("loads", loads)
        task = await app.work.submit(Do(name="loads"))
        await anyio.sleep(1.5)
        first = (await progress(app, task.id)).bytes
        assert first is not None
        assert (first.done, first.total, first.rate, first.eta) == (1000, 20_000, None, None)
        await anyio.sleep(9)
        seen = await progress(app, task.id)
        assert seen.bytes is not None
        assert seen.bytes.done == 10_000
        assert seen.bytes.rate == pytest.approx(1000)
        assert seen.eta == seen.bytes.eta == about(10)
        await anyio.sleep(60)
        stalled = (await progress(app, task.id)).bytes
        assert stalled is not None
        assert stalled.rate is not None
        assert 0 < stalled.rate < 10


async def test_the_sums_are_over_all_that_say_something() -> None:
    async with open_app() as app:

        async def loads(ctx: Context[Work]) -> None:
            for number in range(20):
                ctx.bytes(number * 10, None if ctx.record.key == "unsized" else 1000)
                await anyio.sleep(1)

        for name in ("one", "two", "unsized"):
            app.body(name, loads)
        await app.work.submit_many([Do(name="one"), Do(name="two"), Nap(name="n", seconds=50)])
        await anyio.sleep(10.5)
        seen = (await app.scheduler.snapshot()).bytes
        assert seen is not None
        assert (seen.done, seen.total) == (200, 2000)
        assert seen.rate == pytest.approx(20)
        assert seen.eta == about(90)
        await app.work.submit(Do(name="unsized"), key="unsized")
        await anyio.sleep(0.1)
        seen = (await app.scheduler.snapshot()).bytes
        assert seen is not None
        assert (seen.done, seen.total) == (200, None)
        assert seen.rate == pytest.approx(20)
        assert seen.eta is None
        assert (await app.other.snapshot()).bytes is None


async def test_what_is_no_number_fails_its_own_task_or_is_cut() -> None:
    async with open_app(domain={"retry": RetryPolicy.constant(0)}) as app:

        async def odd(ctx: Context[Work]) -> None:
            ctx.progress(math.nan)
            ctx.bytes(-5, 10**400)
            await anyio.sleep(10)
            ctx.bytes(math.inf)  # type: ignore[arg-type] # which checkers refuse

        app.body("odd", odd)
        task = await app.work.submit(Do(name="odd"))
        await anyio.sleep(1)
        seen = await progress(app, task.id)
        assert (seen.reported, seen.estimated) == (0, 0)
        assert seen.bytes is not None
        assert seen.bytes.done == 0
        record = await app.work.wait(task.id)
        assert "OverflowError" in (record.reason or "")
        assert (await app.scheduler.snapshot()).progress_of == {}


async def test_a_handler_and_its_finalize_take_their_own_times() -> None:
    async with open_app() as app:

        async def sleeps(seconds: float) -> None:
            await anyio.sleep(seconds)

        app.body("f", lambda _: sleeps(100))
        app.body("finalize f", lambda _: sleeps(10))
        await app.work.submit(Family(name="f"))
        await app.scheduler.idle()
        again = await app.work.submit(Family(name="f"))
        await anyio.sleep(50)
        assert (await progress(app, again.id)).estimated == pytest.approx(0.5)
        await anyio.sleep(55)
        assert (await progress(app, again.id)).estimated == pytest.approx(0.5, abs=0.01)


class CountingStore(SqliteStore):
    """A store that says how often it was asked for the ends of tasks."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: list[str] = []

    async def ends(self, task_type: str, *, recent: int) -> Ends:
        self.asked.append(task_type)
        return await super().ends(task_type, recent=recent)


async def test_how_long_a_type_takes_is_known_from_its_history(tmp_path: Path) -> None:
    """Each type is asked for once, one at a snapshot, and only when it runs and is looked at."""
    store = CountingStore(tmp_path / "app.db")
    async with virtual_time() as clock:

        def opened() -> Scheduler:
            return Scheduler(store=store, domains=domains(Diary()), clock=clock, loop_limit=None)

        async with opened() as scheduler:
            await scheduler.submit_many([Nap(name=f"{n}", seconds=20) for n in range(3)])
            await scheduler.idle()
        assert store.asked == []
        async with opened() as scheduler:
            task = await scheduler.submit(Nap(name="again", seconds=15))
            await scheduler.submit(Do(name="slow"))
            await scheduler.submit(Errand())
            await anyio.sleep(10)
            assert store.asked == []
            seen = (await scheduler.snapshot()).progress_of[task.id]
            assert seen.typical == about(20)
            assert seen.estimated == pytest.approx(0.5)
            for _ in range(3):
                await scheduler.snapshot()
            await anyio.sleep(10)
            await scheduler.submit(Nap(name="last", seconds=15))
            await anyio.sleep(1)
            await scheduler.snapshot()
            assert store.asked == ["work::nap"]


async def test_an_estimate_does_not_fall_when_others_turn_out_to_take_longer() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="quick", seconds=10))
        await app.scheduler.idle()
        await app.work.submit(Nap(name="slow", seconds=8))
        await app.work.submit(Nap(name="slower", seconds=9))
        watched = await app.work.submit(Nap(name="watched", seconds=100))
        found: list[float] = []
        for _ in range(20):
            await anyio.sleep(1)
            await app.work.submit(Nap(name=f"other {len(found)}", seconds=30 + len(found)))
            found.append((await progress(app, watched.id)).estimated or 0)
        assert found == sorted(found)
