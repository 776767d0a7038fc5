"""Where two parts of a life meet: what parents undo, signals in finalize, restarts of schedules."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from taskmill import (
    Cancel,
    Context,
    Domain,
    DomainHandle,
    Every,
    OnDependencyFailure,
    OnDuplicate,
    RetryAfter,
    Scheduler,
    ScheduleStatus,
    Snooze,
    Stop,
    SubmitOutcome,
    Task,
    TaskId,
    TaskStatus,
)
from taskmill.testing import START, FakeClock, virtual_time
from tests.life.app import (
    HOUR,
    MINUTE,
    SECOND,
    Diary,
    Fail,
    Family,
    Nap,
    Work,
    fail,
    nap,
    open_app,
)

pytestmark = pytest.mark.anyio


class House(Task[Work, str], name="house"):
    """Has an execute, a finalize and an on_cancel, all of which do as they are told."""


@attrs.define
class Plan:
    """What the parts of a house do."""

    execute: Callable[[Context[Work]], Any] | None = None
    finalize: Callable[[Context[Work]], Any] | None = None
    undo: Callable[[Context[Work]], Any] | None = None
    lines: list[str] = attrs.field(factory=list[str])


async def play(plan: Plan, name: str, part: Callable[[Context[Work]], Any] | None, ctx: Any) -> str:
    plan.lines.append(name)
    if part is not None:
        await part(ctx)
    return name


async def execute_house(task: House, ctx: Context[Work]) -> str:
    plan = ctx.state(Plan)
    return await play(plan, "execute", plan.execute, ctx)


async def finalize_house(task: House, memo: str, ctx: Context[Work]) -> str:
    plan = ctx.state(Plan)
    return await play(plan, "finalize", plan.finalize, ctx)


async def undo_house(task: House, ctx: Context[Work]) -> None:
    plan = ctx.state(Plan)
    await play(plan, "undo", plan.undo, ctx)


house = House.handler(execute_house, finalize=finalize_house, on_cancel=undo_house)


@asynccontextmanager
async def street(
    plan: Plan, clock: FakeClock, path: str = ":memory:", **options: Any
) -> AsyncGenerator[tuple[Scheduler, DomainHandle[Work]]]:
    domain = Domain(Work, handlers=[house, nap, fail], state=[plan, Diary()])
    scheduler = Scheduler(path, domains=[domain], clock=clock, **options)
    async with scheduler:
        yield scheduler, scheduler.domain(Work)


async def two_naps(ctx: Context[Work]) -> None:
    await ctx.spawn_many([Nap(name="a", seconds=100), Nap(name="b", seconds=100)])


async def one_failure(ctx: Context[Work]) -> None:
    await ctx.spawn(Fail(permanent=True), delay=5 * SECOND)


async def long(ctx: Context[Work]) -> None:
    await anyio.sleep(1000)


async def test_a_waiting_parent_that_is_cancelled_undoes_its_work_once() -> None:
    plan = Plan(execute=two_naps)
    async with virtual_time() as clock, street(plan, clock) as (scheduler, work):
        parent = await work.submit(House())
        await anyio.sleep(1)
        assert (await work.get(parent.id)).status is TaskStatus.WAITING
        assert await work.cancel(parent.id)
        assert (await work.wait(parent.id)).status is TaskStatus.CANCELLED
        await scheduler.idle()
        assert plan.lines == ["execute", "undo"]
        assert await work.count(status=TaskStatus.CANCELLED) == 3


async def test_a_waiting_parent_whose_child_fails_undoes_its_work_once_and_has_failed() -> None:
    plan = Plan(execute=one_failure)
    async with virtual_time() as clock, street(plan, clock) as (scheduler, work):
        parent = await work.submit(House())
        record = await work.wait(parent.id)
        assert (record.status, "its child" in (record.reason or "")) == (TaskStatus.FAILED, True)
        await scheduler.idle()
        assert plan.lines == ["execute", "undo"]


async def test_a_finalize_that_is_cancelled_is_stopped_and_undone() -> None:
    plan = Plan(finalize=long)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House())
        await anyio.sleep(1)
        await work.cancel(parent.id)
        assert (await work.wait(parent.id)).status is TaskStatus.CANCELLED
        assert plan.lines == ["execute", "finalize", "undo"]
        assert clock.monotonic() == pytest.approx(1)


async def test_a_timeout_bounds_finalize_too_and_never_undoes() -> None:
    plan = Plan(finalize=long)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House(), timeout=5 * SECOND, max_retries=0)
        record = await work.wait(parent.id)
        assert record.status is TaskStatus.DEAD
        assert plan.lines == ["execute", "finalize"]
        assert clock.monotonic() == pytest.approx(5)


async def test_a_finalize_can_snooze_ask_for_a_retry_and_cancel() -> None:
    async def finalize(ctx: Context[Work]) -> None:
        done = plan.lines.count("finalize")
        if done == 1:
            raise Snooze(10 * SECOND)
        if done == 2:
            raise RetryAfter(20 * SECOND)
        if done == 3:
            raise Cancel("enough")

    plan = Plan(finalize=finalize)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House())
        record = await work.wait(parent.id)
        assert (record.status, record.reason) == (TaskStatus.CANCELLED, "enough")
        assert plan.lines[:4] == ["execute", "finalize", "finalize", "finalize"]
        assert clock.monotonic() == pytest.approx(30)


async def test_a_parent_that_snoozes_keeps_its_children_and_runs_again() -> None:
    async def execute(ctx: Context[Work]) -> None:
        if ctx.record.run == 1:
            await ctx.spawn(Nap(name="child", seconds=100))
            raise Snooze(10 * SECOND)

    plan = Plan(execute=execute)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House())
        assert await work.result(parent) == "finalize"
        assert plan.lines == ["execute", "execute", "finalize"]
        assert clock.monotonic() == pytest.approx(100)


async def test_children_that_finalize_spawns_are_waited_for() -> None:
    async def finalize(ctx: Context[Work]) -> None:
        await ctx.spawn(Nap(name="late", seconds=50))

    plan = Plan(finalize=finalize)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House())
        assert await work.result(parent) == "finalize"
        assert plan.lines == ["execute", "finalize"]
        assert clock.monotonic() == pytest.approx(50)


async def test_a_stop_while_a_parent_waits_changes_nothing_for_it(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    plan = Plan(execute=two_naps)
    async with virtual_time() as clock:
        async with street(plan, clock, path, shutdown=Stop()) as (_, work):
            parent = await work.submit(House())
            await anyio.sleep(1)
        async with street(plan, clock, path) as (_, work):
            assert (await work.get(parent.id)).status is TaskStatus.WAITING
            assert await work.result(parent) == "finalize"
            assert plan.lines == ["execute", "finalize"]


async def test_a_superseded_parent_takes_its_subtree_along_and_the_new_one_starts_over() -> None:
    plan = Plan(execute=two_naps)
    async with virtual_time() as clock, street(plan, clock) as (scheduler, work):
        first = await work.submit(House())
        await anyio.sleep(1)
        second = await work.submit(House(), on_duplicate=OnDuplicate.SUPERSEDE)
        assert second.outcome is SubmitOutcome.SUPERSEDED
        assert (await work.wait(first.id)).status is TaskStatus.SUPERSEDED
        assert await work.result(second) == "finalize"
        await scheduler.idle()
        assert plan.lines == ["execute", "undo", "execute", "finalize"]
        assert await work.count(status=TaskStatus.CANCELLED) == 2


async def test_a_retried_parent_starts_over_with_children_of_its_own() -> None:
    plan = Plan(execute=two_naps)
    async with virtual_time() as clock, street(plan, clock) as (_, work):
        parent = await work.submit(House())
        await anyio.sleep(1)
        await work.cancel(parent.id)
        await work.wait(parent.id)
        await work.retry(parent.id)
        assert await work.result(parent) == "finalize"
        assert plan.lines == ["execute", "undo", "execute", "finalize"]
        assert await work.count(types=[Nap], status=TaskStatus.COMPLETED) == 2


async def test_a_held_task_is_still_held_after_a_restart_and_goes_on_when_it_may(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "app.db")
    async with virtual_time() as clock:
        async with open_app(path, clock=clock) as app:
            root = await app.work.submit(Fail(times=1), max_retries=0)
            held = await app.work.submit(
                Nap(name="held"),
                depends_on=[root],
                on_dependency_failure=OnDependencyFailure.HOLD,
            )
            await app.work.wait(root.id)
        async with open_app(path, clock=clock) as app:
            await app.scheduler.idle()
            assert "which ended as dead" in str(await app.work.explain(held.id))
            await app.work.retry(root.id)
            assert await app.work.result(held) == "held"


async def test_windows_times_to_live_and_start_times_hold_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with virtual_time() as clock:
        async with open_app(path, clock=clock) as app:
            stands = await app.work.submit(Nap(name="x"), unique_for=HOUR)
            await app.work.wait(stands.id)
            later = await app.work.submit(Nap(name="later"), delay=MINUTE)
            short = await app.work.submit(Nap(name="short"), delay=HOUR, ttl=MINUTE)
            group = await app.work.submit(Nap(name="g"), group="g", delay=SECOND)
            await app.work.pause_group("g", until=START + 2 * MINUTE)
        async with open_app(path, clock=clock) as app:
            again = await app.work.submit(Nap(name="x"))
            assert (again.id, again.outcome) == (stands.id, SubmitOutcome.DUPLICATE)
            assert await app.work.result(later) == "later"
            assert app.seconds() == pytest.approx(60, abs=1)
            assert (await app.work.wait(short.id)).status is TaskStatus.EXPIRED
            assert app.seconds() == pytest.approx(60, abs=1.5)
            await app.work.wait(group.id)
            assert app.seconds() == pytest.approx(120, abs=1)


async def test_a_paused_schedule_is_paused_after_a_restart_and_a_count_goes_on(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "app.db")
    async with virtual_time() as clock:
        async with open_app(path, clock=clock) as app:
            await app.work.schedule(Nap(name="p"), Every(MINUTE), "paused")
            await app.work.schedule(Nap(name="c"), Every(MINUTE, max_runs=3), "counted")
            await app.work.pause_schedule("paused")
            await anyio.sleep(61)
        async with open_app(path, clock=clock) as app:
            counted, paused = await app.work.schedules()
            assert (counted.runs, paused.status) == (1, ScheduleStatus.PAUSED)
            await anyio.sleep(600)
            assert app.diary.lines == ["nap c", "nap c"]


async def test_an_occurrence_has_children_and_retries_like_any_task() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="child", seconds=25))

        app.body("f", body)
        await app.work.schedule(Family(name="f"), Every(10 * SECOND), "fs")
        await app.work.schedule(Fail(name="x", times=1), Every(MINUTE, max_runs=1), "xs")
        await anyio.sleep(69)
        assert app.diary.lines.count("execute f") == 2, "two came due while one waited"
        assert app.diary.lines.count("finalize f") == 2
        assert app.diary.of("fail x") == ["fail x"] * 2
        assert (await app.work.get(TaskId(1))).scheduled_for == START + 10 * SECOND


async def test_a_thread_that_takes_its_time_to_stop_is_waited_for(tmp_path: Path) -> None:
    ended: list[str] = []
    started, never = threading.Event(), threading.Event()

    async def execute(ctx: Context[Work]) -> None:
        def block() -> None:
            started.set()
            while not ctx.cancelled:
                never.wait(0.001)
            never.wait(0.05)
            ended.append("out")

        await ctx.run_in_thread(block)

    plan = Plan(execute=execute)
    path = str(tmp_path / "app.db")
    domain = Domain(Work, handlers=[house], state=[plan], stop_grace=timedelta(milliseconds=1))
    async with Scheduler(path, domains=[domain], shutdown=Stop()) as scheduler:
        task = await scheduler.submit(House())
        await anyio.to_thread.run_sync(started.wait)
    assert ended == ["out"]
    plan.execute = None
    async with Scheduler(path, domains=[domain]) as scheduler:
        assert await scheduler.result(task) == "finalize"
        assert (await scheduler.get(task.id)).attempt == 1
