"""The helpers for tests of domains do what they say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from taskmill import Scheduler, TaskStatus
from taskmill.testing import START, assert_submitted, drain, run, scheduler_in_memory
from tests.life.app import HOUR, Diary, Fail, Nap, Work, domains

pytestmark = pytest.mark.anyio


async def test_run_runs_tasks_to_their_ends_whatever_these_are() -> None:
    work, _ = domains(Diary())
    done, failed = await run(work, Nap(name="a", seconds=5), Fail(permanent=True))
    assert (done.status, done.result) == (TaskStatus.COMPLETED, '"a"')
    assert failed.status is TaskStatus.FAILED


async def test_drain_runs_also_what_is_due_later_and_leaves_what_is_held() -> None:
    async with scheduler_in_memory(*domains(Diary())) as scheduler:
        work = scheduler.domain(Work)
        late = await work.submit(Nap(name="late"), delay=timedelta(days=30))
        after = await work.submit(Nap(name="after"), depends_on=[late.id])
        await drain(scheduler)
        record = await work.get(after.id)
        assert record.status is TaskStatus.COMPLETED
        assert record.finished_at == START + timedelta(days=30)
        await work.pause()
        await work.submit(Nap(name="held"))
        await drain(scheduler)
        assert await work.count(status=TaskStatus.PAUSED) == 1


async def test_assert_submitted_finds_tasks_by_their_fields() -> None:
    async with scheduler_in_memory(*domains(Diary())) as scheduler:
        work = scheduler.domain(Work)
        await work.submit_many([Nap(name="a"), Nap(name="b", seconds=2)], delay=HOUR)
        [record] = await assert_submitted(work, Nap, name="b")
        assert record.type == "work::nap"
        await assert_submitted(work, Nap, times=2)
        with pytest.raises(AssertionError, match=r"no Nap\(name='c'\) was submitted"):
            await assert_submitted(work, Nap, name="c")
        with pytest.raises(AssertionError, match=r"1 times .* not 3"):
            await assert_submitted(work, Nap, times=3, name="a")


async def test_the_fixture_makes_schedulers(
    scheduler_factory: Callable[..., AbstractAsyncContextManager[Scheduler]],
) -> None:
    async with scheduler_factory(*domains(Diary())) as scheduler:
        submitted = await scheduler.submit(Nap(name="x", seconds=3600))
        assert await scheduler.result(submitted) == "x"
