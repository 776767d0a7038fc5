"""A parent waits for its children, finalizes when they have ended, and fails with them."""

from __future__ import annotations

import anyio
import pytest

from taskmill import (
    Context,
    InvalidState,
    OnDuplicate,
    SubmitOutcome,
    TaskFailed,
    TaskId,
    TaskStatus,
)
from tests.life.app import MINUTE, Do, Errand, Fail, Family, Nap, Other, Tidy, Work, open_app

pytestmark = pytest.mark.anyio


async def test_a_parent_waits_for_its_children_without_a_slot() -> None:
    async with open_app(max_concurrency=1) as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="a", seconds=2), Nap(name="b", seconds=3)])

        app.body("parent", body)
        parent = await app.work.submit(Do(name="parent"))
        assert await app.work.result(parent) == "parent"
        assert app.seconds() == pytest.approx(5)
        record = await app.work.get(parent.id)
        assert (record.status, record.result) == (TaskStatus.COMPLETED, '"parent"')


async def test_while_children_are_active_the_parent_is_waiting() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="a", seconds=50))

        app.body("parent", body)
        parent = await app.work.submit(Do(name="parent"))
        await app.work.wait((await app.work.submit(Nap(name="first", seconds=1))).id)
        assert (await app.work.get(parent.id)).status is TaskStatus.WAITING
        told = str(await app.work.explain(parent.id))
        assert "1 child of it has not ended: running 1." in told
        assert len(app.scheduler.active_tasks()) == 1


async def test_finalize_runs_when_all_children_have_ended_and_gets_what_execute_returned() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="a", seconds=2), Nap(name="b", seconds=3)])
            await ctx.domain(Other).submit(Errand(number=1), parent=ctx.id)

        app.body("f", body)
        parent = await app.work.submit(Family(name="f"))
        assert await app.work.result(parent) == "['f', 'run 1'] 3 children"
        assert app.diary.lines == ["execute f", "nap a", "nap b", "finalize f"]
        assert (await app.work.get(parent.id)).run == 2


async def test_finalize_runs_also_without_children() -> None:
    async with open_app() as app:
        parent = await app.work.submit(Family(name="f"))
        assert await app.work.result(parent) == "['f', 'run 1'] 0 children"


async def test_a_finalize_that_fails_is_retried_and_execute_is_not() -> None:
    async with open_app() as app:

        async def finalize(ctx: Context[Work]) -> None:
            if ctx.record.run < 4:
                raise ValueError("not yet")

        app.body("finalize f", finalize)
        parent = await app.work.submit(Family(name="f"))
        assert await app.work.result(parent) == "['f', 'run 1'] 0 children"
        assert app.diary.lines == ["execute f", *["finalize f"] * 3]


async def test_the_first_child_that_fails_stops_its_siblings_and_fails_the_parent() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Fail(permanent=True), Nap(name="a", seconds=50), Tidy(name="t")])
            await ctx.spawn(Nap(name="late"), delay=MINUTE)

        app.body("f", body)
        parent = await app.work.submit(Family(name="f"))
        record = await app.work.wait(parent.id)
        assert record.status is TaskStatus.FAILED
        assert "its child, task 2 (work::fail), ended as failed: told to" in (record.reason or "")
        await app.scheduler.idle()
        records = [await app.work.get(TaskId(number)) for number in (2, 3, 4, 5)]
        children = {record.type: record.status for record in records}
        assert children == {
            "work::fail": TaskStatus.FAILED,
            "work::nap": TaskStatus.CANCELLED,
            "work::tidy": TaskStatus.CANCELLED,
        }
        assert "undone t" in app.diary.lines
        assert not app.diary.of("finalize")


async def test_a_parent_that_still_runs_is_stopped_by_the_child_that_fails() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Fail(permanent=True))
            await anyio.sleep(1000)

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        record = await app.work.wait(parent.id)
        assert record.status is TaskStatus.FAILED
        assert app.seconds() < 1
        with pytest.raises(TaskFailed, match="its child"):
            await app.work.result(parent)


async def test_without_fail_fast_finalize_runs_and_sees_how_the_children_ended() -> None:
    async with open_app() as app:
        seen: list[TaskStatus] = []

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Fail(permanent=True), Nap(name="a", seconds=5)])

        async def finalize(ctx: Context[Work]) -> None:
            seen.extend(child.status for child in await ctx.children())

        app.body("f", body)
        app.body("finalize f", finalize)
        parent = await app.work.submit(Family(name="f"), fail_fast=False)
        await app.work.result(parent)
        assert seen == [TaskStatus.FAILED, TaskStatus.COMPLETED]


