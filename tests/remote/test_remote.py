"""What an executor outside the library can rely on: work goes in, an outcome comes back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import pytest

from taskmill import (
    Completed,
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Executor,
    InterruptCause,
    Interrupted,
    Progress,
    RetryPolicy,
    Route,
    Routing,
    Scheduler,
    Task,
    TaskStatus,
)
from tests.remote.executor import RemoteExecutor

pytestmark = pytest.mark.anyio


class Far(DomainKey, name="far"): ...


class Sum(Task[Far, int], name="sum"):
    how: str = "add"
    a: int = 1
    b: int = 2

    def task_key(self) -> str | None:
        return f"{self.how} {self.a} {self.b}"


@Sum.handler
def here(task: Sum, ctx: Context[Far]) -> int:
    """What the worker does, where this process is its fallback."""
    return task.a + task.b


@attrs.frozen
class App:
    scheduler: Scheduler
    far: DomainHandle[Far]
    executor: RemoteExecutor


@contextmanager
def worker() -> Generator[tuple[subprocess.Popen[str], int]]:
    """A real worker process, and the port it listens on."""
    script = Path(__file__).with_name("worker.py")
    with subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


@asynccontextmanager
async def open_app(**options: Any) -> AsyncGenerator[App]:
    executor = RemoteExecutor(**options)
    is_executor: Executor = executor
    retry = RetryPolicy.constant(0, timedelta(0))
    async with Scheduler(
        ":memory:",
        domains=[Domain(Far, handlers=[here], retry=retry)],
        executors={"cluster": is_executor},
        routing=Routing(rules=[Route("far::*", "cluster")]),
    ) as scheduler:
        yield App(scheduler, scheduler.domain(Far), executor)


async def test_a_task_runs_elsewhere_and_its_typed_result_comes_back() -> None:
    with worker() as (_, port):
        async with open_app() as app, app.far.events(Sum) as events:
            await app.executor.connect(port)
            first = await app.far.submit(Sum(a=20, b=22))
            assert await app.far.result(first) == 42
            async for event in events:
                if isinstance(event, Completed):
                    assert event.result == 42
                    break
            used = (await app.scheduler.snapshot()).executors["cluster"]
            assert (used.ended, used.running, used.down) == (1, 0, None)


async def test_what_is_raised_there_is_recorded_under_its_own_name() -> None:
    with worker() as (_, port):
        async with open_app() as app:
            await app.executor.connect(port)
            failed = await app.far.submit(Sum(how="raise"))
            record = await app.far.wait(failed.id)
            assert record.status is TaskStatus.DEAD
            assert [(e.type, e.message) for e in record.errors] == [("far.Trouble", "no luck")]


async def test_a_result_of_another_type_fails_the_task_for_good() -> None:
    with worker() as (_, port):
        async with open_app() as app:
            await app.executor.connect(port)
            wrong = await app.far.submit(Sum(how="nonsense"), max_retries=5)
            record = await app.far.wait(wrong.id)
            assert (record.status, record.attempt) == (TaskStatus.FAILED, 1)
            assert "result of Sum" in (record.reason or "")


async def test_a_cancelled_task_is_told_to_stop_there_and_keeps_its_slot_until_it_has() -> None:
    with worker() as (_, port):
        async with open_app(capacity=1) as app, app.far.events(Sum) as events:
            await app.executor.connect(port)
            endless = await app.far.submit(Sum(how="wait"))
            next_one = await app.far.submit(Sum())
            async for event in events:
                if isinstance(event, Progress):
                    break
            reason = (await app.far.explain(next_one.id)).holds[0]
            assert (reason.gate, reason.name) == ("executor", "cluster")
            assert await app.far.cancel(endless.id)
            record = await app.far.wait(endless.id)
            assert record.status is TaskStatus.CANCELLED
            assert await app.far.result(next_one) == 3


async def test_a_lost_connection_interrupts_what_ran_there_and_the_rest_waits_for_it() -> None:
    with anyio.fail_after(5), worker() as (process, port):
        async with open_app(capacity=2) as app, app.far.events(Sum) as events:
            await app.executor.connect(port)
            running = await app.far.submit(Sum(how="wait"))
            async for event in events:
                if isinstance(event, Progress):
                    break
            process.kill()
            async for event in events:
                if isinstance(event, Interrupted):
                    assert (event.header.id, event.cause) == (running.id, InterruptCause.CRASH)
                    break
            later = await app.far.submit(Sum())
            explained = await app.far.explain(later.id)
            assert [hold.gate for hold in explained.holds] == ["unroutable"]
            assert "executor 'cluster' is down since" in explained.sentence
            assert "the connection to the worker is lost" in explained.sentence
            down = (await app.scheduler.snapshot()).executors["cluster"].down
            assert down == "the connection to the worker is lost"
            with worker() as (_, again):
                await app.executor.connect(again)
                assert await app.far.result(later) == 3
                async for event in events:
                    if isinstance(event, Progress):
                        break
                record = await app.far.get(running.id)
                assert (record.attempt, record.run, record.interruptions) == (1, 2, 1)
                await app.far.cancel(running.id)
                await app.far.wait(running.id)


async def test_a_task_that_keeps_losing_its_worker_is_dead_at_last() -> None:
    async with open_app() as app, app.far.events(Sum) as events:
        poison = await app.far.submit(Sum(how="wait"), max_interruptions=1)
        for _ in range(2):
            with worker() as (process, port):
                await app.executor.connect(port)
                async for event in events:
                    if isinstance(event, Progress):
                        break
                process.kill()
                while (await app.scheduler.snapshot()).executors["cluster"].down is None:
                    await anyio.lowlevel.checkpoint()
        record = await app.far.wait(poison.id)
        assert record.status is TaskStatus.DEAD
        assert record.reason == (
            "interrupted 2 times while it ran; last: the connection to the worker is lost"
        )


async def test_while_it_is_down_its_fallback_takes_the_tasks_and_gives_them_back() -> None:
    async with open_app(fallback="thread") as app:
        before = await app.far.submit(Sum(a=5))
        assert await app.far.result(before) == 7
        executors = (await app.scheduler.snapshot()).executors
        assert (executors["thread"].ended, executors["cluster"].ended) == (1, 0)
        with worker() as (_, port):
            await app.executor.connect(port)
            assert await app.far.result(await app.far.submit(Sum(a=6))) == 8
            executors = (await app.scheduler.snapshot()).executors
            assert (executors["thread"].ended, executors["cluster"].ended) == (1, 1)


async def test_what_waits_when_it_goes_down_moves_to_the_fallback() -> None:
    with worker() as (process, port):
        async with open_app(fallback="thread", capacity=1) as app, app.far.events(Sum) as events:
            await app.executor.connect(port)
            first = await app.far.submit(Sum(how="wait", a=1))
            many = await app.far.submit_many([Sum(a=n) for n in range(2, 300)])
            async for event in events:
                if isinstance(event, Progress):
                    break
            process.kill()
            for each in (first, *many):
                assert (await app.far.wait(each.id)).status is TaskStatus.COMPLETED
            executors = (await app.scheduler.snapshot()).executors
            assert executors["thread"].ended == 299
