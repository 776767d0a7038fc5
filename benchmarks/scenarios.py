"""What is measured: each scenario with its floors and the figure it is to reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter
from typing import TypeAlias, assert_never

import anyio
import attrs

from benchmarks import floors, places, polling, squeezing
from benchmarks.floors import Floor
from benchmarks.setting import Sample, Setting, Unit, percentiles, rate
from benchmarks.work import (
    HeldScheduler,
    Ledger,
    Step,
    batches,
    fill,
    find_problem,
    finish,
    held,
    scheduler,
    steps,
)
from taskmill import Scheduler

IN_FLIGHT = 50
PROBES = 200
"""How many submits the latency is taken from at most."""
SETTLED = 0.005
"""Seconds an idle scheduler is left alone before the next probe."""


@attrs.frozen
class AtLeast:
    """A rate to reach."""

    rate: float


@attrs.frozen
class AtMost:
    """A time in milliseconds to stay under."""

    ms: float


@attrs.frozen
class OfFloor:
    """A share of the floor's rate to reach."""

    share: float


Target: TypeAlias = AtLeast | AtMost | OfFloor


def is_met(target: Target, value: float, ratio: float) -> bool:
    """Whether a figure, and its ratio to the floor, is as good as ``target``."""
    match target:
        case AtLeast(rate=least):
            return value >= least
        case AtMost(ms=most):
            return value <= most
        case OfFloor(share=share):
            return ratio >= share
        case _:
            assert_never(target)


@attrs.frozen(kw_only=True)
class Scenario:
    """One thing to measure; the first floor is the one it is compared with."""

    name: str
    description: str
    unit: Unit
    measure: Callable[[Setting], Awaitable[Sample]]
    floors: tuple[Floor, ...]
    target: Target
    """Holds for a file and ``durability="power"``, and from `target_n` tasks."""
    target_n: int = 1
    concurrency: int | None = None
    """Its own number of slots; None takes the one that was asked for."""
    needs_file: bool = False


async def _submit(setting: Setting) -> Sample:
    async def one_at_a_time(opened: Scheduler, tasks: list[Step]) -> None:
        for task in tasks:
            await opened.submit(task)

    return await _submitting(setting, one_at_a_time)


async def _submit_in_flight(setting: Setting) -> Sample:
    async def feed(opened: Scheduler, tasks: Iterator[Step]) -> None:
        for task in tasks:
            await opened.submit(task)

    async def fifty_at_a_time(opened: Scheduler, tasks: list[Step]) -> None:
        rest = iter(tasks)
        async with anyio.create_task_group() as group:
            for _ in range(IN_FLIGHT):
                group.start_soon(feed, opened, rest)

    return await _submitting(setting, fifty_at_a_time)


async def _submit_many(setting: Setting) -> Sample:
    async def in_batches(opened: Scheduler, tasks: list[Step]) -> None:
        for batch in batches(tasks):
            await opened.submit_many(batch)

    return await _submitting(setting, in_batches)


async def _submitting(
    setting: Setting, submit: Callable[[Scheduler, list[Step]], Awaitable[None]]
) -> Sample:
    """Time the submits while nothing starts; then let everything run, to be counted."""
    ledger, tasks = Ledger(), steps(setting.n)
    async with held(setting, ledger) as full:
        start = perf_counter()
        await submit(full.scheduler, tasks)
        taken = perf_counter() - start
        full.release()
        return await _counted(full.scheduler, ledger, setting, taken)


async def _drain(setting: Setting) -> Sample:
    ledger = Ledger()
    if setting.in_memory:
        async with held(setting, ledger) as full:
            return await _drain_released(full, ledger, setting)
    await fill(setting)
    start = perf_counter()
    async with scheduler(setting, ledger) as opened:
        await finish(opened, setting.n)
        return await _counted(opened, ledger, setting, perf_counter() - start)


async def _drain_released(full: HeldScheduler, ledger: Ledger, setting: Setting) -> Sample:
    """Drain a database that is gone once it is closed: what is timed begins with its slots free."""
    for batch in batches(steps(setting.n)):
        await full.scheduler.submit_many(batch)
    start = perf_counter()
    full.release()
    await finish(full.scheduler, setting.n)
    return await _counted(full.scheduler, ledger, setting, perf_counter() - start)


