"""A service under load, with many features at once, that is killed at any moment.

    python -m tests.trust.victim DATABASE LEDGER SEED

Stands by until it may dispatch, then submits and runs all kinds of tasks until it is killed. What
it was told is durable, and what its handlers do, is written to the ledger.
"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from random import Random
from typing import Any

import anyio
import anyio.lowlevel

from taskmill import (
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Every,
    GroupPolicy,
    OnDependencyFailure,
    OnDuplicate,
    Permanent,
    Retention,
    RetryPolicy,
    Scheduler,
    Submitted,
    Task,
    TaskStatus,
)
from tests.trust.ledger import Ledger

MS = timedelta(milliseconds=1)
GROUPS = {
    "narrow": GroupPolicy(max_concurrency=2),
    "heavy": GroupPolicy(max_concurrency=5, weight=4),
}
CAPS = {"narrow": 2, "heavy": 5}


class Load(DomainKey, name="load"): ...


class Step(Task[Load, str], name="step"):
    """Waits a little and returns what it was given."""

    name: str
    wait_ms: int = 1


class Crunch(Task[Load, int], name="crunch"):
    """Computes in a thread."""

    number: int


class Flaky(Task[Load, str], name="flaky"):
    """Fails at its first attempt."""

    name: str


class Hopeless(Task[Load], name="hopeless"):
    """Fails for good."""

    name: str


class Parent(Task[Load, str], name="parent"):
    """Spawns children, and looks at them when they have ended."""

    name: str
    children: int = 3


class Tidy(Task[Load], name="tidy"):
    """Works until it is cancelled, and cleans up then."""

    name: str


class Beat(Task[Load], name="beat"):
    """Recurs."""


class Order(Task[Load, int], name="order"):
    """Is submitted in the transaction that makes its order."""

    number: int


@Step.handler
async def step(task: Step, ctx: Context[Load]) -> str:
    with ctx.state(Ledger).attempt(ctx):
        await anyio.sleep(task.wait_ms / 1000)
    return task.name


@Crunch.handler
def crunch(task: Crunch, ctx: Context[Load]) -> int:
    with ctx.state(Ledger).attempt(ctx):
        return sum(range(task.number))


@Flaky.handler
async def flaky(task: Flaky, ctx: Context[Load]) -> str:
    with ctx.state(Ledger).attempt(ctx):
        await anyio.lowlevel.checkpoint()
        if not ctx.record.errors:
            raise ValueError("no luck")
    return task.name


@Hopeless.handler
async def hopeless(task: Hopeless, ctx: Context[Load]) -> None:
    with ctx.state(Ledger).attempt(ctx):
        raise Permanent("as it is meant to")


async def execute_parent(task: Parent, ctx: Context[Load]) -> str:
    with ctx.state(Ledger).attempt(ctx):
        for number in range(task.children):
            await ctx.spawn(Step(name=f"{task.name}/{number}"))
    return task.name


async def finalize_parent(task: Parent, memo: str, ctx: Context[Load]) -> str:
    with ctx.state(Ledger).attempt(ctx, "finalize"):
        outcomes = {child.status for child in await ctx.children()}
    return memo if outcomes == {TaskStatus.COMPLETED} else str(outcomes)


parent = Parent.handler(execute_parent, finalize=finalize_parent)


async def execute_tidy(task: Tidy, ctx: Context[Load]) -> None:
    with ctx.state(Ledger).attempt(ctx):
        await anyio.sleep_forever()


async def undo_tidy(task: Tidy, ctx: Context[Load]) -> None:
    with ctx.state(Ledger).attempt(ctx, "undo"):
        await anyio.sleep(0.002)


tidy = Tidy.handler(execute_tidy, on_cancel=undo_tidy)


@Beat.handler
async def beat(task: Beat, ctx: Context[Load]) -> None:
    with ctx.state(Ledger).attempt(ctx):
        await anyio.lowlevel.checkpoint()


@Order.handler
async def order(task: Order, ctx: Context[Load]) -> int:
    with ctx.state(Ledger).attempt(ctx):
        return task.number


def domain(ledger: Ledger) -> Domain[Load]:
    """All of its handlers; the ledger has a line for each opening."""

    async def opened(handle: DomainHandle[Load]) -> None:
        ledger.write("boot")

    return Domain(
        Load,
        handlers=[step, crunch, flaky, hopeless, parent, tidy, beat, order],
        state=[ledger],
        on_start=opened,
        retry=RetryPolicy.constant(2, timedelta(milliseconds=3)),
        max_interruptions=1_000_000,
    )


def service(path: str, ledger: Ledger, *, standby: bool = False) -> Scheduler:
    """The scheduler of the service."""
    return Scheduler(
        path,
        domains=[domain(ledger)],
        groups=GROUPS,
        retention=Retention(count=None),
        max_concurrency=12,
        poll_interval=10 * MS,
        standby=standby,
    )


class Customer:
    """Submits all kinds of tasks, and says what was accepted."""

    def __init__(self, path: str, scheduler: Scheduler, ledger: Ledger, rng: Random) -> None:
        self.path, self.scheduler, self.ledger, self.rng = path, scheduler, ledger, rng
        self.deeds = [self.many, self.chain, self.family, self.cancelled, self.again]
        self.deeds += [self.enlisted, self.paused, self.failing]

    async def work(self) -> None:
        """One deed after the other, until killed."""
        while True:
            accepted = await self.rng.choice(self.deeds)()
            for submitted in accepted:
                await self.scheduler.wait(submitted.id)

    def name(self) -> str:
        return f"{self.rng.getrandbits(48):x}"

    def accept(self, accepted: list[Submitted[Any]]) -> list[Submitted[Any]]:
        for submitted in accepted:
            self.ledger.write("accept", submitted.id)
        return accepted

    async def many(self) -> list[Submitted[Any]]:
        steps = [Step(name=self.name(), wait_ms=self.rng.randrange(5)) for _ in range(10)]
        group = self.rng.choice(["narrow", "heavy", None])
        delay = self.rng.randrange(5) * MS
        many = await self.scheduler.submit_many(
            steps, group=group, delay=delay, tags={"of": "many"}, priority=self.rng.randrange(256)
        )
        crunching = await self.scheduler.submit(Crunch(number=self.rng.randrange(1 << 16)))
        return self.accept([*many, crunching])

    async def chain(self) -> list[Submitted[Any]]:
        links: list[Submitted[Any]] = []
        for _ in range(4):
            link = await self.scheduler.submit(Step(name=self.name()), depends_on=links[-2:])
            links += self.accept([link])
        return links

    async def family(self) -> list[Submitted[Any]]:
        return self.accept([await self.scheduler.submit(Parent(name=self.name()), group="heavy")])

    async def cancelled(self) -> list[Submitted[Any]]:
        accepted = self.accept([await self.scheduler.submit(Tidy(name=self.name()))])
        await anyio.sleep(self.rng.randrange(10) / 1000)
        if await self.scheduler.cancel(accepted[0].id):
            self.ledger.write("told", accepted[0].id)
        return accepted

    async def again(self) -> list[Submitted[Any]]:
        accepted: list[Submitted[Any]] = []
        how = self.rng.choice(list(OnDuplicate))
        key = f"key {self.rng.randrange(3)}"
        for _ in range(3):
            again = await self.scheduler.submit(
                Step(name=self.name(), wait_ms=3), key=key, on_duplicate=how
            )
            accepted += self.accept([again])
        return accepted

    async def enlisted(self) -> list[Submitted[Any]]:
        number = self.rng.getrandbits(48)
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=10)) as db:
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO orders VALUES (?)", (number,))
            submitted = await self.scheduler.submit(Order(number=number), connection=db)
            db.execute("COMMIT" if number % 4 else "ROLLBACK")
        if not number % 4:
            return []
        self.ledger.write("ordered", submitted.id, number)
        return self.accept([submitted])

    async def paused(self) -> list[Submitted[Any]]:
        await self.scheduler.pause_group("narrow")
        accepted = await self.scheduler.submit_many(
            [Step(name=self.name()) for _ in range(3)], group="narrow"
        )
        await self.scheduler.resume_group("narrow")
        return self.accept(accepted)

    async def failing(self) -> list[Submitted[Any]]:
        again = await self.scheduler.submit(Flaky(name=self.name()))
        never = await self.scheduler.submit(Hopeless(name=self.name()))
        held = await self.scheduler.submit(
            Step(name=self.name()),
            depends_on=[never],
            on_dependency_failure=self.rng.choice(
                [OnDependencyFailure.CANCEL, OnDependencyFailure.IGNORE]
            ),
        )
        return self.accept([again, never, held])


async def main() -> None:
    path, ledger = sys.argv[1], Ledger(sys.argv[2])
    rng = Random(sys.argv[3])  # noqa: S311 - what its customers do
    scheduler = service(path, ledger, standby=True)
    print("standing by", flush=True)
    async with scheduler, anyio.create_task_group() as customers:
        await scheduler.schedule(Beat(), Every(20 * MS), "beat")
        print("open", flush=True)
        for _ in range(6):
            customers.start_soon(Customer(path, scheduler, ledger, rng).work)


if __name__ == "__main__":
    anyio.run(main)
