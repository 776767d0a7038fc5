"""What looking on costs: snapshots, and streams of events, while tasks run."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from time import perf_counter, thread_time

import aiosqlite
import anyio
from anyio.abc import TaskStatus

from benchmarks.floors import Floor
from benchmarks.kinds import GROUPS, Bench, steps
from benchmarks.scenario import AtMost, OfFloor, Scenario
from benchmarks.setting import Sample, Setting, Unit, percentiles
from benchmarks.trial import PLAIN_DRAIN, KeptUp, Trial
from benchmarks.work import Ledger, batches, find_problem, finish, held
from taskmill import Lagged, Scheduler

POLLS = 200
"""How many snapshots the cost is taken from at most."""
PAUSE = 0.005
"""Seconds between them."""
INTERVAL = 0.1
"""Seconds between those that a dashboard takes."""
TOLD = 3
"""How many events the life of a no-op task makes: it is enqueued, dispatched, completed."""


async def _cost(setting: Setting) -> Sample:
    """Milliseconds that a snapshot takes the event loop while tasks of many groups wait."""
    ledger, tasks = Ledger(), steps(setting.n)
    async with held(setting, ledger) as full:
        for number, batch in enumerate(batches(tasks, -(-setting.n // GROUPS))):
            await full.scheduler.submit_many(batch, group=f"group {number}")
        taken = await _times(full.scheduler.snapshot, min(POLLS, setting.n))
        full.release()
        await finish(full.scheduler, setting.n)
        problem = await find_problem(full.scheduler, ledger, setting.n)
    median, late = percentiles(taken)
    return Sample(n=setting.n, value=median, p99=late, problem=problem)


@asynccontextmanager
async def _polled(opened: Scheduler, _: int) -> AsyncGenerator[KeptUp]:
    async def poll() -> None:
        while True:
            await opened.snapshot()
            await anyio.sleep(INTERVAL)

    async def kept_up() -> None:
        pass

    async with anyio.create_task_group() as group:
        group.start_soon(poll)
        yield kept_up
        group.cancel_scope.cancel()


@asynccontextmanager
async def _heard(readers: int, opened: Scheduler, n: int) -> AsyncGenerator[KeptUp]:
    """Let so many subscribers read every event of ``n`` no-op tasks."""
    missed: list[int] = []
    done = anyio.Event()

    async def read(*, task_status: TaskStatus[None]) -> None:
        left, lost = TOLD * n, 0
        async with opened.domain(Bench).events() as events:
            task_status.started()
            async for event in events:
                if isinstance(event, Lagged):
                    lost += event.count
                left -= event.count if isinstance(event, Lagged) else 1
                if left <= 0:
                    break
        missed.append(lost)
        if len(missed) == readers:
            done.set()

    async def kept_up() -> str | None:
        with anyio.fail_after(60):
            await done.wait()
        return f"a reader missed {max(missed)} events" if any(missed) else None

    async with anyio.create_task_group() as group:
        for _ in range(readers):
            await group.start(read)
        yield kept_up


async def _reads(setting: Setting) -> Sample:
    async with aiosqlite.connect(setting.database) as db:

        async def read_twice() -> None:
            for _ in range(2):
                await db.execute_fetchall("SELECT 1")

        median, late = percentiles(await _times(read_twice, min(POLLS, setting.n)))
    return Sample(n=setting.n, value=median, p99=late)


async def _times(verb: Callable[[], Awaitable[object]], calls: int) -> list[float]:
    """Seconds of this thread's time that each of so many calls takes."""
    taken: list[float] = []
    start = perf_counter()
    while len(taken) < calls and perf_counter() - start < POLLS * INTERVAL:
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

POLLING = (
    Scenario(
        name="snapshot",
        description="What a snapshot takes the event loop; tasks of 1,000 groups wait.",
        unit=Unit.MS,
        measure=_cost,
        floors=(READS,),
        target=AtMost(1.0),
    ),
    Scenario(
        name="drain-polled",
        description="Queued no-op tasks, while somebody takes ten snapshots a second.",
        measure=Trial(beside=_polled).measure,
        floors=(PLAIN_DRAIN,),
        target=OfFloor(0.99),
        target_n=50_000,
    ),
    *(
        Scenario(
            name=f"events-{readers}",
            description=f"A drain of which subscribers ({readers}) read every event.",
            measure=Trial(beside=partial(_heard, readers)).measure,
            floors=(PLAIN_DRAIN,),
        )
        for readers in (1, 10)
    ),
)
