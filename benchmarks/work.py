"""The count of the runs of the tasks that are measured, and schedulers to run them on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypedDict, TypeVar

import anyio
import attrs
from typing_extensions import Unpack

from benchmarks.kinds import (
    Bench,
    Flaky,
    Grouped,
    Keyed,
    Numbered,
    Parent,
    Plug,
    Plugs,
    Sized,
    Step,
    Tagged,
    steps,
)
from benchmarks.setting import Setting
from taskmill import (
    Aging,
    Context,
    Domain,
    DomainKey,
    GroupPolicy,
    RateLimit,
    Retention,
    Scheduler,
    Stop,
    Task,
    TaskRecord,
    TaskStatus,
)

T = TypeVar("T")


class Options(TypedDict, total=False):
    """What a scheduler that is measured can be given."""

    groups: Mapping[str, GroupPolicy]
    rates: Mapping[type[Task[Any, Any]], RateLimit]
    aging: Aging
    retention: Retention


@attrs.frozen
class Ledger:
    """Counts how often each task ran, and when it started last."""

    runs: Counter[int] = attrs.field(factory=Counter[int])
    started: dict[int, float] = attrs.field(factory=dict[int, float])

    async def run(self, step: Numbered, _: Context[Bench]) -> None:
        """Note one run; the handler of those that do nothing else."""
        self.started[step.number] = perf_counter()
        self.runs[step.number] += 1

    async def fail_once(self, step: Flaky, ctx: Context[Bench]) -> None:
        """Note one run, and fail if it is the first attempt."""
        await self.run(step, ctx)
        if ctx.attempt == 1:
            raise ConnectionError("the first attempt of each fails")

    async def produce(self, step: Sized, ctx: Context[Bench]) -> str:
        """Note one run, and return as much as is asked for."""
        await self.run(step, ctx)
        return "x" * step.size

    async def spawn(self, step: Parent, ctx: Context[Bench]) -> None:
        """Note one run, and spawn the steps that come after this one."""
        await self.run(step, ctx)
        for batch in batches(steps(step.count)[step.number + 1 :]):
            await ctx.spawn_many(batch)

    def domain(self, *, max_concurrency: int | None = None) -> Domain[Bench]:
        """The domain whose tasks are counted here."""
        handlers = [
            Step.handler(self.run),
            Grouped.handler(self.run),
            Tagged.handler(self.run),
            Keyed.handler(self.run),
            Flaky.handler(self.fail_once),
            Sized.handler(self.produce),
            Parent.handler(self.spawn),
        ]
        return Domain(Bench, handlers=handlers, max_concurrency=max_concurrency)


@attrs.frozen
class HeldScheduler:
    """An open scheduler on which nothing starts before `release`."""

    scheduler: Scheduler
    _released: anyio.Event

    def release(self) -> None:
        """Let the slots go."""
        self._released.set()


def batches(tasks: Sequence[T], size: int = 1000) -> Iterable[Sequence[T]]:
    """The tasks in order, ``size`` at a time."""
    return (tasks[start : start + size] for start in range(0, len(tasks), size))


def scheduler(setting: Setting, ledger: Ledger) -> Scheduler:
    """A scheduler that runs steps."""
    return Scheduler(
        setting.database,
        domains=[ledger.domain()],
        max_concurrency=setting.concurrency,
        durability=setting.durability,
    )


@asynccontextmanager
async def held(
    setting: Setting,
    ledger: Ledger,
    *,
    max_concurrency: int | None = None,
    **options: Unpack[Options],
) -> AsyncGenerator[HeldScheduler]:
    """Open a scheduler whose slots are all taken, so that steps can be queued on it.

    ``max_concurrency`` is that of the domain.
    """
    plugged, released = anyio.Event(), anyio.Event()

    async def plug(task: Plug, _: Context[Plugs]) -> None:
        if task.number == setting.concurrency - 1:  # they start in the order of their submits
            plugged.set()
        await released.wait()

    opened = Scheduler(
        setting.database,
        domains=[
            ledger.domain(max_concurrency=max_concurrency),
            Domain(Plugs, handlers=[Plug.handler(plug)]),
        ],
        max_concurrency=setting.concurrency,
        durability=setting.durability,
        shutdown=Stop(),
        **options,
    )
    async with opened:
        await opened.submit_many(Plug(number=number) for number in range(setting.concurrency))
        await plugged.wait()
        yield HeldScheduler(opened, released)


async def drain_timed(opened: Scheduler, tasks: Sequence[Task[Any, Any]]) -> float:
    """Queue tasks while nothing may start, and return the seconds from then until all have ended.

    The executors stay as they are: a worker process that is up is not started again.
    """
    await opened.pause()
    for batch in batches(tasks):
        await opened.submit_many(batch)
    start = perf_counter()
    await opened.resume()
    await finish(opened, len(tasks))
    return perf_counter() - start


async def fill(setting: Setting) -> None:
    """Leave a file with ``setting.n`` steps pending in it."""
    async with held(setting, Ledger()) as full:
        for batch in batches(steps(setting.n)):
            await full.scheduler.submit_many(batch)


async def finish(opened: Scheduler, n: int) -> None:
    """Wait until ``n`` steps have come to their ends; TimeoutError long after they should have."""
    with anyio.fail_after(60 + n / 100):
        await opened.idle()


async def find_problem(
    opened: Scheduler, ledger: Ledger, n: int, *, runs: int = 1, least_kept: int | None = None
) -> str | None:
    """What is wrong where steps 0 to n - 1 have not each run as often, or the store disagrees.

    ``least_kept`` is how many of the ``n`` it has to have at the least; None: all of them.
    """
    missed = sum(1 for number in range(n) if ledger.runs[number] < runs)
    if missed:
        return f"{missed} of {n} tasks did not run{'' if runs == 1 else f' {runs} times'}"
    repeated = [number for number, times in ledger.runs.items() if times > runs]
    if repeated:
        often = "once" if runs == 1 else f"{runs} times"
        return f"{len(repeated)} tasks ran more than {often}, such as task {repeated[0]}"
    if len(ledger.runs) > n:
        return f"{len(ledger.runs) - n} tasks ran that nobody submitted"
    completed = await opened.domain(Bench).count(status=TaskStatus.COMPLETED)
    if not (n if least_kept is None else min(n, least_kept)) <= completed <= n:
        return f"{n} tasks ran, and the store has {completed} as completed"
    return None


async def ended(opened: Scheduler, key: type[DomainKey]) -> list[TaskRecord]:
    """The records of all tasks of a domain that have ended."""
    records: list[TaskRecord] = []
    after = None
    while True:
        page = await opened.domain(key).history(limit=10_000, after=after)
        records += page
        after = page.next
        if after is None:
            return records


def find_rerun(records: Sequence[TaskRecord], n: int) -> str | None:
    """What is wrong where these are not ``n`` tasks that ran once and completed.

    For handlers in other processes, whose runs no `Ledger` sees.
    """
    if len(records) != n:
        return f"{len(records)} of {n} tasks have ended"
    for record in records:
        if record.status is not TaskStatus.COMPLETED or record.run != 1:
            return f"task {record.id} was {record.status.value} by run {record.run}"
    return None
