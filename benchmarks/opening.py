"""What opening a file costs: one with queued tasks, and one whose tasks a killed process ran."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter

from benchmarks import floors
from benchmarks.floors import Floor
from benchmarks.kinds import Step
from benchmarks.scenario import AtMost, Scenario
from benchmarks.setting import Sample, Setting, Unit
from benchmarks.work import Ledger, batches, fill, find_problem, finish, scheduler
from taskmill.engine.clock import SystemClock
from taskmill.model.changes import Claim
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.store.sqlite.store import SqliteStore


async def _leave_running(setting: Setting) -> None:
    """Leave a file whose tasks were all claimed, and never settled: as a killed process does."""
    await fill(setting)
    store, now = SqliteStore(setting.database, durability=setting.durability), SystemClock().now()
    await store.open(now=now)
    waiting = Selection(types=frozenset([Step.task_type]), statuses=frozenset([TaskStatus.PENDING]))
    for batch in batches(await store.ids(waiting)):
        await store.apply([Claim(task, to_ms(now)) for task in batch])
    await store.close()


async def _open(setting: Setting, fill: Callable[[Setting], Awaitable[None]] = fill) -> Sample:
    await fill(setting)
    ledger = Ledger()
    start = perf_counter()
    async with scheduler(setting, ledger) as opened:
        taken = perf_counter() - start
        await finish(opened, setting.n)
        problem = await find_problem(opened, ledger, setting.n)
    return Sample(n=setting.n, value=taken * 1e3, problem=problem)


async def _recover(setting: Setting) -> Sample:
    return await _open(setting, _leave_running)


QUEUED = Floor(
    name="queued",
    description="opening a file with as many tasks that are queued",
    unit=Unit.MS,
    measure=_open,
)

OPENING = (
    Scenario(
        name="open",
        description="Opening a file with queued tasks, until submits are accepted.",
        unit=Unit.MS,
        measure=_open,
        floors=(floors.CONNECT,),
        target=AtMost(5_000),
        target_n=1_000_000,
        needs_file=True,
    ),
    Scenario(
        name="recovery",
        description="Opening a file whose tasks were all running when their process was killed.",
        unit=Unit.MS,
        measure=_recover,
        floors=(QUEUED,),
        target=AtMost(5_000),
        target_n=100_000,
        needs_file=True,
    ),
)
