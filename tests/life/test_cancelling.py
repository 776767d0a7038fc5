"""A cancel is on record before it returns, runs on_cancel, and takes the subtree with it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from taskmill import (
    Cancel,
    Cancelled,
    ConfigurationError,
    Context,
    InvalidState,
    OnDuplicate,
    SubmitOutcome,
    TaskCancelled,
    TaskStatus,
)
from taskmill.testing import virtual_time
from tests.life.app import HOUR, MINUTE, SECOND, Diary, Do, Fail, Nap, Tidy, Work, open_app
from tests.life.crash import die

pytestmark = pytest.mark.anyio


async def test_cancel_of_a_waiting_task_ends_it_at_once() -> None:
    async with open_app() as app:
        later = await app.work.submit(Tidy(name="t"), delay=HOUR)
        assert await app.work.cancel(later.id)
        record = await app.work.get(later.id)
        assert (record.status, record.reason) == (TaskStatus.CANCELLED, "cancelled")
        assert not await app.work.cancel(later.id)
        assert not app.diary.lines, "execute had not started, so nothing is undone"


async def test_on_cancel_runs_when_a_running_task_is_cancelled_and_then_it_has_ended() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Tidy(name="t", tidying=5))
        async with app.work.events() as events:
            await anyio.sleep(1)
            assert await app.work.cancel(submitted.id)
            record = await app.work.get(submitted.id)
            assert (record.status, record.ends_as) == (TaskStatus.RUNNING, TaskStatus.CANCELLED)
            await app.work.wait(submitted.id)
            assert app.seconds() == pytest.approx(6)
            async for event in events:
                if isinstance(event, Cancelled):
                    assert event.reason == "cancelled while running"
                    break
        assert app.diary.lines == ["tidy t", "undo t", "undone t"]
        with pytest.raises(TaskCancelled):
            await app.work.result(submitted)


async def test_on_cancel_is_bounded_by_cancel_grace() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Tidy(name="t", tidying=100), cancel_grace=3 * SECOND)
        await anyio.sleep(1)
        await app.work.cancel(submitted.id)
        record = await app.work.wait(submitted.id)
        assert app.seconds() == pytest.approx(4)
        assert record.status is TaskStatus.CANCELLED
        assert record.last_error is not None
        assert "on_cancel ran for longer than its cancel_grace" in record.last_error.message


async def test_on_cancel_never_runs_for_a_timeout_a_pause_a_preemption_or_a_shutdown(
    tmp_path: Path,
) -> None:
    async with virtual_time() as clock:
        diary = Diary()
        async with open_app(
            str(tmp_path / "a.db"), clock=clock, diary=diary, max_concurrency=1
        ) as app:
            late = await app.work.submit(Tidy(name="late"), timeout=SECOND, max_retries=0)
            assert (await app.work.wait(late.id)).status is TaskStatus.DEAD
            await app.work.submit(Tidy(name="t"))
            await anyio.sleep(1)
            await app.work.pause()
            await anyio.sleep(1)
            await app.work.resume()
            await anyio.sleep(1)
            await app.work.result(await app.work.submit(Nap(name="urgent"), priority=0))
            await anyio.sleep(1)
        assert not diary.of("undo")
        assert diary.of("tidy t") == ["tidy t"] * 3


async def test_on_cancel_runs_for_a_task_that_had_started_and_waits_for_its_retry() -> None:
    async with open_app() as app:
        retried = await app.work.submit(Tidy(name="t"), timeout=SECOND)
        await anyio.sleep(1.5)
        assert (await app.work.get(retried.id)).status is TaskStatus.PENDING
        assert await app.work.cancel(retried.id)
        assert (await app.work.wait(retried.id)).status is TaskStatus.CANCELLED
        assert app.diary.lines == ["tidy t", "undo t", "undone t"]


async def test_recovery_ends_what_was_to_stop_after_its_on_cancel_ran_once_more(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.work.pause()
            owing = await app.work.submit(Tidy(name="owing"))
            plain = await app.work.submit(Nap(name="plain"))
        await die(path, clock, owing.id, has_undo=True, cancelled=True)
        await die(path, clock, plain.id, cancelled=True)
        async with open_app(str(path), clock=clock) as app:
            await app.work.resume()
            assert (await app.work.get(plain.id)).status is TaskStatus.CANCELLED
            assert (await app.work.wait(owing.id)).status is TaskStatus.CANCELLED
            assert app.diary.lines == ["undo owing", "undone owing"]


async def test_a_submit_for_work_that_is_being_cancelled_follows_it() -> None:
    async with open_app() as app:
        first = await app.work.submit(Tidy(name="t", tidying=5))
        await anyio.sleep(1)
        await app.work.cancel(first.id)
        second = await app.work.submit(Tidy(name="t", tidying=5))
        assert second.outcome is SubmitOutcome.REQUEUED
        await anyio.sleep(6)
        assert (await app.work.get(second.id)).status is TaskStatus.RUNNING


async def test_work_that_is_being_cancelled_is_nobody_s_duplicate() -> None:
    async with open_app() as app:
        first = await app.work.submit(Tidy(name="t", tidying=5))
        await anyio.sleep(1)
        await app.work.cancel(first.id)
        second = await app.work.submit(Tidy(name="t", tidying=5), requeue=False)
        assert second.outcome is SubmitOutcome.REQUEUED
        third = await app.work.submit(Tidy(name="t", tidying=5), on_duplicate=OnDuplicate.REJECT)
        assert (third.id, third.outcome) == (second.id, SubmitOutcome.REJECTED)


async def test_a_handler_can_cancel_its_own_task() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            raise Cancel("nobody wants it")

        app.body("x", body)
        submitted = await app.work.submit(Do(name="x"))
        record = await app.work.wait(submitted.id)
        assert (record.status, record.reason) == (TaskStatus.CANCELLED, "nobody wants it")
        assert record.attempt == 1


async def test_cancel_where_is_one_transaction_over_all_that_is_meant() -> None:
    async with open_app(max_concurrency=2) as app:
        naps = [Nap(name=str(number), seconds=100) for number in range(10)]
        submitted = await app.work.submit_many(naps)
        await app.work.submit(Tidy(name="t"), delay=HOUR)
        named = await app.work.cancel_where(types=[Nap])
        assert named == [each.id for each in submitted]
        await app.scheduler.idle()
        assert await app.work.count() == 1
        with pytest.raises(ConfigurationError, match="cancel_all"):
            await app.work.cancel_where()
        assert len(await app.work.cancel_all()) == 1


async def test_superseding_a_running_task_stops_it_and_the_new_one_waits_for_that() -> None:
    async with open_app() as app:
        first = await app.work.submit(Tidy(name="t", tidying=5))
        after = await app.work.submit(Nap(name="after"), depends_on=[first.id])
        await anyio.sleep(1)
        second = await app.work.submit(
            Tidy(name="t", tidying=5), on_duplicate=OnDuplicate.SUPERSEDE, timeout=SECOND
        )
        assert (second.outcome, second.replaced) == (SubmitOutcome.SUPERSEDED, first.id)
        record = await app.work.wait(first.id)
        assert (record.status, record.reason) == (
            TaskStatus.SUPERSEDED,
            f"superseded by task {second.id}",
        )
        assert app.diary.lines[:3] == ["tidy t", "undo t", "undone t"]
        await anyio.sleep(0.5)
        assert (await app.work.get(second.id)).status is TaskStatus.RUNNING
        assert (await app.work.get(after.id)).status is TaskStatus.BLOCKED
        assert (await app.work.get(after.id)).depends_on == (second.id,)


async def test_a_dead_task_is_revived_with_its_errors_kept() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail(times=2), max_retries=1)
        dead = await app.work.wait(submitted.id)
        assert (dead.status, dead.attempt, len(dead.errors)) == (TaskStatus.DEAD, 2, 2)
        await app.work.retry(submitted.id)
        record = await app.work.wait(submitted.id)
        assert (record.status, record.attempt, record.run) == (TaskStatus.COMPLETED, 1, 3)
        assert len(record.errors) == 2
        with pytest.raises(InvalidState, match="is completed"):
            await app.work.retry(submitted.id)


async def test_a_task_whose_work_is_done_by_another_cannot_be_revived() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="same"), delay=HOUR)
        await app.work.cancel(first.id)
        second = await app.work.submit(Nap(name="same"), delay=HOUR)
        with pytest.raises(InvalidState, match=f"task {second.id} .* does the same work"):
            await app.work.retry(first.id)


async def test_reprioritise_and_reschedule_move_a_task_and_say_when_they_cannot() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="first", seconds=10))
        slow = await app.work.submit(Nap(name="slow"))
        fast = await app.work.submit(Nap(name="fast"))
        later = await app.work.submit(Nap(name="later"), delay=HOUR)
        await app.work.reprioritise(fast.id, 1)
        await app.work.reschedule(later.id, app.clock.now())
        await app.work.reschedule(slow.id, app.clock.now() + MINUTE)
        await app.work.wait(slow.id)
        assert app.diary.lines == ["nap first", "nap fast", "nap later", "nap slow"]
        assert app.seconds() == pytest.approx(60)
        with pytest.raises(InvalidState, match="has ended as completed"):
            await app.work.reprioritise(slow.id, 1)
        with pytest.raises(InvalidState, match="has ended"):
            await app.work.reschedule(slow.id, app.clock.now())
