"""A schedule makes a task each time it is due, survives what happens to them, and is steered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from taskmill import (
    CatchUp,
    ConfigurationError,
    Cron,
    Domain,
    Every,
    Overlap,
    Schedule,
    ScheduleEnded,
    ScheduleSkipped,
    ScheduleStatus,
    TaskId,
    TaskStatus,
    UnknownTaskError,
)
from taskmill.testing import START, virtual_time
from tests.life.app import (
    HOUR,
    MINUTE,
    SECOND,
    Fail,
    Nap,
    Other,
    Work,
    errand,
    nap,
    open_app,
)

pytestmark = pytest.mark.anyio


async def test_a_fixed_rate_does_not_drift_and_each_occurrence_knows_its_time() -> None:
    async with open_app() as app:
        made = await app.work.schedule(Nap(name="tick", seconds=3), Every(10 * SECOND), "ticks")
        assert (made.status, made.next_at) == (ScheduleStatus.ACTIVE, START + 10 * SECOND)
        await anyio.sleep(35)
        records = [await app.work.get(TaskId(number)) for number in (1, 2, 3)]
        assert [record.scheduled_for for record in records] == [
            START + n * 10 * SECOND for n in (1, 2, 3)
        ]
        assert {record.schedule for record in records} == {"ticks"}
        started = [record.started_at for record in records]
        assert started == [record.scheduled_for for record in records]
        [seen] = await app.work.schedules()
        assert (seen.runs, seen.last_task, seen.next_at) == (3, 3, START + 40 * SECOND)


async def test_sub_second_intervals_work() -> None:
    async with open_app() as app:
        every = Every(timedelta(milliseconds=250), max_runs=8)
        await app.work.schedule(Nap(name="tick"), every, "fast")
        await anyio.sleep(2.1)
        assert app.diary.lines == ["nap tick"] * 8
        [seen] = await app.work.schedules()
        assert (seen.status, seen.next_at) == (ScheduleStatus.ENDED, None)


async def test_cron_runs_at_local_times() -> None:
    async with open_app() as app:
        cron = Cron("30 9 * * *", tz="Europe/Berlin")
        made = await app.work.schedule(Nap(name="report"), cron)
        assert made.next_at == datetime(2030, 1, 1, 8, 30, tzinfo=UTC)
        await anyio.sleep(timedelta(days=2).total_seconds())
        assert app.diary.lines == ["nap report"] * 2


async def test_a_schedule_survives_the_failures_of_its_runs() -> None:
    async with open_app() as app:
        await app.work.schedule(Fail(permanent=True), Every(MINUTE), "broken")
        await anyio.sleep(181)
        assert len(app.diary.lines) == 3


async def test_an_occurrence_that_comes_due_while_the_last_one_is_active_is_skipped() -> None:
    async with open_app() as app, app.work.events() as events:
        await app.work.schedule(Nap(name="slow", seconds=25), Every(10 * SECOND), "slow")
        await anyio.sleep(61)
        assert len(app.diary.lines) == 2
        skipped: list[int] = []
        with anyio.move_on_after(1):
            async for event in events:
                if isinstance(event, ScheduleSkipped):
                    assert (event.name, event.domain, event.type) == (
                        "slow",
                        "work",
                        "work::nap",
                    )
                    skipped.append(event.count)
        assert skipped == [1] * 4


async def test_with_overlap_queue_occurrences_run_one_after_the_other() -> None:
    async with open_app() as app:
        every = Every(10 * SECOND, overlap=Overlap.QUEUE, max_runs=3)
        await app.work.schedule(Nap(name="slow", seconds=25), every, "slow")
        await anyio.sleep(31)
        assert await app.work.count(status=TaskStatus.RUNNING) == 1
        assert await app.work.count(status=TaskStatus.BLOCKED) == 2
        await app.scheduler.idle()
        assert app.seconds() == pytest.approx(10 + 3 * 25)


async def test_after_completion_counts_from_the_end_of_the_last_one() -> None:
    async with open_app() as app:
        every = Every(10 * SECOND, after_completion=True, initial_delay=timedelta(0))
        await app.work.schedule(Nap(name="slow", seconds=25), every, "slow")
        await anyio.sleep(80)
        assert len(app.diary.lines) == 3


@pytest.mark.parametrize(
    ("catch_up", "runs"), [(CatchUp.SKIP, 0), (CatchUp.ONE, 1), (CatchUp.ALL, 5)]
)
async def test_a_restart_makes_nothing_twice_and_follows_catch_up(
    tmp_path: Path, catch_up: CatchUp, runs: int
) -> None:
    path = str(tmp_path / "app.db")
    every = Every(MINUTE, catch_up=catch_up)
    async with virtual_time() as clock:
        async with open_app(path, clock=clock) as app:
            await app.work.schedule(Nap(name="tick"), every, "ticks")
            await anyio.sleep(61)
            assert len(app.diary.lines) == 1
        clock.jump(5 * MINUTE)
        async with open_app(path, clock=clock) as app:
            again = await app.work.schedule(Nap(name="tick"), every, "ticks")
            await app.scheduler.idle()
            await anyio.sleep(1)
            assert len(app.diary.lines) == runs
            assert again.next_at == START + 7 * MINUTE
            await anyio.sleep(60)
            assert len(app.diary.lines) == runs + 1
            with_times = [await app.work.get(TaskId(n)) for n in range(1, runs + 3)]
            times = [record.scheduled_for for record in with_times]
            assert len(set(times)) == len(times)


async def test_pause_resume_and_cancel() -> None:
    async with open_app() as app, app.work.events() as events:
        await app.work.schedule(Nap(name="tick"), Every(MINUTE), "ticks")
        await app.work.pause_schedule("ticks")
        await anyio.sleep(150)
        assert not app.diary.lines
        resumed = await app.scheduler.resume_schedule("ticks")
        assert resumed.next_at == START + 3 * MINUTE
        await anyio.sleep(60)
        assert len(app.diary.lines) == 1
        assert (await app.work.cancel_schedule("ticks")).status is ScheduleStatus.ENDED
        await anyio.sleep(300)
        assert len(app.diary.lines) == 1
        assert await app.scheduler.schedules() == []
        with pytest.raises(UnknownTaskError, match="no schedule 'ticks'"):
            await app.work.pause_schedule("ticks")
        with anyio.move_on_after(1):
            async for event in events:
                if isinstance(event, ScheduleEnded):
                    assert event.reason == "cancelled"
                    break


async def test_the_same_rule_goes_on_and_another_one_begins_anew() -> None:
    async with open_app() as app:
        await app.work.schedule(Nap(name="a"), Every(HOUR), "job")
        await anyio.sleep(1800)
        same = await app.work.schedule(Nap(name="b"), Every(HOUR), "job")
        assert same.next_at == START + HOUR
        other = await app.work.schedule(Nap(name="b"), Every(2 * HOUR), "job")
        assert other.next_at == START + timedelta(minutes=30) + 2 * HOUR
        await anyio.sleep(7201)
        assert app.diary.lines == ["nap b"]


async def test_declared_schedules_begin_by_themselves_and_pause_when_they_left_the_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "app.db")
    declared = [
        Schedule("one", Nap(name="one"), Every(MINUTE)),
        Schedule("two", Nap(name="two"), Every(MINUTE)),
    ]
    async with virtual_time() as clock:
        async with open_app(path, clock=clock, domain={"schedules": declared}) as app:
            await anyio.sleep(61)
            assert sorted(app.diary.lines) == ["nap one", "nap two"]
        async with open_app(path, clock=clock, domain={"schedules": declared[:1]}) as app:
            await anyio.sleep(60)
            assert app.diary.lines == ["nap one"]
            one, two = await app.work.schedules()
            assert (one.status, two.status) == (ScheduleStatus.ACTIVE, ScheduleStatus.PAUSED)
            assert two.reason == "its domain does not declare it any more"
            assert "schedule 'two' of domain 'work' is paused" in caplog.text
        async with open_app(path, clock=clock, domain={"schedules": declared}) as app:
            await anyio.sleep(60)
            assert sorted(app.diary.lines) == ["nap one", "nap two"]


def test_a_wrong_schedule_is_refused_where_it_is_written() -> None:
    with pytest.raises(ConfigurationError, match="a task of another domain"):
        Domain(Other, handlers=[errand], schedules=[Schedule("x", Nap(name="a"), Every(MINUTE))])  # type: ignore[misc]
    with pytest.raises(ConfigurationError, match="recurs by Every"):
        Schedule("x", Nap(name="a"), MINUTE)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="two schedules named 'x'"):
        Domain(
            Work,
            handlers=[nap],
            schedules=[Schedule("x", Nap(name=n), Every(MINUTE)) for n in "ab"],
        )
