"""A snapshot tells what runs and waits, in a domain and in the whole scheduler."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from taskmill import Aging, Context, Every, GroupPolicy, RateLimit
from tests.life.app import HOUR, SECOND, Do, Errand, Family, Nap, Work, open_app

pytestmark = pytest.mark.anyio


async def test_an_empty_scheduler_has_an_empty_snapshot() -> None:
    async with open_app() as app:
        seen = await app.scheduler.snapshot()
        assert (seen.running, seen.pending_count, seen.progress, seen.bytes) == ((), 0, None, None)
        assert sorted(seen.domains) == ["other", "work"]
        assert not seen.groups


async def test_a_snapshot_counts_what_waits_by_why() -> None:
    async with open_app(max_concurrency=2, domain={"max_concurrency": 2}) as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn(Nap(name="child", seconds=100))
            ctx.progress(0.5)

        async def loads(ctx: Context[Work]) -> None:
            ctx.progress(0.25)
            ctx.bytes(10, 100)
            await anyio.sleep(100)

        app.body("f", body)
        app.body("loads", loads)
        await app.work.submit(Family(name="f"))
        await app.work.submit(Do(name="loads"))
        await anyio.sleep(1)
        first = await app.work.submit(Nap(name="ready"))
        await app.work.submit(Nap(name="later"), delay=HOUR, group="g")
        await app.work.submit(Nap(name="blocked"), depends_on=[first.id])
        await app.other.pause()
        await app.other.submit_many([Errand(number=n) for n in range(3)])
        seen = await app.scheduler.snapshot()
        assert {r.label for r in seen.running} == {"work::do", "work::nap"}
        counts = (seen.pending_count, seen.paused_count, seen.blocked_count, seen.waiting_count)
        assert counts == (2, 3, 1, 1)
        assert seen.progress == pytest.approx(0.1)
        assert seen.bytes is not None
        assert (seen.bytes.done, seen.bytes.total) == (10, 100)
        work = await app.work.snapshot()
        assert work == seen.domains["work"]
        assert (work.pending_count, work.paused_count, work.max_concurrency) == (2, 0, 2)
        other = await app.other.snapshot()
        assert (other.paused_count, other.is_paused, other.running) == (3, True, ())
        assert seen.groups["g"].pending == 1
        assert seen.groups[None].running == 2


async def test_a_snapshot_shows_the_limits_in_force() -> None:
    aging = Aging()
    async with open_app(
        groups={"g": GroupPolicy(max_concurrency=3, weight=2, min_slots=1, rate=RateLimit(5))},
        rates={Nap: RateLimit(10, per=SECOND, burst=4)},
        aging=aging,
        max_concurrency=8,
    ) as app:
        await app.work.submit(Nap(name="a", seconds=10), group="g")
        await app.work.schedule(Nap(name="tick"), Every(timedelta(hours=1)), "ticks")
        await app.scheduler.pause_group("h")
        await anyio.sleep(0.01)
        seen = await app.scheduler.snapshot()
        group = seen.groups["g"]
        assert (group.running, group.max_concurrency, group.weight, group.min_slots) == (1, 3, 2, 1)
        assert group.entitled == 1
        assert seen.type_rates["work::nap"].tokens == pytest.approx(3.1)
        assert seen.group_rates["g"].limit == RateLimit(5)
        assert [each.name for each in seen.schedules] == ["ticks"]
        assert seen.paused_groups == {"h": None}
        assert (seen.aging, seen.max_concurrency, seen.is_paused) == (aging, 8, False)
