"""What a task's life costs: submits, drains, both in one time, and the latency of a start."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

import anyio
import attrs

from benchmarks import floors
from benchmarks.kinds import Step, steps
from benchmarks.scenario import AtLeast, AtMost, OfFloor, Scenario
from benchmarks.setting import SETTLED, Sample, Setting, Stopwatch, Unit, percentiles
from benchmarks.trial import Timed, Trial
from benchmarks.work import Ledger, fill, find_problem, finish, scheduler
from taskmill import Scheduler

IN_FLIGHT = 50
PROBES = 200
"""How many submits the latency is taken from at most."""


async def _one_at_a_time(opened: Scheduler, n: int) -> None:
    for task in steps(n):
        await opened.submit(task)


async def _fifty_at_a_time(opened: Scheduler, n: int) -> None:
    async def feed(rest: Iterator[Step]) -> None:
        for task in rest:
            await opened.submit(task)

    rest = iter(steps(n))
    async with anyio.create_task_group() as group:
        for _ in range(IN_FLIGHT):
            group.start_soon(feed, rest)


async def _drain(setting: Setting) -> Sample:
    if setting.in_memory:  # it is gone once it is closed: there is no opening to be timed
        return await Trial().measure(setting)
    ledger = Ledger()
    await fill(setting)
    watch = Stopwatch()
    async with scheduler(setting, ledger) as opened:
        await finish(opened, setting.n)
        sample = watch.sample(setting.n)
        problem = await find_problem(opened, ledger, setting.n)
    return attrs.evolve(sample, problem=problem)


async def _latency(setting: Setting) -> Sample:
    ledger, tasks = Ledger(), steps(min(setting.n, PROBES))
    taken: list[float] = []
    async with scheduler(setting, ledger) as opened:
        for task in tasks:
            await anyio.sleep(SETTLED)
            start = perf_counter()
            await opened.submit(task)
            await finish(opened, 1)
            taken.append(ledger.started.get(task.number, start) - start)
        problem = await find_problem(opened, ledger, len(tasks))
    median, late = percentiles(taken)
    return Sample(n=len(tasks), value=median, p99=late, problem=problem)


LIFE = (
    Scenario(
        name="submit",
        description="Submits awaited one at a time, while no slot is free.",
        measure=Trial(feed=_one_at_a_time, timed=Timed.SUBMIT).measure,
        floors=(floors.AWAITED_INSERT, floors.FSYNC),
        target=OfFloor(0.9),
    ),
    Scenario(
        name="submit-50",
        description="Submits with 50 in flight, while no slot is free.",
        measure=Trial(feed=_fifty_at_a_time, timed=Timed.SUBMIT).measure,
        floors=(floors.GROUP_COMMIT,),
        target=AtLeast(30_000),
    ),
    Scenario(
        name="submit-many",
        description="submit_many of 1,000 tasks at a time, while no slot is free.",
        measure=Trial(timed=Timed.SUBMIT).measure,
        floors=(floors.EXECUTEMANY,),
        target=AtLeast(60_000),
    ),
    Scenario(
        name="drain",
        description="Queued no-op tasks, from opening the scheduler to the last settlement.",
        measure=_drain,
        floors=(floors.CLAIM_AND_SETTLE, floors.BARE_TASK, floors.FSYNC),
        target=AtLeast(12_000),
    ),
    Scenario(
        name="drain-64",
        description="As drain, with 64 slots.",
        measure=_drain,
        floors=(floors.CLAIM_AND_SETTLE, floors.BARE_TASK),
        target=AtLeast(15_000),
        concurrency=64,
    ),
    Scenario(
        name="round-trip",
        description="submit_many of 1,000 tasks at a time, run and settled, all in one time.",
        measure=Trial(timed=Timed.WHOLE).measure,
        floors=(floors.WHOLE_LIFE,),
        target=AtLeast(10_000),
    ),
    Scenario(
        name="latency",
        description="From a submit to the start of its handler, on an idle scheduler.",
        unit=Unit.MS,
        measure=_latency,
        floors=(floors.TWO_COMMITS, floors.FSYNC),
        target=AtMost(0.8),
    ),
)