async def _round_trip(setting: Setting) -> Sample:
    ledger, tasks = Ledger(), steps(setting.n)
    async with scheduler(setting, ledger) as opened:
        start = perf_counter()
        for batch in batches(tasks):
            await opened.submit_many(batch)
        await finish(opened, setting.n)
        return await _counted(opened, ledger, setting, perf_counter() - start)


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


async def _open(setting: Setting) -> Sample:
    await fill(setting)
    ledger = Ledger()
    start = perf_counter()
    async with scheduler(setting, ledger) as opened:
        taken = perf_counter() - start
        await finish(opened, setting.n)
        problem = await find_problem(opened, ledger, setting.n)
    return Sample(n=setting.n, value=taken * 1e3, problem=problem)


async def _counted(opened: Scheduler, ledger: Ledger, setting: Setting, taken: float) -> Sample:
    await finish(opened, setting.n)
    problem = await find_problem(opened, ledger, setting.n)
    return Sample(n=setting.n, value=rate(setting.n, taken), problem=problem)


SCENARIOS = (
    Scenario(
        name="submit",
        description="Submits awaited one at a time, while no slot is free.",
        unit=Unit.RATE,
        measure=_submit,
        floors=(floors.AWAITED_INSERT, floors.FSYNC),
        target=OfFloor(0.9),
    ),
    Scenario(
        name="submit-50",
        description="Submits with 50 in flight, while no slot is free.",
        unit=Unit.RATE,
        measure=_submit_in_flight,
        floors=(floors.GROUP_COMMIT,),
        target=AtLeast(30_000),
    ),
    Scenario(
        name="submit-many",
        description="submit_many of 1,000 tasks at a time, while no slot is free.",
        unit=Unit.RATE,
        measure=_submit_many,
        floors=(floors.EXECUTEMANY,),
        target=AtLeast(60_000),
    ),
    Scenario(
        name="drain",
        description="Queued no-op tasks, from opening the scheduler to the last settlement.",
        unit=Unit.RATE,
        measure=_drain,
        floors=(floors.CLAIM_AND_SETTLE, floors.BARE_TASK, floors.FSYNC),
        target=AtLeast(12_000),
    ),
    Scenario(
        name="drain-64",
        description="As drain, with 64 slots.",
        unit=Unit.RATE,
        measure=_drain,
        floors=(floors.CLAIM_AND_SETTLE, floors.BARE_TASK),
        target=AtLeast(15_000),
        concurrency=64,
    ),
    Scenario(
        name="round-trip",
        description="submit_many of 1,000 tasks at a time, run and settled, all in one time.",
        unit=Unit.RATE,
        measure=_round_trip,
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
        name="snapshot",
        description="What a snapshot takes the event loop; tasks of 1,000 groups wait.",
        unit=Unit.MS,
        measure=polling.cost,
        floors=(polling.READS,),
        target=AtMost(1.0),
    ),
    Scenario(
        name="drain-polled",
        description="Queued no-op tasks, while somebody takes ten snapshots a second.",
        unit=Unit.RATE,
        measure=polling.drain_polled,
        floors=(polling.UNWATCHED,),
        target=OfFloor(0.99),
        target_n=50_000,
    ),
    Scenario(
        name="processes",
        description="Real files compressed by two worker processes that are up.",
        unit=Unit.RATE,
        measure=squeezing.by_two_workers,
        floors=(squeezing.ONE_WORKER, squeezing.TWO_PROCESSES),
        target=OfFloor(1.6),
        target_n=squeezing.FILES,
    ),
    Scenario(
        name="executors",
        description="Queued no-op tasks in two worker processes that are up; the time for each.",
        unit=Unit.MS,
        measure=places.in_processes,
        floors=(
            places.INLINE,
            places.THREAD,
            places.INLINE_IN_MEMORY,
            places.THREAD_IN_MEMORY,
            places.PROCESS_IN_MEMORY,
            floors.PROCESS_POOL,
        ),
        target=AtMost(1.5),
        target_n=1000,
        needs_file=True,
    ),
)
