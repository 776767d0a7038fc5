"""Grandchildren, parents that wait for a retry, finalize under caps: the corners of families."""

from __future__ import annotations

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    InvalidDependency,
    OnDependencyFailure,
    OnDuplicate,
    RateLimit,
    RetryPolicy,
    SubmitOutcome,
    TaskId,
    TaskPruned,
    TaskStatus,
)
from tests.life.app import (
    HOUR,
    MINUTE,
    SECOND,
    Do,
    Errand,
    Fail,
    Family,
    Nap,
    Other,
    Tidy,
    Work,
    open_app,
)

pytestmark = pytest.mark.anyio


async def test_grandchildren_are_waited_for_at_every_level() -> None:
    async with open_app(max_concurrency=1) as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Family(name="middle"))

        async def middle(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="leaf", seconds=3))

        app.body("top", top)
        app.body("middle", middle)
        root = await app.work.submit(Family(name="top"))
        assert await app.work.result(root) == "['top', 'run 1'] 1 children"
        assert app.diary.lines == [
            "execute top",
            "execute middle",
            "nap leaf",
            "finalize middle",
            "finalize top",
        ]


async def test_a_waiting_task_can_have_more_children() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="first", seconds=5))

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        await anyio.sleep(1)
        assert (await app.work.get(parent.id)).status is TaskStatus.WAITING
        errand = await app.other.submit(Errand(number=2), parent=parent.id, delay=MINUTE)
        assert (await app.other.get(errand.id)).parent == parent.id
        await app.work.result(parent)
        assert app.seconds() == pytest.approx(61)


async def test_a_finalize_is_under_caps_and_under_no_rate() -> None:
    async with open_app(max_concurrency=1) as app:
        app.work.set_rate(Family, RateLimit(1, per=HOUR, burst=1))
        parent = await app.work.submit(Family(name="f"))
        await app.work.result(parent)
        assert app.seconds() < 1, "the only token went to execute"

        async def body(ctx: Context[Work]) -> None:
            await app.work.submit(Nap(name="between", seconds=7), priority=0)

        app.work.set_rate(Family, None)
        app.body("g", body)
        other = await app.work.submit(Family(name="g"))
        await app.work.result(other)
        assert app.diary.lines[-3:] == ["execute g", "nap between", "finalize g"]
        assert app.seconds() == pytest.approx(7, abs=1)


async def test_what_execute_returned_is_the_result_where_nothing_finalizes() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="child", seconds=5))

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        await anyio.sleep(1)
        assert (await app.work.get(parent.id)).memo == '"p"'
        assert (await app.work.get(parent.id)).result is None
        assert await app.work.result(parent) == "p"


async def test_a_child_that_fails_ends_a_parent_that_waits_for_its_own_retry() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            if ctx.attempt == 1:
                await ctx.spawn(Fail(permanent=True), delay=10 * SECOND)
            raise ValueError("first try")

        app.body("p", body)
        policy = RetryPolicy.constant(5, MINUTE)
        parent = await app.work.submit(Do(name="p"), retry=policy)
        record = await app.work.wait(parent.id)
        assert record.status is TaskStatus.FAILED
        assert "its child" in (record.reason or "")
        assert app.seconds() == pytest.approx(10, abs=1)
        await anyio.sleep(300)
        assert app.diary.of("do p") == ["do p"]


async def test_a_parent_that_fails_by_itself_takes_its_whole_subtree_along() -> None:
    async with open_app() as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Do(name="middle"))
            await anyio.sleep(5)
            raise ValueError("too bad")

        async def middle(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Tidy(name="leaf"), Nap(name="later", seconds=1000)])

        app.body("top", top)
        app.body("middle", middle)
        root = await app.work.submit(Do(name="top"), max_retries=0)
        assert (await app.work.wait(root.id)).status is TaskStatus.DEAD
        await app.scheduler.idle()
        statuses = [(await app.work.get(TaskId(root.id + n))).status for n in (1, 2, 3)]
        assert statuses == [TaskStatus.CANCELLED] * 3
        assert app.diary.lines[-1] == "undone leaf"
        assert app.seconds() == pytest.approx(5, abs=1)


async def test_the_middle_decides_what_its_children_mean_for_the_top() -> None:
    async with open_app() as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Family(name="middle"), fail_fast=False)

        async def middle(ctx: Context[Work]) -> None:
            await ctx.spawn(Fail(permanent=True))

        app.body("top", top)
        app.body("middle", middle)
        root = await app.work.submit(Do(name="top"))
        assert await app.work.result(root) == "top"


async def test_a_first_failure_stops_the_subtrees_of_siblings_too() -> None:
    async with open_app() as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Do(name="branch"))
            await ctx.spawn(Fail(permanent=True), delay=5 * SECOND)

        async def branch(ctx: Context[Work]) -> None:
            await ctx.spawn(Tidy(name="leaf"))
            await ctx.domain(Other).submit(Errand(), parent=ctx.id, delay=HOUR)

        app.body("top", top)
        app.body("branch", branch)
        root = await app.work.submit(Do(name="top"))
        assert (await app.work.wait(root.id)).status is TaskStatus.FAILED
        await app.scheduler.idle()
        assert await app.scheduler.count() == 0
        assert await app.scheduler.count(status=TaskStatus.CANCELLED) == 3
        assert app.diary.lines[-1] == "undone leaf"


async def test_a_deleted_dependency_is_said_to_have_been_pruned() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first"))
        await app.work.wait(first.id)
        assert await app.work.delete(types=[Nap]) == 1
        with pytest.raises(TaskPruned, match=str(first.id)):
            await app.work.submit(Nap(name="after"), depends_on=[first])
        with pytest.raises(InvalidDependency):
            await app.work.submit(Nap(name="after"), depends_on=[TaskId(first.id + 1)])


async def test_a_task_cannot_take_the_place_of_what_it_would_wait_for() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="same"), delay=HOUR)
        after = await app.work.submit(Nap(name="after"), depends_on=[first])
        with pytest.raises(InvalidDependency):
            await app.work.submit(
                Nap(name="same"), on_duplicate=OnDuplicate.SUPERSEDE, depends_on=[after]
            )
        assert (await app.work.get(first.id)).status is TaskStatus.PENDING
        again = await app.work.submit(
            Nap(name="same"), on_duplicate=OnDuplicate.SUPERSEDE, delay=SECOND
        )
        assert again.outcome is SubmitOutcome.SUPERSEDED
        assert await app.work.result(after) == "after"


async def test_a_held_task_can_be_cancelled_and_a_revived_failure_holds_it_again() -> None:
    async with open_app() as app:
        root = await app.work.submit(Fail(), max_retries=0)
        held = [
            await app.work.submit(
                Nap(name=name), depends_on=[root], on_dependency_failure=OnDependencyFailure.HOLD
            )
            for name in "ab"
        ]
        await app.work.wait(root.id)
        assert await app.work.cancel(held[0].id)
        await app.work.retry(root.id)
        assert (await app.work.wait(root.id)).status is TaskStatus.DEAD
        await anyio.sleep(10)
        assert (await app.work.get(held[0].id)).status is TaskStatus.CANCELLED
        assert (await app.work.get(held[1].id)).status is TaskStatus.BLOCKED


async def test_a_parent_that_is_named_has_to_be_there() -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="parent"):
            await app.work.submit(Nap(name="a"), parent="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
