"""What time does to a task: its time to live, its windows, its snoozes, its crashes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from taskmill import (
    Context,
    InterruptCause,
    Interrupted,
    OnDuplicate,
    Retention,
    Snooze,
    SubmitOutcome,
    TaskExpired,
    TaskStatus,
    TtlFrom,
    UnknownTaskError,
)
from taskmill.testing import virtual_time
from tests.life.app import HOUR, MINUTE, SECOND, Do, Fail, Nap, Work, open_app
from tests.life.crash import die

pytestmark = pytest.mark.anyio


async def test_a_task_that_cannot_start_in_its_ttl_expires_within_a_second() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="long", seconds=100))
        short = await app.work.submit(Nap(name="short"), ttl=10 * SECOND)
        after = await app.work.submit(Nap(name="after"), depends_on=[short.id])
        record = await app.work.wait(short.id)
        assert record.status is TaskStatus.EXPIRED
        assert app.seconds() == pytest.approx(10, abs=1)
        assert (await app.work.get(after.id)).status is TaskStatus.DEPENDENCY_FAILED
        with pytest.raises(TaskExpired):
            await app.work.result(short)


async def test_a_task_that_has_started_is_not_ended_by_its_ttl() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="long", seconds=100), ttl=10 * SECOND)
        assert await app.work.result(submitted) == "long"


async def test_ttl_from_the_first_attempt_bounds_the_retries() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(
            Fail(), ttl=10 * SECOND, ttl_from=TtlFrom.FIRST_ATTEMPT, delay=MINUTE, max_retries=100
        )
        record = await app.work.wait(submitted.id)
        assert record.status is TaskStatus.EXPIRED
        assert app.seconds() == pytest.approx(70, abs=1)


async def test_many_expired_tasks_end_in_bounded_batches_while_the_scheduler_is_paused() -> None:
    async with open_app() as app:
        await app.scheduler.pause()
        naps = [Nap(name=str(number)) for number in range(1200)]
        await app.work.submit_many(naps, ttl=SECOND)
        await anyio.sleep(2)
        assert await app.work.count(status=TaskStatus.EXPIRED) == 1200


async def test_children_inherit_what_is_left_of_their_parents_ttl() -> None:
    async with open_app(domain={"max_concurrency": 1}) as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="child"), delay=MINUTE)
            await ctx.spawn(Nap(name="free"), delay=MINUTE, ttl=None)

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"), ttl=10 * SECOND, fail_fast=False)
        record = await app.work.wait(parent.id)
        assert record.status is TaskStatus.FAILED
        assert "ended as expired" in (record.reason or "")
        assert app.diary.lines == ["do p", "nap free"]


async def test_an_identity_stays_taken_for_a_while_after_completion() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="same"), unique_for=MINUTE)
        await app.work.wait(first.id)
        again = await app.work.submit(Nap(name="same"))
        assert (again.id, again.outcome) == (first.id, SubmitOutcome.DUPLICATE)
        refused = await app.work.submit(Nap(name="same"), on_duplicate=OnDuplicate.REJECT)
        assert (refused.id, refused.outcome) == (first.id, SubmitOutcome.REJECTED)
        assert await app.work.result(again) == "same"
        await anyio.sleep(61)
        third = await app.work.submit(Nap(name="same"))
        assert third.outcome is SubmitOutcome.INSERTED


async def test_a_snooze_runs_again_later_and_spends_no_attempt() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            if ctx.record.run < 4:
                raise Snooze(10 * SECOND)

        app.body("x", body)
        async with app.work.events(Do) as events:
            submitted = await app.work.submit(Do(name="x"), max_retries=0)
            record = await app.work.wait(submitted.id)
            assert (record.attempt, record.run) == (1, 4)
            assert app.seconds() == pytest.approx(30)
            causes = [e.cause async for e in events_until_now(events) if isinstance(e, Interrupted)]
            assert causes == [InterruptCause.SNOOZED] * 3


async def events_until_now(events: object):  # type: ignore[no-untyped-def]
    with anyio.move_on_after(1):
        async for event in events:  # type: ignore[attr-defined]
            yield event


async def test_a_task_at_which_processes_die_runs_once_more_alone_and_then_never(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.scheduler.pause()
            poison = await app.work.submit(Nap(name="poison"), max_interruptions=2)
            innocent = await app.work.submit(Nap(name="innocent"), max_interruptions=2)
        for _ in range(2):
            await die(path, clock, poison.id, innocent.id)
        async with open_app(str(path), clock=clock) as app:
            record = await app.work.get(innocent.id)
            assert (record.interruptions, record.attempt, record.run) == (2, 0, 2)
            assert record.stage.is_alone
        await die(path, clock, poison.id)
        async with open_app(str(path), clock=clock) as app:
            dead = await app.work.get(poison.id)
            assert dead.status is TaskStatus.DEAD
            assert "the process died 3 times while it ran" in (dead.reason or "")
            await app.scheduler.resume()
            assert await app.work.result(innocent) == "innocent"


async def test_a_suspect_runs_when_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.scheduler.pause()
            suspect = await app.work.submit(
                Nap(name="suspect", seconds=5), max_interruptions=1, priority=100
            )
        await die(path, clock, suspect.id)
        async with open_app(str(path), clock=clock) as app:
            await app.work.submit(Nap(name="before", seconds=3), priority=50)
            await app.work.submit_many([Nap(name=str(n), seconds=1) for n in range(20)])
            await app.scheduler.resume()
            await anyio.sleep(4)
            assert [record.id for record in app.scheduler.active_tasks()] == [suspect.id]
            await app.scheduler.idle()
            assert app.diary.lines[:2] == ["nap before", "nap suspect"]
            record = await app.work.get(suspect.id)
            assert (record.status, record.interruptions) == (TaskStatus.COMPLETED, 0)


async def test_ended_tasks_are_deleted_when_there_are_too_many_of_them() -> None:
    retention = Retention(count=100, min_age=timedelta(0))
    async with open_app(retention=retention) as app:
        first = await app.work.submit(Nap(name="first"))
        for number in range(0, 3000, 100):
            await app.work.submit_many([Nap(name=str(number + n)) for n in range(100)])
            await app.scheduler.idle()
            await anyio.sleep(1)
        left = await app.work.count(status=TaskStatus.COMPLETED)
        assert 100 <= left <= 1200
        with pytest.raises(UnknownTaskError):
            await app.work.get(first.id)


async def test_what_is_young_or_dead_is_kept() -> None:
    async with open_app(retention=Retention(count=0, min_age=HOUR)) as app:
        await app.work.submit_many([Nap(name=str(number)) for number in range(1500)])
        await app.scheduler.idle()
        assert await app.work.count(status=TaskStatus.COMPLETED) == 1500
