"""The tasks that are measured, the count of their runs, and schedulers to run them on."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, TypeVar

import anyio
import attrs

from benchmarks.setting import Setting
from taskmill import Context, Domain, DomainKey, Scheduler, Stop, Task, TaskRecord, TaskStatus

T = TypeVar("T")


class Bench(DomainKey, name="bench"):
    """The tasks that count."""


class Step(Task[Bench], name="step"):
    """A task that does nothing but be counted."""

    number: int


class Plugs(DomainKey, name="plugs"):
    """The tasks that keep every slot taken while the others are submitted."""


class Plug(Task[Plugs], name="plug"):
    """A task that takes one slot."""

    number: int


@attrs.frozen
class Ledger:
    """Counts how often each task ran, and when it started last."""

    runs: Counter[int] = attrs.field(factory=Counter[int])
    started: dict[int, float] = attrs.field(factory=dict[int, float])

    async def run(self, step: Step, _: Context[Bench]) -> None:
        """Note one run; the handler of `Step`."""
        self.started[step.number] = perf_counter()
        self.runs[step.number] += 1


@attrs.frozen
class HeldScheduler:
    """An open scheduler on which nothing starts before `release`."""

    scheduler: Scheduler
    _released: anyio.Event

    def release(self) -> None:
        """Let the slots go."""
        self._released.set()


def steps(n: int) -> list[Step]:
    """Tasks 0 to n - 1."""
    return [Step(number=number) for number in range(n)]


def batches(tasks: Sequence[T], size: int = 1000) -> Iterable[Sequence[T]]:
    """The tasks in order, ``size`` at a time."""
    return (tasks[start : start + size] for start in range(0, len(tasks), size))


def scheduler(setting: Setting, ledger: Ledger) -> Scheduler:
    """A scheduler that runs steps."""
    return Scheduler(
        setting.database,
        domains=[Domain(Bench, handlers=[Step.handler(ledger.run)])],
        max_concurrency=setting.concurrency,
        durability=setting.durability,
    )


@asynccontextmanager
async def held(setting: Setting, ledger: Ledger) -> AsyncGenerator[HeldScheduler]:
    """Open a scheduler whose slots are all taken, so that steps can be queued on it."""
    plugged, released = anyio.Event(), anyio.Event()

    async def plug(task: Plug, _: Context[Plugs]) -> None:
        if task.number == setting.concurrency - 1:  # they start in the order of their submits
            plugged.set()
        await released.wait()

    opened = Scheduler(
        setting.database,
        domains=[
            Domain(Bench, handlers=[Step.handler(ledger.run)]),
            Domain(Plugs, handlers=[Plug.handler(plug)]),
        ],
        max_concurrency=setting.concurrency,
        durability=setting.durability,
        shutdown=Stop(),
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


async def find_problem(opened: Scheduler, ledger: Ledger, n: int) -> str | None:
    """What is wrong where steps 0 to n - 1 have not each run once, or the store disagrees."""
    missed = sum(1 for number in range(n) if not ledger.runs[number])
    if missed:
        return f"{missed} of {n} tasks did not run"
    repeated = [number for number, runs in ledger.runs.items() if runs > 1]
    if repeated:
        return f"{len(repeated)} tasks ran more than once, such as task {repeated[0]}"
    if len(ledger.runs) > n:
        return f"{len(ledger.runs) - n} tasks ran that nobody submitted"
    completed = await opened.domain(Bench).count(status=TaskStatus.COMPLETED)
    if completed != n:
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
