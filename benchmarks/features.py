"""What each feature costs: the same no-op tasks with it and without it, in the same turns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs

from benchmarks.kinds import (
    GROUPS,
    Flaky,
    Grouped,
    Keyed,
    Parent,
    Sized,
    Tagged,
    group_name,
    steps,
)
from benchmarks.scenario import OfFloor, Scenario
from benchmarks.trial import (
    PLAIN_DRAIN,
    PLAIN_ROUND_TRIP,
    PLAIN_SUBMIT,
    Feed,
    Timed,
    Trial,
    plainly,
)
from benchmarks.work import Options, batches
from taskmill import Aging, GroupPolicy, RateLimit, Retention, Scheduler, Task

PLENTY = 1_000_000
"""A rate and a cap that hold nothing."""
RATE = RateLimit(PLENTY)
LEVELS = (64, 96, 128, 192, 255)
KEPT = 100
"""How many ended tasks are kept where the history is pruned."""
WAITING_AGES = Aging(grace=timedelta(0), step=timedelta(seconds=1))


# --- how tasks are queued ---


def _of(kind: Callable[..., Task[Any, Any]], **fields: int) -> Feed:
    """Submit tasks of a type with these fields, 1,000 at a time."""

    async def feed(opened: Scheduler, n: int) -> None:
        for batch in batches(range(n)):
            await opened.submit_many(kind(number=number, **fields) for number in batch)

    return feed


async def _chained(opened: Scheduler, n: int) -> None:
    first, *others = steps(n)
    before = await opened.submit(first)
    for task in others:
        before = await opened.submit(task, depends_on=[before])


async def _gathered(opened: Scheduler, n: int) -> None:
    *before, last = steps(n)
    submitted = [each for batch in batches(before) for each in await opened.submit_many(batch)]
    await opened.submit(last, depends_on=submitted)


async def _spread(opened: Scheduler, n: int) -> None:
    first, *others = steps(n)
    before = await opened.submit(first)
    for batch in batches(others):
        await opened.submit_many(batch, depends_on=[before])


async def _family(opened: Scheduler, n: int) -> None:
    parent = await opened.submit(Parent(number=0, count=n))
    await opened.wait(parent.id)


async def _mixed(opened: Scheduler, n: int) -> None:
    tasks = steps(n)
    for index, priority in enumerate(LEVELS):
        for batch in batches(tasks[index :: len(LEVELS)]):
            await opened.submit_many(batch, priority=priority)


async def _twice(opened: Scheduler, n: int) -> None:
    await plainly(opened, n)
    await plainly(opened, n)


# --- the scenarios ---


def _groups(policy: Callable[[int], GroupPolicy]) -> dict[str, GroupPolicy]:
    return {group_name(number): policy(number) for number in range(GROUPS)}


ALL_GATES = Options(
    groups=_groups(lambda n: GroupPolicy(max_concurrency=PLENTY, rate=RATE, weight=1 + n % 3)),
    rates={Grouped: RATE},
    aging=WAITING_AGES,
)
SHARES = Options(groups=_groups(lambda n: GroupPolicy(weight=1 + n % 3)))
RATES = Options(groups=_groups(lambda _: GroupPolicy(rate=RATE)), rates={Grouped: RATE})
ONE_BY_ONE = (
    ("groups", "1,000 groups", Options()),
    ("shares", "1,000 groups with weights", SHARES),
    ("rates", "1,000 groups, with rates of the type and the groups that hold nothing", RATES),
    ("aging", "1,000 groups, that become more urgent each second", Options(aging=WAITING_AGES)),
)
"""The gates of `ALL_GATES`, each alone."""

GATES = (
    Scenario(
        name="drain-gates",
        description="A drain of 1,000 groups, all of it on: weights, caps, rates, aging.",
        measure=Trial(feed=_of(Grouped), options=ALL_GATES, max_concurrency=PLENTY).measure,
        floors=(PLAIN_DRAIN,),
        target=OfFloor(0.85),
        target_n=5000,
    ),
    *(
        Scenario(
            name=f"drain-{name}",
            description=f"A drain of tasks of {what}.",
            measure=Trial(feed=_of(Grouped), options=options).measure,
            floors=(PLAIN_DRAIN,),
        )
        for name, what, options in ONE_BY_ONE
    ),
    Scenario(
        name="priorities",
        description="A drain of tasks of five priorities, those of each queued together.",
        measure=Trial(feed=_mixed).measure,
        floors=(PLAIN_DRAIN,),
    ),
)

LINKS = (
    Scenario(
        name="retry",
        description="A drain of tasks of which each fails once, and is retried at once.",
        measure=Trial(feed=_of(Flaky), runs=2).measure,
        floors=(PLAIN_DRAIN,),
    ),
    Scenario(
        name="chain",
        description="A drain of tasks of which each depends on the one before; one slot.",
        measure=Trial(feed=_chained).measure,
        floors=(PLAIN_DRAIN,),
        most_n=2000,
        concurrency=1,
    ),
    Scenario(
        name="fan-in",
        description="A drain of tasks and of one that depends on all of them.",
        measure=Trial(feed=_gathered).measure,
        floors=(PLAIN_DRAIN,),
    ),
    Scenario(
        name="fan-out",
        description="A drain of one task and of those that all depend on it.",
        measure=Trial(feed=_spread).measure,
        floors=(PLAIN_DRAIN,),
    ),
    Scenario(
        name="children",
        description="A task that spawns all others and is awaited, from its submit on.",
        measure=Trial(feed=_family, timed=Timed.WHOLE).measure,
        floors=(PLAIN_ROUND_TRIP,),
    ),
)

LOADS = (
    *(
        Scenario(
            name=f"tags-{count}",
            description=f"A round trip of tasks with {count} tags each.",
            measure=Trial(feed=_of(Tagged, count=count), timed=Timed.WHOLE).measure,
            floors=(PLAIN_ROUND_TRIP,),
        )
        for count in (5, 20)
    ),
    Scenario(
        name="keys",
        description="A round trip of tasks that are known by a key, not by their payload.",
        measure=Trial(feed=_of(Keyed), timed=Timed.WHOLE).measure,
        floors=(PLAIN_ROUND_TRIP,),
    ),
    Scenario(
        name="duplicates",
        description="As submit-many, each task a second time once all are queued.",
        measure=Trial(feed=_twice, timed=Timed.SUBMIT).measure,
        floors=(PLAIN_SUBMIT,),
    ),
    *(
        Scenario(
            name=f"results-{size / 1000:g}k",
            description=f"A drain of tasks that return {size:,} bytes each.",
            measure=Trial(feed=_of(Sized, size=size)).measure,
            floors=(PLAIN_DRAIN,),
            most_n=most,
        )
        for size, most in ((100, None), (10_000, None), (100_000, 1000))
    ),
)

STORES = (
    Scenario(
        name="drain-memory",
        description="A drain from memory, compared with one from a file.",
        measure=Trial(where=lambda asked: attrs.evolve(asked, in_memory=True)).measure,
        floors=(PLAIN_DRAIN,),
        needs_file=True,
    ),
    Scenario(
        name="drain-process",
        description='A drain with durability="process", compared with the one asked for.',
        measure=Trial(where=lambda asked: attrs.evolve(asked, durability="process")).measure,
        floors=(PLAIN_DRAIN,),
        needs_file=True,
    ),
    Scenario(
        name="retention",
        description=f"A drain while all but {KEPT} of those that have ended are deleted.",
        measure=Trial(
            options=Options(retention=Retention(count=KEPT, min_age=timedelta(0))),
            least_kept=KEPT,
        ).measure,
        floors=(PLAIN_DRAIN,),
    ),
)

FEATURES = (*GATES, *LINKS, *LOADS, *STORES)
