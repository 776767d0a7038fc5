"""A task starts when what it depends on has completed, and follows a policy where that fails."""

from __future__ import annotations

import pytest

from taskmill import (
    Context,
    InvalidDependency,
    InvalidState,
    OnDependencyFailure,
    TaskId,
    TaskStatus,
)
from tests.life.app import SECOND, Do, Errand, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio


async def test_a_task_starts_when_those_it_depends_on_have_completed() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first", seconds=2))
        second = await app.work.submit(Nap(name="second", seconds=5))
        last = await app.work.submit(Nap(name="last"), depends_on=[first, second.id, first.id])
        record = await app.work.get(last.id)
        assert record.status is TaskStatus.BLOCKED
        assert record.depends_on == (first.id, second.id)
        assert await app.work.result(last) == "last"
        assert app.seconds() == pytest.approx(5)
        assert (await app.work.get(last.id)).depends_on == (first.id, second.id)


async def test_dependencies_cross_domains() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first", seconds=2))
        errand = await app.other.submit(Errand(number=7), depends_on=[first.id])
        assert await app.other.result(errand) == 7
        assert app.seconds() == pytest.approx(2)


async def test_a_dependency_that_has_completed_already_is_met() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first"))
        await app.work.wait(first.id)
        second = await app.work.submit(Nap(name="second"), depends_on=[first.id])
        assert (await app.work.wait(second.id)).status is TaskStatus.COMPLETED


async def test_a_failure_ends_all_that_depends_on_it_to_any_depth() -> None:
    async with open_app() as app:
        root = await app.work.submit(Fail(permanent=True), delay=SECOND)
        chain = [root.id]
        for number in range(5):
            submitted = await app.work.submit(Nap(name=str(number)), depends_on=[chain[-1]])
            chain.append(submitted.id)
        last = await app.work.wait(chain[-1])
        assert last.status is TaskStatus.DEPENDENCY_FAILED
        assert f"task {chain[-2]}" in (last.reason or "")
        statuses = [(await app.work.get(task)).status for task in chain[1:]]
        assert statuses == [TaskStatus.DEPENDENCY_FAILED] * 5
        assert not app.diary.of("nap")


async def test_a_dependency_that_has_failed_already_applies_the_policy_at_once() -> None:
    async with open_app() as app:
        root = await app.work.submit(Fail(permanent=True))
        await app.work.wait(root.id)
        lost = await app.work.submit(Nap(name="lost"), depends_on=[root.id])
        assert (await app.work.get(lost.id)).status is TaskStatus.DEPENDENCY_FAILED
        held = await app.work.submit(
            Nap(name="held"), depends_on=[root.id], on_dependency_failure=OnDependencyFailure.HOLD
        )
        assert (await app.work.get(held.id)).status is TaskStatus.BLOCKED
        free = await app.work.submit(
            Nap(name="free"),
            depends_on=[root.id],
            on_dependency_failure=OnDependencyFailure.IGNORE,
        )
        assert await app.work.result(free) == "free"


async def test_a_held_task_runs_when_its_dependency_was_revived_and_completed() -> None:
    async with open_app() as app:
        root = await app.work.submit(Fail(times=1), max_retries=0)
        held = await app.work.submit(
            Nap(name="held"), depends_on=[root.id], on_dependency_failure=OnDependencyFailure.HOLD
        )
        await app.work.wait(root.id)
        await app.scheduler.idle()
        assert (await app.work.get(held.id)).status is TaskStatus.BLOCKED
        told = str(await app.work.explain(held.id))
        assert f"depends on task {root.id} (work::fail), which ended as dead" in told
        await app.work.retry(root.id)
        assert await app.work.result(held) == "held"


async def test_a_person_can_run_a_held_task_anyway() -> None:
    async with open_app() as app:
        root = await app.work.submit(Fail(permanent=True), delay=SECOND)
        held = await app.work.submit(
            Nap(name="held"), depends_on=[root.id], on_dependency_failure=OnDependencyFailure.HOLD
        )
        with pytest.raises(InvalidState, match=f"blocked by task {root.id}"):
            await app.work.retry(held.id)
        await app.work.wait(root.id)
        await app.work.retry(held.id)
        assert await app.work.result(held) == "held"


async def test_recovery_leaves_a_held_task_alone(tmp_path: object) -> None:
    async with open_app(f"{tmp_path}/app.db") as app:
        root = await app.work.submit(Fail(permanent=True))
        held = await app.work.submit(
            Nap(name="held"), depends_on=[root.id], on_dependency_failure=OnDependencyFailure.HOLD
        )
        await app.work.wait(root.id)
    async with open_app(f"{tmp_path}/app.db") as app:
        await app.scheduler.idle()
        assert (await app.work.get(held.id)).status is TaskStatus.BLOCKED


async def test_a_task_that_does_not_exist_cannot_be_depended_on() -> None:
    async with open_app() as app:
        with pytest.raises(InvalidDependency, match="no task 99"):
            await app.work.submit(Nap(name="a"), depends_on=[TaskId(99)])
        assert await app.work.count() == 0


async def test_a_child_cannot_depend_on_its_ancestors_or_on_what_waits_for_them() -> None:
    async with open_app() as app:
        later: list[TaskId] = []

        async def body(ctx: Context[Work]) -> None:
            with pytest.raises(InvalidDependency, match="cannot end before"):
                await ctx.spawn(Nap(name="child"), depends_on=[ctx.id])
            later.append((await app.work.submit(Nap(name="later"), depends_on=[ctx.id])).id)
            with pytest.raises(InvalidDependency, match="cannot end before"):
                await ctx.spawn(Nap(name="child"), depends_on=later)

        app.body("parent", body)
        parent = await app.work.submit(Do(name="parent"))
        assert await app.work.result(parent) == "parent"
        assert (await app.work.wait(later[0])).status is TaskStatus.COMPLETED


async def test_cancelling_a_dependency_fails_what_depends_on_it() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="first", seconds=100))
        second = await app.work.submit(Nap(name="second"), depends_on=[first.id])
        await app.work.cancel(first.id)
        assert (await app.work.wait(second.id)).status is TaskStatus.DEPENDENCY_FAILED
