"""What a dashboard costs: one snapshot, and a drain while snapshots are taken all the time."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter, thread_time

import aiosqlite
import anyio

from benchmarks.floors import Floor
from benchmarks.setting import Sample, Setting, Unit, percentiles, rate
from benchmarks.work import (
    Ledger,
    batches,
    drain_timed,
    find_problem,
    finish,
    held,
    scheduler,
    steps,
)
from taskmill import Scheduler

GROUPS = 1000
POLLS = 200
"""How many snapshots the cost is taken from."""
PAUSE = 0.005
"""Seconds between them."""
INTERVAL = 0.1
"""Seconds between those that a dashboard takes."""


async def cost(setting: Setting) -> Sample:
    """Milliseconds that a snapshot takes the event loop while tasks of many groups wait."""
    ledger, tasks = Ledger(), steps(setting.n)
    async with held(setting, ledger) as full:
        for number, batch in enumerate(batches(tasks, -(-setting.n // GROUPS))):
            await full.scheduler.submit_many(batch, group=f"group {number}")
        taken = await _times(full.scheduler.snapshot)
        full.release()
        await finish(full.scheduler, setting.n)
        problem = await find_problem(full.scheduler, ledger, setting.n)
    median, late = percentiles(taken)
    return Sample(n=setting.n, value=median, p99=late, problem=problem)


async def drain_polled(setting: Setting) -> Sample:
    """Drain queued tasks while somebody takes ten snapshots a second."""
    ledger = Ledger()
    async with scheduler(setting, ledger) as opened, _polled(opened):
        return await _drained(opened, ledger, setting)


async def _drain_unwatched(setting: Setting) -> Sample:
    ledger = Ledger()
    async with scheduler(setting, ledger) as opened:
        return await _drained(opened, ledger, setting)


async def _drained(opened: Scheduler, ledger: Ledger, setting: Setting) -> Sample:
    taken = await drain_timed(opened, steps(setting.n))
    problem = await find_problem(opened, ledger, setting.n)
    return Sample(n=setting.n, value=rate(setting.n, taken), problem=problem)


@asynccontextmanager
async def _polled(opened: Scheduler) -> AsyncGenerator[None]:
    async def poll() -> None:
        while True:
            await opened.snapshot()
            await anyio.sleep(INTERVAL)

    async with anyio.create_task_group() as group:
        group.start_soon(poll)
        yield
        group.cancel_scope.cancel()


async def _reads(setting: Setting) -> Sample:
    async with aiosqlite.connect(setting.database) as db:

        async def read_twice() -> None:
            for _ in range(2):
                await db.execute_fetchall("SELECT 1")

        median, late = percentiles(await _times(read_twice))
    return Sample(n=setting.n, value=median, p99=late)


async def _times(verb: Callable[[], Awaitable[object]]) -> list[float]:
    """Seconds of this thread's time that each of many calls takes."""
    taken: list[float] = []
    start = perf_counter()
    while len(taken) < POLLS and perf_counter() - start < POLLS * INTERVAL:
        await anyio.sleep(PAUSE)
        before = thread_time()
        await verb()
        taken.append(thread_time() - before)
    return taken


READS = Floor(
    name="two reads",
    description="two empty reads on a connection's thread, and what they take the event loop",
    unit=Unit.MS,
    measure=_reads,
)
UNWATCHED = Floor(
    name="unwatched",
    description="the same drain, and nobody takes snapshots",
    unit=Unit.RATE,
    measure=_drain_unwatched,
)
