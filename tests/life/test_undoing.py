"""on_cancel: for whom it runs and how often, also in threads; and who wins against a cancel."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from taskmill import (
    Context,
    Domain,
    OnDuplicate,
    Scheduler,
    Stop,
    Stopped,
    Task,
    TaskFailed,
    TaskStatus,
)
from taskmill.testing import virtual_time
from tests.life.app import HOUR, SECOND, Do, Fail, Nap, Tidy, Work, open_app

pytestmark = pytest.mark.anyio


class Press(Task[Work], name="press"):
    """Blocks its thread until it is to stop."""


async def test_without_a_cancel_grace_on_cancel_has_30_seconds() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Tidy(name="t", tidying=1000))
        await anyio.sleep(1)
        await app.work.cancel(submitted.id)
        assert (await app.work.wait(submitted.id)).status is TaskStatus.CANCELLED
        assert app.seconds() == pytest.approx(31)
        assert app.diary.lines == ["tidy t", "undo t"]


async def test_on_cancel_keeps_its_slot_and_a_second_cancel_does_not_cut_it_short() -> None:
    async with open_app(max_concurrency=1) as app:
        first = await app.work.submit(Tidy(name="t", tidying=5))
        await app.work.submit(Nap(name="after"))
        await anyio.sleep(1)
        assert await app.work.cancel(first.id)
        await anyio.sleep(1)
        assert await app.work.cancel(first.id)
        await app.scheduler.idle()
        assert app.diary.lines == ["tidy t", "undo t", "undone t", "nap after"]
        assert app.seconds() == pytest.approx(6)


async def test_on_cancel_runs_when_the_parent_fails_or_another_takes_the_place() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Tidy(name="child"))
            await anyio.sleep(5)
            raise ValueError("too bad")

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"), max_retries=0)
        await app.work.wait(parent.id)
        await app.scheduler.idle()
        assert app.diary.lines[-2:] == ["undo child", "undone child"]
        first = await app.work.submit(Tidy(name="t"))
        await anyio.sleep(1)
        second = await app.work.submit(Tidy(name="t"), on_duplicate=OnDuplicate.SUPERSEDE)
        await app.work.wait(first.id)
        assert app.diary.of("und")[-2:] == ["undo t", "undone t"]
        await app.work.cancel(second.id)


async def test_that_a_task_is_to_end_is_in_the_file_when_cancel_returns(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        submitted = await app.work.submit(Tidy(name="t", tidying=5))
        await anyio.sleep(1)
        assert await app.work.cancel(submitted.id)
        with closing(sqlite3.connect(path)) as connection:
            [row] = connection.execute(
                "SELECT status, stop_cause FROM taskmill_tasks WHERE id = ?", [submitted.id]
            )
        assert row == ("running", "cancelled")


async def test_a_stop_lets_an_on_cancel_that_runs_come_to_its_end(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with virtual_time() as clock:
        async with open_app(path, clock=clock, shutdown=Stop()) as app:
            submitted = await app.work.submit(Tidy(name="t", tidying=5))
            await anyio.sleep(1)
            await app.work.cancel(submitted.id)
            await anyio.sleep(1)
        lines = app.diary.lines
        async with open_app(path, clock=clock) as again:
            record = await again.work.wait(submitted.id)
            assert record.status is TaskStatus.CANCELLED
            assert (lines, again.diary.lines) == (["tidy t", "undo t", "undone t"], [])


async def test_a_plain_function_undoes_its_work_in_a_thread() -> None:
    started, stopped, main = threading.Event(), threading.Event(), threading.get_ident()
    lines: list[object] = []

    def press(task: Press, ctx: Context[Work]) -> None:
        lines.append("press")
        started.set()
        while True:
            try:
                ctx.check()
            except Stopped:
                stopped.set()
                raise
            stopped.wait(0.001)

    def undo(task: Press, ctx: Context[Work]) -> None:
        lines.append(threading.get_ident() != main)
        assert not ctx.cancelled
        ctx.check()
        lines.append("undone")

    domain = Domain(Work, handlers=[Press.handler(press, on_cancel=undo)])
    async with Scheduler(":memory:", domains=[domain]) as scheduler:
        submitted = await scheduler.submit(Press())
        await anyio.to_thread.run_sync(started.wait)
        assert await scheduler.cancel(submitted.id)
        record = await scheduler.wait(submitted.id, timeout=5 * SECOND)
        assert (record.status, record.errors) == (TaskStatus.CANCELLED, ())
        assert lines == ["press", True, "undone"]


async def test_an_undoing_thread_is_told_when_its_cancel_grace_is_over() -> None:
    lines: list[str] = []
    started, gate = threading.Event(), threading.Event()

    def press(task: Press, ctx: Context[Work]) -> None:
        lines.append("press")
        started.set()
        while not ctx.cancelled:
            gate.wait(0.001)
        ctx.check()

    def undo(task: Press, ctx: Context[Work]) -> None:
        while not ctx.cancelled:
            gate.wait(0.001)
        lines.append("told")
        ctx.check()

    domain = Domain(
        Work,
        handlers=[Press.handler(press, on_cancel=undo)],
        cancel_grace=timedelta(milliseconds=50),
    )
    async with Scheduler(":memory:", domains=[domain]) as scheduler:
        submitted = await scheduler.submit(Press())
        await anyio.to_thread.run_sync(started.wait)
        await scheduler.cancel(submitted.id)
        record = await scheduler.wait(submitted.id, timeout=5 * SECOND)
        assert record.status is TaskStatus.CANCELLED
        assert record.last_error is not None
        assert "its cancel_grace is over" in record.last_error.message
        assert lines == ["press", "told"]


async def test_an_on_cancel_that_raises_is_on_record_and_the_task_is_cancelled() -> None:
    started = anyio.Event()

    async def run(task: Press, ctx: Context[Work]) -> None:
        started.set()
        await anyio.sleep(1000)

    async def undo(task: Press, ctx: Context[Work]) -> None:
        raise OSError("cannot be undone")

    domain = Domain(Work, handlers=[Press.handler(run, on_cancel=undo)])
    async with Scheduler(":memory:", domains=[domain]) as scheduler:
        submitted = await scheduler.submit(Press())
        await started.wait()
        await scheduler.cancel(submitted.id)
        record = await scheduler.wait(submitted.id)
        assert record.status is TaskStatus.CANCELLED
        assert record.last_error is not None
        assert "cannot be undone" in record.last_error.message


async def test_a_result_that_was_recorded_first_wins() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Tidy(name="t", seconds=1))
        await app.work.wait(submitted.id)
        assert not await app.work.cancel(submitted.id)
        assert (await app.work.get(submitted.id)).status is TaskStatus.COMPLETED
        assert app.diary.lines == ["tidy t"]


async def test_cancel_where_takes_what_every_filter_lets_through() -> None:
    async with open_app() as app:
        red = await app.work.submit(Nap(name="red"), tags={"colour": "red"}, delay=HOUR)
        blue = await app.work.submit(Nap(name="blue"), tags={"colour": "blue"}, delay=HOUR)
        group = await app.work.submit(Nap(name="g"), group="g", delay=HOUR)
        keyed = await app.work.submit(Nap(name="k"), key="k", delay=HOUR)
        fail = await app.work.submit(Fail(), tags={"colour": "red"}, delay=HOUR)
        assert await app.work.cancel_where(types=[Nap], tags={"colour": "red"}) == [red.id]
        assert await app.work.cancel_where(group="g") == [group.id]
        assert await app.work.cancel_where(key="k", status=TaskStatus.PENDING) == [keyed.id]
        assert await app.other.cancel_where(tag_prefix="col") == []
        assert await app.work.cancel_where(tag_prefix="col") == [blue.id, fail.id]
        assert await app.work.cancel_where(tag_prefix="col") == []


async def test_cancel_where_ends_a_subtree_once_and_names_what_was_meant() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="a"), Nap(name="b")], delay=HOUR)

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        await anyio.sleep(1)
        assert await app.work.cancel_where(types=[Do]) == [parent.id]
        assert await app.work.count(status=TaskStatus.CANCELLED) == 3


async def test_whoever_asks_for_the_result_of_a_failed_task_gets_its_reason() -> None:
    async with open_app() as app:
        submitted = await app.work.submit(Fail(permanent=True))
        with pytest.raises(TaskFailed, match="told to"):
            await app.work.result(submitted)
