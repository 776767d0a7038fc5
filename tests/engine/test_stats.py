"""What ``stats`` tells of a task type."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    IoTotals,
    Permanent,
    RetryPolicy,
    TaskStatus,
)
from taskmill.testing import scheduler_in_memory
from tests.engine.app import SECOND, Errand, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio


async def test_a_type_that_never_ran_has_no_figures() -> None:
    async with open_app() as app:
        stats = await app.work.stats(Nap)
        assert (stats.type, dict(stats.counts), stats.failure_rate) == ("work::nap", {}, None)
        assert (stats.duration_mean, stats.duration_p50, stats.duration_p95) == (None, None, None)
        assert stats.io == IoTotals()


async def test_ends_are_counted_and_durations_measured() -> None:
    never = RetryPolicy.constant(0, timedelta(0))
    async with open_app(domain={"retry": never}) as app:
        for length in (1, 2, 6):
            await app.work.submit(Nap(name=str(length), seconds=length))
        failing = await app.work.submit(Fail())
        cancelled = await app.work.submit(Nap(name="unwanted"), delay=SECOND)
        await app.work.cancel(cancelled.id)
        await app.work.wait(failing.id)
        await app.scheduler.idle()
        stats = await app.scheduler.stats(Nap)
        assert dict(stats.counts) == {TaskStatus.COMPLETED: 3, TaskStatus.CANCELLED: 1}
        assert stats.failure_rate == 0
        assert (stats.duration_mean, stats.duration_p50) == (3 * SECOND, 2 * SECOND)
        assert stats.duration_p95 == 6 * SECOND
        assert (await app.work.stats(Fail)).failure_rate == 1


async def test_a_handle_tells_of_its_own_types() -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="is no task type of domain 'work'"):
            await app.work.stats(Errand)  # type: ignore[arg-type] # which checkers refuse
        with pytest.raises(ConfigurationError, match="takes a task class"):
            await app.work.stats("nap")  # type: ignore[arg-type] # which checkers refuse


async def test_the_figures_are_those_of_what_ran() -> None:
    """20 runs of 1 to 20 seconds that read a megabyte each, and 5 that die beside them."""

    async def read(task: Nap, ctx: Context[Work]) -> str:
        ctx.io(read=1_000_000, sent=1)
        await anyio.sleep(task.seconds)
        if task.name == "dies":
            raise Permanent("told to")
        return task.name

    domain = Domain(Work, handlers=[Nap.handler(read)])
    async with scheduler_in_memory(domain, max_concurrency=25) as scheduler:
        work = scheduler.domain(Work)
        await work.submit_many(Nap(name=f"{n}", seconds=n) for n in range(1, 21))
        for n in range(5):
            await work.submit(Nap(name="dies", seconds=n), key=f"dies {n}")
        await scheduler.idle()
        stats = await work.stats(Nap)
        assert stats.counts[TaskStatus.COMPLETED] == 20
        assert stats.failure_rate == 5 / 25
        assert stats.duration_mean == 10.5 * SECOND
        assert (stats.duration_p50, stats.duration_p95) == (10 * SECOND, 19 * SECOND)
        assert stats.io == IoTotals(read=20_000_000, sent=20)
