"""What a scheduler costs that has nothing to do: its share of a CPU."""

from __future__ import annotations

from time import perf_counter, process_time

import anyio

from benchmarks.floors import Floor
from benchmarks.kinds import steps
from benchmarks.scenario import AtMost, Scenario
from benchmarks.setting import Sample, Setting, Unit
from benchmarks.work import Ledger, batches, find_problem, finish, scheduler

LONGEST = 3.0
"""For how many seconds it is looked at, at the most."""
SETTLED = 4.0
"""Seconds after the last task until then."""


async def _idle(setting: Setting) -> Sample:
    ledger = Ledger()
    async with scheduler(setting, ledger) as opened:
        for batch in batches(steps(setting.n)):
            await opened.submit_many(batch)
        await finish(opened, setting.n)
        share = await _used(setting)
        problem = await find_problem(opened, ledger, setting.n)
    return Sample(n=setting.n, value=share, problem=problem)


async def _sleep(setting: Setting) -> Sample:
    return Sample(n=setting.n, value=await _used(setting))


async def _used(setting: Setting) -> float:
    """The share of a CPU that this process uses while nothing is to be done, in percent."""
    await anyio.sleep(min(SETTLED, setting.n / 1000))
    since, used = perf_counter(), process_time()
    await anyio.sleep(min(LONGEST, setting.n / 1000))
    return (process_time() - used) / (perf_counter() - since) * 100


ASLEEP = Floor(
    name="asleep",
    description="an event loop in which nothing goes on, for as long",
    unit=Unit.PERCENT,
    measure=_sleep,
)

IDLING = (
    Scenario(
        name="idle",
        description="The CPU that a scheduler uses while it has nothing to do, up to 3 s.",
        unit=Unit.PERCENT,
        measure=_idle,
        floors=(ASLEEP,),
        target=AtMost(0.1),
        target_n=int(LONGEST * 1000),
    ),
)
