"""Work that is submitted while a task stands for it: kept, followed, replaced or refused."""

from __future__ import annotations

import math

import anyio
import pytest

from taskmill import (
    Context,
    InvalidState,
    OnDuplicate,
    PayloadError,
    SubmitOutcome,
    TaskStatus,
)
from tests.life.app import HOUR, MINUTE, SECOND, Do, Nap, Work, open_app

pytestmark = pytest.mark.anyio


async def test_a_follow_up_has_its_own_payload_and_options() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="one", seconds=5), key="k", priority=200)
        await anyio.sleep(1)
        second = await app.work.submit(
            Nap(name="two"), key="k", priority=7, tags={"n": "2"}, label="second", ttl=HOUR
        )
        assert (second.outcome, second.id != first.id) == (SubmitOutcome.REQUEUED, True)
        waiting = await app.work.get(second.id)
        assert (waiting.status, waiting.is_follow_up) == (TaskStatus.BLOCKED, True)
        assert (waiting.priority, waiting.label, waiting.tags) == (7, "second", {"n": "2"})
        third = await app.work.submit(Nap(name="three"), key="k", priority=3)
        assert (third.id, third.outcome) == (second.id, SubmitOutcome.UPGRADED)
        assert await app.work.result(second) == "two"
        assert app.diary.lines == ["nap one", "nap two"]
        assert (await app.work.get(second.id)).priority == 3


async def test_a_waiting_parent_gets_a_follow_up_too() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            if ctx.id == 1:
                await ctx.spawn(Nap(name="child", seconds=5))

        app.body("p", body)
        first = await app.work.submit(Do(name="p"))
        await anyio.sleep(1)
        assert (await app.work.get(first.id)).status is TaskStatus.WAITING
        second = await app.work.submit(Do(name="p"))
        assert second.outcome is SubmitOutcome.REQUEUED
        await app.work.wait(second.id)
        assert app.seconds() == pytest.approx(5)


async def test_superseding_a_waiting_task_ends_it_and_the_new_one_has_its_own_options() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x"), key="k", delay=HOUR, priority=1)
        second = await app.work.submit(
            Nap(name="y"), key="k", delay=SECOND, on_duplicate=OnDuplicate.SUPERSEDE
        )
        assert (second.outcome, second.replaced) == (SubmitOutcome.SUPERSEDED, first.id)
        assert (await app.work.get(first.id)).status is TaskStatus.SUPERSEDED
        assert (await app.work.get(second.id)).priority != 1
        assert await app.work.result(second) == "y"
        assert app.seconds() == pytest.approx(1)


async def test_a_rejected_submit_names_who_stands_and_changes_nothing() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x"), delay=HOUR, priority=100)
        before = await app.work.get(first.id)
        second = await app.work.submit(
            Nap(name="x"), on_duplicate=OnDuplicate.REJECT, priority=1, delay=SECOND
        )
        assert (second.id, second.outcome) == (first.id, SubmitOutcome.REJECTED)
        assert await app.work.get(first.id) == before


async def test_of_duplicates_in_one_call_the_first_stands() -> None:
    async with open_app() as app:
        submitted = await app.work.submit_many(
            [Nap(name="a"), Nap(name="b"), Nap(name="a"), Nap(name="a")]
        )
        assert [each.outcome for each in submitted] == [
            SubmitOutcome.INSERTED,
            SubmitOutcome.INSERTED,
            SubmitOutcome.DUPLICATE,
            SubmitOutcome.DUPLICATE,
        ]
        assert {submitted[2].id, submitted[3].id} == {submitted[0].id}
        await app.scheduler.idle()
        assert sorted(app.diary.lines) == ["nap a", "nap b"]


async def test_a_bad_row_is_named_by_its_place_and_nothing_is_inserted() -> None:
    async with open_app() as app:
        naps = [Nap(name="a"), Nap(name="b"), Nap(name="c", seconds=math.nan), Nap(name="d")]
        with pytest.raises(PayloadError, match="nan") as caught:
            await app.work.submit_many(naps)
        assert "task 2 of 4" in "".join(caught.value.__notes__)
        assert await app.work.count() == 0


async def test_a_window_of_completed_work_belongs_to_the_work_and_not_to_its_failure() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x", seconds=100), unique_for=MINUTE)
        await anyio.sleep(1)
        await app.work.cancel(first.id)
        await app.work.wait(first.id)
        second = await app.work.submit(Nap(name="x", seconds=100))
        assert second.outcome is SubmitOutcome.INSERTED
        await app.work.cancel(second.id)
        await app.work.wait(second.id)
        assert (await app.work.get(first.id)).status is TaskStatus.CANCELLED
        third = await app.work.submit(Nap(name="x", seconds=100), delay=HOUR)
        with pytest.raises(InvalidState, match=f"task {third.id} .* does the same work"):
            await app.work.retry(first.id)
