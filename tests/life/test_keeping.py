"""What is kept of ended tasks, and what recurs beside everything else."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Cron,
    Every,
    Retention,
    SubmitOutcome,
    TaskRecord,
    TaskStatus,
    UnknownTaskError,
)
from taskmill.testing import START
from tests.life.app import HOUR, MINUTE, SECOND, Do, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio

NOTHING = Retention(count=0, failed=0, dead=0, min_age=timedelta(0))


def test_ten_thousand_of_each_end_are_kept_for_an_hour_and_all_that_failed() -> None:
    assert Retention().min_age == HOUR
    kept = Retention().counts()
    assert kept.pop(TaskStatus.FAILED) is None
    assert kept.pop(TaskStatus.DEAD) is None
    assert set(kept.values()) == {10_000}
    assert len(kept) == 5


async def test_what_is_awaited_needed_or_in_its_window_is_kept() -> None:
    async with open_app(retention=NOTHING) as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="done child"))
            await ctx.spawn(Nap(name="child", seconds=1000))

        app.body("parent", body)
        parent = await app.work.submit(Do(name="parent"))
        needed = await app.work.submit(Nap(name="needed"))
        await app.work.submit(Nap(name="after"), depends_on=[needed], delay=HOUR)
        standing = await app.work.submit(Nap(name="standing"), unique_for=HOUR)
        plain = await app.work.submit(Nap(name="plain"))
        ended = await app.work.submit(Nap(name="long"), delay=MINUTE, priority=0)
        minute = START + MINUTE
        seen: list[TaskRecord] = []

        async def wait() -> None:
            seen.append(await app.work.wait(ended.id))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.sleep(1)
            await app.work.submit_many([Nap(name=str(n)) for n in range(1100)], run_at=minute)
            await anyio.sleep(60)
        assert seen[0].status is TaskStatus.COMPLETED
        for kept in (parent, needed, standing):
            assert (await app.work.get(kept.id)).id == kept.id
        with pytest.raises(UnknownTaskError):
            await app.work.get(plain.id)


async def test_delete_takes_what_is_meant_has_ended_and_nobody_needs() -> None:
    async with open_app() as app:
        plain = await app.work.submit(Nap(name="plain"), tags={"job": "1"})
        needed = await app.work.submit(Nap(name="needed"), tags={"job": "1"})
        after = await app.work.submit(Nap(name="after"), depends_on=[needed], delay=HOUR)
        standing = await app.work.submit(Nap(name="s"), tags={"job": "1"}, unique_for=HOUR)
        failed = await app.work.submit(Fail(permanent=True), tags={"job": "1"})
        active = await app.work.submit(Nap(name="active"), tags={"job": "1"}, delay=HOUR)
        await anyio.sleep(1)
        assert await app.work.delete(tags={"job": "1"}, status=TaskStatus.FAILED) == 1
        assert await app.other.delete(tags={"job": "1"}) == 0
        assert await app.work.delete(tags={"job": "1"}) == 1
        for gone in (plain, failed):
            with pytest.raises(UnknownTaskError):
                await app.work.get(gone.id)
        for kept in (needed, after, standing, active):
            assert (await app.work.get(kept.id)).id == kept.id
        await app.work.cancel(after.id)
        assert await app.work.delete(tags={"job": "1"}) == 1
        assert await app.work.delete(status=TaskStatus.CANCELLED) == 1
        with pytest.raises(ConfigurationError):
            await app.work.delete()
        again = await app.work.submit(Nap(name="s"))
        assert (again.id, again.outcome) == (standing.id, SubmitOutcome.DUPLICATE)


# --- what recurs ---


async def test_the_tasks_of_a_schedule_stand_for_no_work_and_nothing_stands_for_theirs() -> None:
    async with open_app() as app:
        seen: list[object] = []

        async def body(ctx: Context[Work]) -> None:
            seen.append((ctx.record.schedule, ctx.record.scheduled_for))
            await anyio.sleep(5)

        app.body("x", body)
        waiting = await app.work.submit(Do(name="x"), delay=HOUR)
        await app.work.schedule(Do(name="x"), Every(10 * SECOND, max_runs=1), "xs")
        await anyio.sleep(11)
        assert seen == [("xs", START + 10 * SECOND)]
        again = await app.work.submit(Do(name="x"), delay=HOUR)
        assert (again.id, again.outcome) == (waiting.id, SubmitOutcome.DUPLICATE)


async def test_without_a_name_a_schedule_is_that_of_its_work() -> None:
    async with open_app() as app:
        first = await app.work.schedule(Nap(name="a"), Every(MINUTE))
        await app.work.schedule(Nap(name="b"), Every(MINUTE))
        again = await app.work.schedule(Nap(name="a"), Every(MINUTE))
        assert again == first
        assert len(await app.work.schedules()) == 2


async def test_a_grid_has_its_anchor_its_first_time_and_its_last() -> None:
    async with open_app() as app:
        every = Every(MINUTE, anchor=START + 10 * SECOND, max_runs=2)
        made = await app.work.schedule(Nap(name="a"), every, "a")
        assert made.next_at == START + 10 * SECOND
        soon = Every(MINUTE, initial_delay=3 * SECOND)
        made = await app.work.schedule(Nap(name="b"), soon, "b")
        assert made.next_at == START + 3 * SECOND
        await anyio.sleep(200)
        assert app.diary.lines.count("nap a") == 2
        assert app.diary.lines.count("nap b") == 4


async def test_recurring_is_no_option_of_a_submit_and_start_times_are() -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="unknown option"):
            await app.work.submit(Nap(name="a"), schedule=Every(MINUTE))  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
        with pytest.raises(ConfigurationError):
            Cron("0 9 * * *", tz="Nowhere/Town")
        past = await app.work.submit(Nap(name="past"), run_at=START - HOUR)
        await app.work.result(past)
        assert app.seconds() < 1
