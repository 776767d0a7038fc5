"""What is tried again, when, and how often; what a timeout bounds; and how the dead come back."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from random import Random

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Jitter,
    RetryAfter,
    RetryPolicy,
    TaskRecord,
    TaskStatus,
)
from taskmill.testing import START
from tests.life.app import HOUR, MINUTE, SECOND, App, Do, Fail, Family, Nap, Work, open_app

pytestmark = pytest.mark.anyio


def waits(record: TaskRecord) -> list[float]:
    """How long after the error before it each error came."""
    times = [error.at for error in record.errors]
    return [(b - a).total_seconds() for a, b in pairwise(times)]


async def fail_with(app: App, policy: RetryPolicy) -> TaskRecord:
    submitted = await app.work.submit(Fail(), retry=policy)
    return await app.work.wait(submitted.id)


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (RetryPolicy.constant(2, 5 * SECOND), [5, 5]),
        (RetryPolicy.linear(3, 2 * SECOND, HOUR), [2, 4, 6]),
        (RetryPolicy.exponential(4, SECOND, 5 * SECOND), [1, 2, 4, 5]),
        (RetryPolicy.exponential(3, SECOND, HOUR, multiplier=10), [1, 10, 100]),
        (RetryPolicy.constant(3, timedelta(0)), [0, 0, 0]),
    ],
)
async def test_n_retries_are_n_waits_between_n_plus_1_attempts(
    policy: RetryPolicy, expected: list[float]
) -> None:
    async with open_app() as app:
        record = await fail_with(app, policy)
        assert (record.status, record.attempt) == (TaskStatus.DEAD, len(expected) + 1)
        assert waits(record) == pytest.approx(expected, abs=0.01)


async def test_without_a_policy_there_are_3_retries_after_about_1_2_and_4_seconds() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail())
        record = await app.work.wait(submitted.id)
        assert (record.status, len(record.errors)) == (TaskStatus.DEAD, 4)
        for wait, longest in zip(waits(record), (1, 2, 4), strict=True):
            assert longest / 2 - 0.01 <= wait <= longest + 0.01


@pytest.mark.parametrize(("jitter", "least"), [(Jitter.FULL, 0.0), (Jitter.EQUAL, 5.0)])
async def test_jitter_only_shortens_a_delay_and_so_far(jitter: Jitter, least: float) -> None:
    async with open_app() as app:
        policy = RetryPolicy.exponential(9, 10 * SECOND, 10 * SECOND, jitter=jitter)
        record = await fail_with(app, policy)
        drawn = waits(record)
        assert len(drawn) == 9
        assert all(least <= wait <= 10.01 for wait in drawn)
        assert len(set(drawn)) > 1, "the delays are drawn"


async def test_retry_after_waits_as_long_as_it_says_and_counts_an_attempt() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            if ctx.attempt < 3:
                raise RetryAfter(7 * MINUTE)

        app.body("x", body)
        submitted = await app.work.submit(Do(name="x"), max_retries=5)
        record = await app.work.wait(submitted.id)
        assert (record.status, record.attempt) == (TaskStatus.COMPLETED, 3)
        assert app.seconds() == pytest.approx(14 * 60, abs=1)
        spent = await app.work.submit(Do(name="x"), max_retries=0)
        assert (await app.work.wait(spent.id)).status is TaskStatus.DEAD


async def test_only_what_the_policy_names_is_retried() -> None:
    async with open_app(domain={"retry": RetryPolicy.constant(3, SECOND, retry_on=OSError)}) as app:
        submitted = await app.work.submit(Fail())
        record = await app.work.wait(submitted.id)
        assert (record.status, record.attempt) == (TaskStatus.FAILED, 1)

        async def body(ctx: Context[Work]) -> None:
            raise ConnectionError("an OSError")

        app.body("x", body)
        other = await app.work.submit(Do(name="x"))
        ended = await app.work.wait(other.id)
        assert (ended.status, ended.attempt) == (TaskStatus.DEAD, 4)


async def test_without_dead_letters_spent_retries_end_as_failed() -> None:
    async with open_app() as app:
        record = await fail_with(app, RetryPolicy.constant(1, SECOND, dead_letter=False))
        assert (record.status, record.attempt) == (TaskStatus.FAILED, 2)
        assert record.reason


async def test_the_errors_kept_are_the_newest_and_bounded() -> None:
    async with open_app() as app:
        record = await fail_with(app, RetryPolicy.constant(29, SECOND))
        assert len(record.errors) == 10
        assert [error.message for error in record.errors] == [
            f"no luck in run {run}" for run in range(21, 31)
        ]
        assert record.last_error is record.errors[-1]


async def test_a_timeout_does_not_count_while_a_parent_waits_for_its_children() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await anyio.sleep(4)
            await ctx.spawn(Nap(name="child", seconds=60))

        app.body("f", body)
        parent = await app.work.submit(Family(name="f"), timeout=5 * SECOND, max_retries=0)
        record = await app.work.wait(parent.id)
        assert (record.status, record.errors) == (TaskStatus.COMPLETED, ())
        assert app.seconds() == pytest.approx(64)


async def test_a_timeout_bounds_each_run_by_itself() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await anyio.sleep(4 if ctx.attempt > 1 else 100)

        app.body("x", body)
        policy = RetryPolicy.constant(1, 10 * SECOND)
        submitted = await app.work.submit(Do(name="x"), timeout=5 * SECOND, retry=policy)
        record = await app.work.wait(submitted.id)
        assert (record.status, record.attempt) == (TaskStatus.COMPLETED, 2)
        assert record.last_error is not None
        assert record.last_error.type.endswith("TimeoutError")
        assert app.seconds() == pytest.approx(5 + 10 + 4)


async def test_a_retried_task_has_all_its_attempts_again_and_keeps_its_errors() -> None:
    async with open_app() as app:
        record = await fail_with(app, RetryPolicy.constant(1, SECOND))
        assert (record.status, record.attempt, len(record.errors)) == (TaskStatus.DEAD, 2, 2)
        await app.work.retry(record.id)
        again = await app.work.wait(record.id)
        assert (again.status, again.attempt, again.run) == (TaskStatus.DEAD, 2, 4)
        assert len(again.errors) == 4
        assert again.errors[:2] == record.errors


async def test_retry_where_revives_what_is_meant_and_the_dead_unless_told_otherwise() -> None:
    async with open_app() as app:
        policy = RetryPolicy.constant(0, SECOND)
        dead = await app.work.submit(Fail(name="a"), retry=policy, tags={"job": "1"})
        other = await app.work.submit(Fail(name="b"), retry=policy, tags={"job": "2"})
        failed = await app.work.submit(Fail(name="c", permanent=True), tags={"job": "1"})
        await app.scheduler.idle()
        await app.work.pause()
        assert await app.work.retry_where(tags={"job": "1"}) == [dead.id]
        assert (await app.work.get(dead.id)).attempt == 0
        assert (await app.work.get(other.id)).status is TaskStatus.DEAD
        assert await app.work.retry_where(status=TaskStatus.FAILED) == [failed.id]
        assert await app.work.retry_where() == [other.id]
        assert await app.work.retry_where() == []


async def test_start_times_without_a_zone_are_refused_everywhere() -> None:
    naive = START.replace(tzinfo=None)
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="no time zone"):
            await app.work.submit(Nap(name="a"), run_at=naive)
        with pytest.raises(ConfigurationError, match="no time zone"):
            await app.work.submit_many([Nap(name="a")], run_at=naive)
        later = await app.work.submit(Nap(name="b"), delay=HOUR)
        with pytest.raises(ConfigurationError, match="no time zone"):
            await app.work.reschedule(later.id, naive)
        with pytest.raises(ConfigurationError, match="no time zone"):
            await app.work.pause_group("g", until=naive)
        with pytest.raises(ConfigurationError, match="no time zone"):
            await app.work.count(created_before=naive)
        assert await app.work.count() == 1


async def test_a_seeded_scheduler_draws_the_same_delays_again() -> None:
    policy = RetryPolicy.exponential(5, 10 * SECOND, MINUTE, jitter=Jitter.FULL)
    drawn: list[list[float]] = []
    for _ in range(2):
        async with open_app(rng=Random(7)) as app:  # noqa: S311
            drawn.append(waits(await fail_with(app, policy)))
    assert drawn[0] == drawn[1]
