"""Cancelling, and handlers that take their time to stop."""

from __future__ import annotations

import logging
import threading
from typing import Any

import anyio
import pytest

from taskmill import (
    Cancelled,
    Completed,
    Context,
    Domain,
    DomainKey,
    Drain,
    Permanent,
    RetryPolicy,
    Scheduler,
    Stop,
    StopOverdue,
    Stopped,
    Task,
    TaskCancelled,
    TaskStatus,
    UnknownTaskError,
)
from taskmill.model.record import TaskId
from taskmill.testing import virtual_time
from tests.engine.app import SECOND, App, Fail, Nap, open_app

pytestmark = pytest.mark.anyio


class Slow(DomainKey, name="slow"): ...


class Hold(Task[Slow], name="hold"):
    number: int = 0


async def test_a_waiting_task_ends_at_once_and_never_runs() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="first", seconds=5))
        second = await app.work.submit(Nap(name="second"))
        assert await app.work.cancel(second.id) is True
        assert (await app.work.get(second.id)).status is TaskStatus.CANCELLED
        await app.scheduler.idle()
        assert app.board.started == ["first"]


async def test_delayed_tasks_and_those_in_backoff_can_be_cancelled() -> None:
    async with open_app() as app:
        delayed = await app.work.submit(Nap(name="late"), delay=60 * SECOND)
        failing = await app.work.submit(Fail(), retry=RetryPolicy.constant(5, 60 * SECOND))
        await anyio.sleep(1)
        assert await app.work.cancel(delayed.id) is True
        assert await app.work.cancel(failing.id) is True
        await app.scheduler.idle()
        assert app.seconds() == 1
        await anyio.sleep(200)
        assert app.board.started == ["attempt 1"]


async def test_a_running_task_is_cancelled_and_its_result_raises() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="long", seconds=100))
        await anyio.sleep(1)
        assert await app.work.cancel(submitted.id) is True
        record = await app.work.wait(submitted.id)
        assert record.status is TaskStatus.CANCELLED
        assert app.board.stopped == ["long"]
        assert app.seconds() == 1
        with pytest.raises(TaskCancelled):
            await app.work.result(submitted)


async def test_cancelling_what_has_ended_says_no_and_what_never_was_raises() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Nap(name="quick"))
        await app.work.result(submitted)
        assert await app.work.cancel(submitted.id) is False
        with pytest.raises(UnknownTaskError, match=r"no task 99 in domain 'work'"):
            await app.work.cancel(TaskId(99))
        with pytest.raises(UnknownTaskError, match="no task 9223372036854775808"):
            await app.work.cancel(TaskId(2**63))
        with pytest.raises(UnknownTaskError, match=rf"no task {submitted.id} in domain 'other'"):
            await app.other.cancel(submitted.id)


async def run_one(handler: Any, at: float, action: Any, **options: Any) -> list[object]:
    """Run Hold with ``handler``; ``action(scheduler, id)`` comes ``at`` seconds later."""
    events: list[object] = []
    async with virtual_time() as clock:
        domain = Domain(Slow, handlers=[Hold.handler(handler)], stop_grace=5 * SECOND)
        async with (
            Scheduler(":memory:", domains=[domain], clock=clock, **options) as scheduler,
            scheduler.events() as stream,
        ):
            submitted = await scheduler.submit(Hold())
            await anyio.sleep(at)
            await action(scheduler, submitted.id)
            record = await scheduler.wait(submitted.id)
            events.extend([record.status, clock.monotonic()])
            with anyio.move_on_after(0):
                async for event in stream:
                    events.append(event)  # noqa: PERF401 - keeps what came before the scope ends
    return events


async def cancel(scheduler: Scheduler, task: TaskId) -> None:
    await scheduler.cancel(task)


async def test_a_handler_that_returns_after_its_cancel_was_accepted_cannot_complete() -> None:
    async def stubborn(task: Hold, ctx: Context[Slow]) -> None:
        try:
            await anyio.sleep(100)
        except anyio.get_cancelled_exc_class():
            assert ctx.cancelled

    status, _, *events = await run_one(stubborn, 1, cancel)
    assert status is TaskStatus.CANCELLED
    assert [event for event in events if isinstance(event, Completed)] == []
    assert len([event for event in events if isinstance(event, Cancelled)]) == 1


async def test_a_handler_that_answers_a_cancel_with_an_error_is_cancelled_all_the_same() -> None:
    async def angry(task: Hold, ctx: Context[Slow]) -> None:
        try:
            await anyio.sleep(100)
        except BaseException as error:
            raise Permanent("how dare you") from error

    status, *_ = await run_one(angry, 1, cancel)
    assert status is TaskStatus.CANCELLED


