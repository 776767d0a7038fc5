"""An application under a load of every kind: each round is one small story, from submit to end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import anyio

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Every,
    GroupPolicy,
    InvalidState,
    OnDuplicate,
    Permanent,
    Priority,
    ProcessExecutor,
    RateLimit,
    Retention,
    RetryPolicy,
    Scheduler,
    Snooze,
    Submitted,
    Task,
    TaskmillError,
    TaskPruned,
    TaskStatus,
    UnknownTaskError,
)

MS = timedelta(milliseconds=1)
SECOND = timedelta(seconds=1)
LONG = 1000.0


class Yard(DomainKey, name="yard"): ...


class Annexe(DomainKey, name="annexe"): ...


class Quick(Task[Yard, int], name="quick"):
    number: int

    def task_tags(self) -> Mapping[str, str]:
        return {"number": str(self.number)}


class Fails(Task[Yard], name="fails", retry=RetryPolicy.constant(2, 5 * MS)):
    """Fails for good, until its retries are spent, or once; it snoozes too."""

    number: int


class Sleeps(Task[Yard], name="sleeps"):
    number: int
    seconds: float = LONG


class Family(Task[Yard, int], name="family", fail_fast=False):
    number: int


class InThread(Task[Annexe, int], name="in-thread"):
    number: int


class InProcess(Task[Annexe, int], name="in-process", executor="process"):
    number: int


@Quick.handler
async def quick(task: Quick, ctx: Context[Yard]) -> int:
    ctx.progress(0.5, f"number {task.number}")
    await anyio.lowlevel.checkpoint()
    return task.number


@Fails.handler
async def fails(task: Fails, ctx: Context[Yard]) -> None:
    if ctx.record.run == 1 and task.number % 4 == 0:
        raise Snooze(2 * MS)
    if task.number % 3 == 0:
        raise Permanent("x" * 2000)
    if task.number % 3 == 1 or ctx.attempt == 1:
        raise ValueError(f"no luck with {task.number}")


async def sleep(task: Sleeps, ctx: Context[Yard]) -> None:
    await anyio.sleep(task.seconds)


async def tidy(task: Sleeps, ctx: Context[Yard]) -> None:
    ctx.log.debug("tidied")


async def raise_family(task: Family, ctx: Context[Yard]) -> int:
    await ctx.spawn_many([Quick(number=task.number * 10 + child) for child in range(3)])
    await ctx.spawn(Fails(number=task.number))
    return 3


async def count_family(task: Family, born: int, ctx: Context[Yard]) -> int:
    return born + len(await ctx.children())


@InThread.handler
def in_thread(task: InThread, ctx: Context[Annexe]) -> int:
    ctx.progress_of(1, 2)
    return task.number


@InProcess.handler
def in_process(task: InProcess, ctx: Context[Annexe]) -> int:
    ctx.progress_of(1, 2)
    return task.number


def domains() -> list[Domain[Any]]:
    sleeps = Sleeps.handler(sleep, on_cancel=tidy)
    family = Family.handler(raise_family, finalize=count_family)
    return [
        Domain(Yard, handlers=[quick, fails, sleeps, family], tags={"place": "yard"}),
        Domain(Annexe, handlers=[in_thread, in_process], max_concurrency=4),
    ]


def burdened(path: str, *, kept: int, **options: Any) -> Scheduler:
    """The scheduler under load, keeping ``kept`` tasks of each end."""
    return Scheduler(
        path,
        domains=domains(),
        groups={
            "heavy": GroupPolicy(weight=5, min_slots=2),
            "slow": GroupPolicy(max_concurrency=1, rate=RateLimit(200, burst=10)),
        },
        group_default=GroupPolicy(max_concurrency=4),
        rates={Quick: RateLimit(5000)},
        executors={"process": ProcessExecutor(1)},
        retention=Retention(count=kept, failed=kept, dead=kept, min_age=timedelta(0)),
        **options,
    )


async def plain(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    assert await yard.result(await yard.submit(Quick(number=n), unique_for=50 * MS)) == n
    batch = await yard.submit_many([Quick(number=n + i) for i in range(10)], group="heavy")
    await _ended(app, *batch)


async def grouped(app: Scheduler, n: int) -> None:
    """Names that never come again: of groups, tags, keys and labels."""
    yard = app.domain(Yard)
    name = f"once-{n}"
    tasks = [
        await yard.submit(
            Quick(number=n), group=group, key=f"{name}-{group}", label=name, tags={"job": name}
        )
        for group in (name, "slow")
    ]
    await _ended(app, *tasks)
    app.set_group(f"set-{n % 5}", GroupPolicy(max_concurrency=n % 7 + 1, rate=RateLimit(100)))


async def failing(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    tasks = [await yard.submit(Fails(number=n + i)) for i in range(4)]
    await _ended(app, *tasks)
    with suppress(InvalidState, UnknownTaskError):
        await yard.retry(tasks[0].id)
    await _ended(app, tasks[0])


async def dependent(app: Scheduler, n: int) -> None:
    yard, annexe = app.domain(Yard), app.domain(Annexe)
    first = await yard.submit(Fails(number=n), delay=5 * MS)
    third = await yard.submit(Quick(number=n), delay=5 * MS)
    submitted: list[Submitted[Any]] = [first, third]
    with suppress(TaskPruned):  # where the disk is slow, those may be over and deleted by now
        submitted.append(await annexe.submit(InThread(number=n), depends_on=[first.id]))
        fourth = await yard.submit(Sleeps(number=n, seconds=0), depends_on=[third.id])
        submitted.append(fourth)
    await _ended(app, *submitted)


async def parental(app: Scheduler, n: int) -> None:
    await _ended(app, await app.domain(Yard).submit(Family(number=n)))


async def cancelled(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    running = await yard.submit(Sleeps(number=n), tags={"cancel": str(n)}, priority=Priority.HIGH)
    waiting = await yard.submit(Sleeps(number=n + 1), delay=timedelta(hours=1))
    await yard.reprioritise(waiting.id, 3)
    await anyio.sleep(0.01)
    await yard.cancel(waiting.id)
    await yard.cancel_where(tags={"cancel": str(n)})
    await _ended(app, running, waiting)


async def doubled(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    first = await yard.submit(Sleeps(number=n, seconds=0.02), key=f"twice-{n}")
    await anyio.sleep(0.005)
    second = await yard.submit(Sleeps(number=n, seconds=0.01), key=f"twice-{n}")
    third = await yard.submit(
        Sleeps(number=n, seconds=0), key=f"twice-{n}", on_duplicate=OnDuplicate.SUPERSEDE
    )
    await _ended(app, first, second, third)


async def expired(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    late = await yard.submit(Quick(number=n), delay=timedelta(hours=1), ttl=10 * MS)
    slow = await yard.submit(Sleeps(number=n), timeout=10 * MS, max_retries=1, retry=AT_ONCE)
    await _ended(app, late, slow)


AT_ONCE = RetryPolicy.constant(1, timedelta(0))


async def elsewhere(app: Scheduler, n: int) -> None:
    annexe = app.domain(Annexe)
    await _ended(app, *[await annexe.submit(InThread(number=n + i)) for i in range(4)])
    with suppress(TaskmillError):
        await annexe.wait(await _id(annexe.submit(InThread(number=n))), timeout=timedelta(0))


async def in_worker(app: Scheduler, n: int) -> None:
    await _ended(app, await app.domain(Annexe).submit(InProcess(number=n)))


async def recurring(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    name = f"every-{n}"
    await yard.schedule(Quick(number=n), Every(5 * MS, max_runs=3), name)
    await anyio.sleep(0.03)
    with suppress(UnknownTaskError, InvalidState, LookupError):
        await yard.cancel_schedule(name)


async def paused(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    await yard.pause_group(f"held-{n % 5}")
    held = await yard.submit(Quick(number=n), group=f"held-{n % 5}")
    await anyio.sleep(0.005)
    await yard.resume_group(f"held-{n % 5}")
    await _ended(app, held)


async def looked_at(app: Scheduler, n: int) -> None:
    yard = app.domain(Yard)
    task = await yard.submit(Quick(number=n))
    async with yard.events(Quick) as events:
        another = await yard.submit(Quick(number=n + 1))
        await events.__anext__()
        await yard.explain(another.id)
    await app.snapshot()
    await yard.snapshot()
    await yard.stats(Quick)
    await yard.count(tags={"place": "yard"})
    await yard.tasks(limit=20, status=[TaskStatus.COMPLETED, TaskStatus.PENDING])
    app.metrics()
    await _ended(app, task, another)


Story = Callable[[Scheduler, int], Awaitable[None]]

STORIES: Sequence[Story] = (
    plain,
    grouped,
    failing,
    dependent,
    parental,
    cancelled,
    doubled,
    expired,
    elsewhere,
    recurring,
    paused,
    looked_at,
)

FROM_ELSEWHERE = (plain, failing, dependent, cancelled, doubled)
"""Those that another process can tell as well."""


async def _id(submitting: Awaitable[Submitted[Any]]) -> Any:
    return (await submitting).id


async def _ended(app: Scheduler, *tasks: Submitted[Any]) -> None:
    for task in tasks:
        with suppress(UnknownTaskError, LookupError):  # retention was sooner
            await app.wait(task.id, timeout=600 * SECOND)
