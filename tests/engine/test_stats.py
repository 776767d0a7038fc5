"""What ``stats`` tells of a task type."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmill import ConfigurationError, IoTotals, RetryPolicy, TaskStatus
from tests.engine.app import SECOND, Errand, Fail, Nap, open_app

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