async def test_a_handler_that_does_not_stop_is_named_after_its_grace_and_keeps_its_slot(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def shielded(task: Hold, ctx: Context[Slow]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(20)

    seen: list[object] = []

    async def cancel_and_look(scheduler: Scheduler, task: TaskId) -> None:
        await scheduler.submit(Hold(number=1))
        await scheduler.cancel(task)
        await anyio.sleep(10)
        seen.extend(record.id for record in scheduler.active_tasks())

    with caplog.at_level(logging.WARNING, "taskmill"):
        status, at, *events = await run_one(shielded, 1, cancel_and_look, max_concurrency=1)
    assert (status, at) == (TaskStatus.CANCELLED, 20)
    assert seen == [1]
    [overdue] = [event for event in events if isinstance(event, StopOverdue)]
    assert (overdue.id, overdue.grace) == (1, 5 * SECOND)
    assert "task 1 (slow::hold) was told to stop" in caplog.text


async def test_a_thread_sees_that_it_is_to_stop_and_holds_its_slot_until_it_has() -> None:
    started, go_on = threading.Event(), threading.Event()

    def blocking(task: Hold, ctx: Context[Slow]) -> None:
        started.set()
        go_on.wait()
        ctx.check()
        raise AssertionError("check did not raise")

    domain = Domain(Slow, handlers=[Hold.handler(blocking)])
    async with Scheduler(":memory:", domains=[domain], max_concurrency=1) as scheduler:
        first = await scheduler.submit(Hold(number=1))
        second = await scheduler.submit(Hold(number=2))
        await anyio.to_thread.run_sync(started.wait)
        await scheduler.cancel(first.id)
        await anyio.lowlevel.checkpoint()
        assert [record.id for record in scheduler.active_tasks()] == [first.id]
        await scheduler.cancel(second.id)
        go_on.set()
        assert (await scheduler.wait(first.id)).status is TaskStatus.CANCELLED


async def test_stopped_passes_through_a_handler_that_catches_every_exception() -> None:
    async def careless(task: Hold, ctx: Context[Slow]) -> None:
        while True:
            try:
                await anyio.sleep(1)
            except anyio.get_cancelled_exc_class():
                pass
            try:
                ctx.check()
            except Exception:  # noqa: BLE001 - what a careless handler does
                raise AssertionError("Stopped is no Exception") from None
            except Stopped:
                return

    status, *_ = await run_one(careless, 1.5, cancel)
    assert status is TaskStatus.CANCELLED


# --- shutting down ---


async def test_drain_lets_running_handlers_finish_and_starts_nothing_further(tmp_path: Any) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path, max_concurrency=1, shutdown=Drain(30 * SECOND)) as app:
        first = await app.work.submit(Nap(name="first", seconds=10))
        second = await app.work.submit(Nap(name="second"))
        await anyio.sleep(1)
    assert app.board.stopped == ["first"]
    async with open_app(path) as again:
        assert (await again.work.get(first.id)).status is TaskStatus.COMPLETED
        assert await again.work.result(second) == "second"


async def test_drain_cancels_what_is_not_done_in_time_and_refunds_the_attempt(
    tmp_path: Any,
) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path, shutdown=Drain(5 * SECOND)) as app:
        submitted = await app.work.submit(Nap(name="long", seconds=100))
        await anyio.sleep(1)
    assert app.seconds() == 6
    async with open_app(path) as again:
        record = await again.work.get(submitted.id)
        assert (record.attempt, record.run, record.errors) in ((0, 1, ()), (1, 2, ()))
        assert await again.work.result(submitted) == "long"


async def test_a_stop_cuts_a_drain_short() -> None:
    async with open_app(shutdown=Drain(3600 * SECOND)) as app:
        await app.work.submit(Nap(name="long", seconds=100))
        await anyio.sleep(1)
        app.scheduler.stop()
        await anyio.sleep(1)
        app.scheduler.stop(Stop())
    assert app.seconds() == 2


async def test_cancelling_the_block_while_it_drains_stops_at_once() -> None:
    seen: list[App] = []
    with anyio.CancelScope() as scope:
        async with open_app(shutdown=Drain(3600 * SECOND)) as app:
            seen.append(app)
            await app.work.submit(Nap(name="long", seconds=100))
            await anyio.sleep(1)
            scope.deadline = anyio.current_time() + 3
    assert scope.cancelled_caught
    assert seen[0].board.stopped == ["long"]
    assert seen[0].seconds() == 4


async def test_an_error_in_the_block_stops_at_once_and_comes_out_as_it_is() -> None:
    seen: list[App] = []
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - it is about where the error is raised
        async with open_app(shutdown=Drain(3600 * SECOND)) as app:
            seen.append(app)
            await app.work.submit(Nap(name="long", seconds=100))
            await anyio.sleep(1)
            raise ZeroDivisionError
    [app] = seen
    assert app.board.stopped == ["long"]
    assert app.seconds() == 1


async def test_cancelling_the_block_stops_at_once_and_loses_nothing(tmp_path: Any) -> None:
    path = str(tmp_path / "app.db")
    submitted: list[TaskId] = []
    with anyio.CancelScope() as scope:
        async with Scheduler(path, domains=[Domain(Slow, handlers=[Hold.handler(forever)])]) as it:
            submitted.append((await it.submit(Hold())).id)
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    async with Scheduler(path, domains=[Domain(Slow, handlers=[Hold.handler(at_once)])]) as it:
        await it.idle()
        record = await it.get(submitted[0])
        assert (record.status, record.attempt) == (TaskStatus.COMPLETED, 1)


async def test_cancelling_at_any_moment_of_opening_lets_go_of_the_file(tmp_path: Any) -> None:
    path = str(tmp_path / "app.db")
    domain = Domain(Slow, handlers=[Hold.handler(at_once)])
    async with Scheduler(path, domains=[domain]) as it:
        await it.submit_many([Hold(number=n) for n in range(100)], delay=3600 * SECOND)
    for turns in range(60):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(cancel_after, turns, scope)
                async with Scheduler(path, domains=[domain]):
                    await anyio.sleep_forever()
        assert scope.cancelled_caught
    async with Scheduler(path, domains=[domain]) as it:
        assert await it.count() == 100


async def cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


async def forever(task: Hold, ctx: Context[Slow]) -> None:
    await anyio.sleep_forever()


async def at_once(task: Hold, ctx: Context[Slow]) -> None: ...