async def test_without_fail_fast_and_finalize_the_parent_fails_at_the_end() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Fail(permanent=True), Nap(name="a", seconds=5)])

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"), fail_fast=False)
        record = await app.work.wait(parent.id)
        assert record.status is TaskStatus.FAILED
        assert app.seconds() == pytest.approx(5)


async def test_failure_travels_upward_by_each_ancestors_policy() -> None:
    async with open_app() as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Do(name="middle"))

        async def middle(ctx: Context[Work]) -> None:
            await ctx.spawn(Fail(permanent=True))

        app.body("top", top)
        app.body("middle", middle)
        grandparent = await app.work.submit(Do(name="top"))
        after = await app.work.submit(Nap(name="after"), depends_on=[grandparent])
        assert (await app.work.wait(grandparent.id)).status is TaskStatus.FAILED
        assert (await app.work.wait(after.id)).status is TaskStatus.DEPENDENCY_FAILED


async def test_cancelling_a_parent_cancels_its_whole_subtree() -> None:
    async with open_app() as app:

        async def top(ctx: Context[Work]) -> None:
            await ctx.spawn(Do(name="middle"))

        async def middle(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="leaf", seconds=1000), Tidy(name="t")])

        app.body("top", top)
        app.body("middle", middle)
        root = await app.work.submit(Do(name="top"))
        await app.work.wait((await app.work.submit(Nap(name="first", seconds=1))).id)
        assert await app.work.count() == 4
        assert await app.work.cancel(root.id)
        await app.scheduler.idle()
        assert await app.work.count() == 0
        assert await app.work.count(status=TaskStatus.CANCELLED) == 4
        assert app.diary.lines[-1] == "undone t"


async def test_a_spawn_that_meets_a_duplicate_waits_for_it_without_owning_it() -> None:
    async with open_app() as app:
        shared = await app.work.submit(Nap(name="shared", seconds=10))

        async def body(ctx: Context[Work]) -> None:
            spawned = await ctx.spawn(Nap(name="shared", seconds=10), requeue=False)
            assert (spawned.id, spawned.outcome) == (shared.id, SubmitOutcome.DUPLICATE)

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        stopped = await app.work.submit(Do(name="p"), on_duplicate=OnDuplicate.REJECT)
        assert stopped.outcome is SubmitOutcome.REJECTED
        await app.work.wait((await app.work.submit(Nap(name="first", seconds=1))).id)
        assert (await app.work.get(parent.id)).status is TaskStatus.WAITING
        await app.work.cancel(parent.id)
        assert (await app.work.get(parent.id)).status is TaskStatus.CANCELLED
        assert await app.work.result(shared) == "shared"


async def test_a_sibling_is_a_child_of_the_same_parent() -> None:
    async with open_app() as app:

        async def parent(ctx: Context[Work]) -> None:
            await ctx.spawn(Do(name="child"))

        async def child(ctx: Context[Work]) -> None:
            await ctx.spawn_siblings([Nap(name="x", seconds=3)])
            assert ctx.record.parent is not None

        async def orphan(ctx: Context[Work]) -> None:
            with pytest.raises(InvalidState, match="has no parent"):
                await ctx.spawn_sibling(Nap(name="y"))

        app.body("parent", parent)
        app.body("child", child)
        app.body("orphan", orphan)
        submitted = await app.work.submit(Do(name="parent"))
        await app.work.result(submitted)
        assert app.seconds() == pytest.approx(3)
        await app.work.result(await app.work.submit(Do(name="orphan")))


async def test_only_a_task_that_runs_or_waits_can_have_children() -> None:
    async with open_app() as app:
        done = await app.work.submit(Nap(name="done"))
        await app.work.wait(done.id)
        with pytest.raises(InvalidState, match="is completed; only a task that runs"):
            await app.work.submit(Nap(name="child"), parent=done.id)


async def test_children_inherit_tags_where_unset() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.set_tags({"job": "7"})
            await ctx.spawn(Nap(name="a", seconds=5), tags={"own": "1"})

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"), tags={"team": "x"})
        await app.work.wait(parent.id)
        child = await app.work.get(TaskId(2))
        assert child.tags == {"team": "x", "job": "7", "own": "1"}
        assert (await app.work.get(parent.id)).tags == {"team": "x", "job": "7"}
