"""One row for life: where a task is, how it ended, and the numbers that only grow."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from taskmill import (
    Context,
    InvalidState,
    IoTotals,
    OnDependencyFailure,
    OnDuplicate,
    TaskPruned,
    TaskStatus,
    UnknownTaskError,
)
from taskmill.testing import virtual_time
from tests.life.app import HOUR, SECOND, Diary, Do, Fail, Nap, Work, open_app
from tests.life.crash import die

pytestmark = pytest.mark.anyio


async def test_however_a_task_ends_its_record_says_why_and_when() -> None:
    async with open_app() as app:
        failed = await app.work.submit(Fail(permanent=True))
        dead = await app.work.submit(Fail(), max_retries=1)
        cancelled = await app.work.submit(Nap(name="c"), delay=HOUR)
        await app.work.cancel(cancelled.id)
        superseded = await app.work.submit(Nap(name="s"), delay=HOUR)
        await app.work.submit(Nap(name="s"), on_duplicate=OnDuplicate.SUPERSEDE, delay=HOUR)
        expired = await app.work.submit(Nap(name="e"), delay=HOUR, ttl=SECOND)
        lost = await app.work.submit(Nap(name="l"), depends_on=[cancelled])
        await anyio.sleep(10)
        ends = {
            failed.id: TaskStatus.FAILED,
            dead.id: TaskStatus.DEAD,
            cancelled.id: TaskStatus.CANCELLED,
            superseded.id: TaskStatus.SUPERSEDED,
            expired.id: TaskStatus.EXPIRED,
            lost.id: TaskStatus.DEPENDENCY_FAILED,
        }
        for task, status in ends.items():
            record = await app.work.get(task)
            assert record.status is status
            assert record.reason
            assert record.finished_at is not None
            has_run = status in {TaskStatus.FAILED, TaskStatus.DEAD}
            assert (record.duration is not None) == has_run == bool(record.attempt)
        assert (await app.work.get(dead.id)).attempt == 2


async def test_what_ran_has_its_duration_attempts_and_io_on_record() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            ctx.io(read=10, sent=3)
            await anyio.sleep(2)
            if ctx.attempt == 1:
                raise ValueError("not yet")

        app.body("x", body)
        submitted = await app.work.submit(Do(name="x"))
        record = await app.work.wait(submitted.id)
        assert (record.status, record.attempt, record.run) == (TaskStatus.COMPLETED, 2, 2)
        assert record.duration == 2 * SECOND
        assert record.io == IoTotals(read=20, sent=6)


async def test_a_dependency_on_a_finished_task_is_judged_by_that_task_and_no_other() -> None:
    async with open_app() as app:
        good = await app.work.submit(Fail(name="same", times=0))
        await app.work.wait(good.id)
        bad = await app.work.submit(Fail(name="same", times=0))
        await app.work.cancel(bad.id)
        assert bad.id != good.id
        after_good = await app.work.submit(Nap(name="after good"), depends_on=[good])
        after_bad = await app.work.submit(Nap(name="after bad"), depends_on=[bad])
        assert await app.work.result(after_good) == "after good"
        assert (await app.work.wait(after_bad.id)).status is TaskStatus.DEPENDENCY_FAILED
        assert (await app.work.get(good.id)).status is TaskStatus.COMPLETED


async def test_ids_are_never_used_again_and_a_deleted_task_is_told_from_an_unknown_one() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="a"))
        await app.work.wait(first.id)
        assert await app.work.delete(ids=[first.id]) == 1
        second = await app.work.submit(Nap(name="a"))
        assert second.id > first.id
        with pytest.raises(UnknownTaskError):
            await app.work.get(first.id)
        with pytest.raises(TaskPruned):
            await app.work.submit(Nap(name="b"), depends_on=[first.id])


async def test_a_fence_is_the_epoch_of_the_opening_and_the_run(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    fences: list[int] = []

    async def body(ctx: Context[Work]) -> None:
        fences.append(ctx.fence)
        if ctx.record.run % 2:
            raise ValueError("again")

    async with virtual_time() as clock:
        for _ in range(2):
            diary = Diary(bodies={"x": body})
            async with open_app(path, clock=clock, diary=diary) as app:
                await app.work.wait((await app.work.submit(Do(name="x"))).id)
    assert [(fence >> 32, fence & 0xFFFFFFFF) for fence in fences] == [
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


async def test_results_are_there_after_a_restart_and_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            done = await app.work.submit(Nap(name="done"))
            assert await app.work.result(done) == "done"
            await app.work.pause()
            other = await app.work.submit(Nap(name="other"))
        await die(path, clock, other.id)
        async with open_app(str(path), clock=clock) as app:
            assert await app.work.result(done) == "done"
            assert (await app.work.get(done.id)).run == 1


async def test_a_pause_shows_on_what_waits_and_is_written_on_no_task() -> None:
    async with open_app() as app:
        await app.work.pause()
        waiting = await app.work.submit(Nap(name="a"))
        assert (await app.work.get(waiting.id)).status is TaskStatus.PAUSED
        with pytest.raises(InvalidState, match="is pending"):
            await app.work.retry(waiting.id)
        held = await app.work.submit(
            Nap(name="b"), depends_on=[waiting], on_dependency_failure=OnDependencyFailure.HOLD
        )
        assert (await app.work.get(held.id)).status is TaskStatus.BLOCKED
        await app.work.resume()
        assert await app.work.result(held) == "b"
