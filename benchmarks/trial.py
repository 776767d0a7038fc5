"""How a feature is measured: how tasks are queued, on what scheduler, and what of it is timed."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias, assert_never

import attrs

from benchmarks.floors import Floor
from benchmarks.kinds import steps
from benchmarks.setting import Sample, Setting, Stopwatch, Unit
from benchmarks.work import HeldScheduler, Ledger, Options, batches, find_problem, finish, held
from taskmill import Scheduler

Feed: TypeAlias = Callable[[Scheduler, int], Awaitable[None]]
"""Submits so many tasks, numbered from 0."""
KeptUp: TypeAlias = Callable[[], Awaitable[str | None]]
"""Returns once what goes on beside has kept up, and says what was wrong with it."""
Beside: TypeAlias = Callable[[Scheduler, int], AbstractAsyncContextManager[KeptUp]]
"""Goes on while so many tasks are queued and run."""


class Timed(enum.Enum):
    """What the time is taken of."""

    SUBMIT = "submit"
    """Queueing, while no slot is free."""
    DRAIN = "drain"
    """From the moment the slots are free to the last settlement; all is queued by then."""
    WHOLE = "whole"
    """Queueing, and until everything has ended; the slots are free from the start."""


async def plainly(opened: Scheduler, n: int) -> None:
    """Submit no-op tasks, 1,000 at a time."""
    for batch in batches(steps(n)):
        await opened.submit_many(batch)


@asynccontextmanager
async def nothing(_: Scheduler, __: int) -> AsyncGenerator[KeptUp]:
    """Let nothing go on beside."""
    yield _at_once


async def _at_once() -> None:
    return None


def as_asked(setting: Setting) -> Setting:
    """The setting that was asked for."""
    return setting


@attrs.frozen(kw_only=True)
class Trial:
    """One way to queue tasks and run them; what it does not say is as plain as can be."""

    feed: Feed = plainly
    timed: Timed = Timed.DRAIN
    options: Options = attrs.field(factory=lambda: Options())
    max_concurrency: int | None = None
    """The cap of the domain."""
    beside: Beside = nothing
    runs: int = 1
    """How often each task is to run."""
    least_kept: int | None = None
    """How many tasks the store has to have in the end at the least; None: all of them."""
    where: Callable[[Setting], Setting] = as_asked

    async def measure(self, asked: Setting) -> Sample:
        """Run it; tasks a second."""
        setting, ledger = self.where(asked), Ledger()
        cap = self.max_concurrency
        async with held(setting, ledger, max_concurrency=cap, **self.options) as full:
            async with self.beside(full.scheduler, setting.n) as kept_up:
                sample = await self._time(full, setting.n, kept_up)
            found = await find_problem(
                full.scheduler, ledger, setting.n, runs=self.runs, least_kept=self.least_kept
            )
        return attrs.evolve(sample, problem=found or sample.problem)

    async def _time(self, full: HeldScheduler, n: int, kept_up: KeptUp) -> Sample:
        """The sample, with what went wrong beside it."""
        match self.timed:
            case Timed.SUBMIT:
                watch = Stopwatch()
                await self.feed(full.scheduler, n)
                sample = watch.sample(n)
                full.release()
                await finish(full.scheduler, n)
                return attrs.evolve(sample, problem=await kept_up())
            case Timed.DRAIN:
                await self.feed(full.scheduler, n)
                watch = Stopwatch()
                full.release()
            case Timed.WHOLE:
                full.release()
                await finish(full.scheduler, 0)
                watch = Stopwatch()
                await self.feed(full.scheduler, n)
            case _:
                assert_never(self.timed)
        await finish(full.scheduler, n)
        problem = await kept_up()
        return attrs.evolve(watch.sample(n), problem=problem)


PLAIN_SUBMIT = Floor(
    name="plain submit",
    description="submit_many of 1,000 no-op tasks at a time, while no slot is free",
    unit=Unit.RATE,
    measure=Trial(timed=Timed.SUBMIT).measure,
)
PLAIN_DRAIN = Floor(
    name="plain drain",
    description="queued no-op tasks, from the moment the slots are free to the last settlement",
    unit=Unit.RATE,
    measure=Trial().measure,
)
PLAIN_ROUND_TRIP = Floor(
    name="plain round trip",
    description="submit_many of 1,000 no-op tasks at a time, run and settled, all in one time",
    unit=Unit.RATE,
    measure=Trial(timed=Timed.WHOLE).measure,
)
