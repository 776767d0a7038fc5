"""Two domains that use every feature, and behave as their payloads say."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from random import Random
from typing import Any

import anyio

from taskmill import (
    Aging,
    Cancel,
    Context,
    Domain,
    DomainKey,
    GroupPolicy,
    Jitter,
    Permanent,
    RateLimit,
    Retention,
    RetryAfter,
    RetryPolicy,
    Scheduler,
    Snooze,
    Task,
)
from taskmill.testing import Bounds, Trial, World

SECOND = timedelta(seconds=1)


class Mill(DomainKey, name="mill"): ...


class Press(DomainKey, name="press"): ...


class Grind(Task[Mill, int], name="grind", max_interruptions=2):
    """Does what its script says, an act for each attempt; the last one again and again."""

    acts: tuple[str, ...]

    def task_group(self) -> str | None:
        return {"work": "stones", "slow": "sacks"}.get(self.acts[0])


class Batch(Task[Mill, int], name="batch", fail_fast=False):
    """Has children, and adds up what they have made of themselves."""

    acts: tuple[str, ...]


class Chain(Task[Mill], name="chain"):
    """Has children, and fails with the first of them."""

    acts: tuple[str, ...]


class Order(Task[Mill], name="order"):
    """Undoes itself when it is cancelled."""

    acts: tuple[str, ...]


class Print(Task[Press, str], name="print"):
    """Is done by a plain function."""

    text: str


class Bind(Task[Press], name="bind"):
    """Is limited in its rate."""

    acts: tuple[str, ...]


async def act(what: str, ctx: Context[Any]) -> None:  # noqa: C901 - a case each
    match what:
        case "quick":
            return
        case "work":
            ctx.progress(0.1, "begun")
            await anyio.sleep(0.4)
            ctx.progress(0.9, "nearly")
        case "slow":
            for part in range(10):
                ctx.progress_of(part, 10)
                await anyio.sleep(0.6)
        case "fail":
            await anyio.sleep(0.05)
            raise ValueError("as its script says")
        case "permanent":
            raise Permanent("for good")
        case "later":
            raise RetryAfter(2 * SECOND)
        case "snooze":
            raise Snooze(SECOND)
        case "give up":
            raise Cancel("no use")
        case "stubborn":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
        case "tag":
            await ctx.set_tags({"ground": "yes"})
        case "exit":
            raise SystemExit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "die":
            if ctx.state(World).crashes < 6:  # a schedule makes such tasks for ever
                await ctx.state(World).crash()
        case "spawn":
            await ctx.spawn(Grind(acts=("quick",)))
        case _:
            raise AssertionError(what)


def now(acts: tuple[str, ...], ctx: Context[Any]) -> str:
    what = acts[min(ctx.attempt, len(acts)) - 1]
    return "quick" if what == "snooze" and ctx.record.run > 6 else what


@Grind.handler
async def grind(task: Grind, ctx: Context[Mill]) -> int:
    await act(now(task.acts, ctx), ctx)
    return ctx.attempt


async def run_batch(task: Batch, ctx: Context[Mill]) -> int:
    await ctx.spawn_many([Grind(acts=(each,)) for each in task.acts])
    await anyio.sleep(0.1)
    return len(task.acts)


async def add_up(task: Batch, made: int, ctx: Context[Mill]) -> int:
    children = await ctx.children()
    assert all(child.status.is_terminal for child in children)
    await anyio.sleep(0.1)
    return made


@Chain.handler
async def chain(task: Chain, ctx: Context[Mill]) -> None:
    for each in task.acts:
        await ctx.spawn(Grind(acts=(each,)))
    if task.acts[0] == "slow":
        await ctx.spawn(Chain(acts=("fail",)))
    await ctx.domain(Press).submit(Print(text=task.acts[0]), parent=ctx.id)


async def run_order(task: Order, ctx: Context[Mill]) -> None:
    await act(now(task.acts, ctx), ctx)


async def undo_order(task: Order, ctx: Context[Mill]) -> None:
    await anyio.sleep(0.2)


@Print.handler
def print_(task: Print, ctx: Context[Press]) -> str:
    ctx.progress(1)
    if task.text == "odd":
        return "\ud800"
    return task.text


@Bind.handler
async def bind(task: Bind, ctx: Context[Press]) -> None:
    await act(now(task.acts, ctx), ctx)


def domains() -> list[Domain[Any]]:
    """The two domains."""
    batch = Batch.handler(run_batch, finalize=add_up)
    order = Order.handler(run_order, on_cancel=undo_order)
    retry = RetryPolicy.exponential(2, base=SECOND / 2, max_delay=4 * SECOND, jitter=Jitter.FULL)
    mill = Domain(Mill, handlers=[grind, batch, chain, order], max_concurrency=3, retry=retry)
    press = Domain(Press, handlers=[print_, bind], retry=RetryPolicy.constant(1, SECOND))
    return [mill, press]


DOMAINS = domains()
RATE = RateLimit(3, per=SECOND, burst=2)


def scheduler(world: World) -> Scheduler:
    """A scheduler with every kind of limit."""
    return Scheduler(
        **world.parts,
        domains=DOMAINS,
        state=[world],
        max_concurrency=4,
        groups={
            "stones": GroupPolicy(max_concurrency=2, weight=3),
            "sacks": GroupPolicy(max_concurrency=2, min_slots=1),
        },
        rates={Bind: RATE},
        aging=Aging(grace=2 * SECOND, step=SECOND),
        retention=Retention(count=None),
    )


ACTS = (
    *["quick", "work", "work", "slow", "fail", "fail", "permanent", "later", "snooze", "give up"],
    *["stubborn", "tag", "exit", "interrupt", "spawn"],
)


def task(rng: Random) -> Task[Any, Any]:
    """Any of the tasks; few different ones, so that many are duplicates."""
    acts = tuple(rng.choice(ACTS) for _ in range(rng.randint(1, 3)))
    if rng.random() < 0.03:
        acts = ("die", "quick")
    kinds: Mapping[int, type[Any]] = {0: Batch, 1: Chain, 2: Order, 3: Bind}
    which = rng.randrange(8)
    if which == 7:
        return Print(text=rng.choice(["a", "b", "odd"]))
    made: Task[Any, Any] = kinds.get(which, Grind)(acts=acts)
    return made


BOUNDS = Bounds(
    max_concurrency=4,
    domains={"mill": 3, "press": None},
    groups={"stones": 2, "sacks": 2},
    rates={"press::bind": RATE},
)

EVERYTHING = Trial(scheduler=scheduler, domains=[Mill, Press], task=task, bounds=BOUNDS)
