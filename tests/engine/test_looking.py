"""Looking at a scheduler as often as one likes costs it little, and shows what is there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import anyio
import pytest

from taskmill import (
    Domain,
    DomainHandle,
    DomainSnapshot,
    Every,
    GroupPolicy,
    GroupSnapshot,
    Scheduler,
    SqliteStore,
    StoreError,
)
from taskmill.engine.views.backlog import MANY
from taskmill.model.changes import Change, Claim
from taskmill.model.effects import Backlog, Effect
from taskmill.testing import FakeClock, virtual_time
from tests.engine.app import Errand, Nap, Other, Work, errand, nap, open_app

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


class CountedStore(SqliteStore):
    """A memory store that says how often it has counted what waits."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.reads = 0
        self.fails = False

    async def backlog(self) -> list[Backlog]:
        self.reads += 1
        if self.fails:
            self.fails = False
            raise StoreError("told to")
        return await super().backlog()


async def later(work: DomainHandle[Work], count: int, group: str | None = None) -> None:
    naps = [Nap(name=f"{group} {number}") for number in range(count)]
    await work.submit_many(naps, delay=HOUR, group=group)


def made(store: SqliteStore, clock: FakeClock) -> Scheduler:
    return Scheduler(
        store=store, domains=[Domain(Work, handlers=[nap])], clock=clock, loop_limit=None
    )


async def test_those_who_ask_at_the_same_time_share_one_count() -> None:
    store = CountedStore()
    async with virtual_time() as clock, made(store, clock) as scheduler:
        work = scheduler.domain(Work)
        await later(work, 3)
        seen: list[DomainSnapshot] = []

        async def look() -> None:
            seen.append(await work.snapshot())

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(look)
        assert [each.pending_count for each in seen] == [3] * 50
        assert store.reads <= 2


async def test_nobody_shares_a_count_that_began_before_what_he_submitted() -> None:
    store = CountedStore()
    async with virtual_time() as clock, made(store, clock) as scheduler:
        work = scheduler.domain(Work)

        async def look_after_each(name: str) -> None:
            for number in range(1, 21):
                await work.submit(Nap(name=f"{name} {number}"), delay=HOUR, group=name)
                seen = await scheduler.snapshot()
                assert seen.groups[name].pending == number
                assert (await work.snapshot()).pending_count >= number

        async with anyio.create_task_group() as group:
            for name in "abcde":
                group.start_soon(look_after_each, name)


class HeldStore(CountedStore):
    """Writes no claim until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = anyio.Event()
        self.may = anyio.Event()

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        if any(isinstance(change, Claim) for change in changes):
            self.asked.set()
            await self.may.wait()
        return await super().apply(changes)


async def test_a_task_is_counted_as_pending_while_its_claim_is_being_written() -> None:
    store = HeldStore()
    async with virtual_time() as clock, made(store, clock) as scheduler:
        work = scheduler.domain(Work)
        await work.submit(Nap(name="a"), group="g")
        await store.asked.wait()
        seen = await scheduler.snapshot()
        assert (seen.pending_count, len(seen.running)) == (1, 0)
        assert (seen.groups["g"].pending, seen.groups["g"].running) == (0, 1), "its slot is taken"
        assert (await work.snapshot()).pending_count == 1
        store.may.set()


async def test_a_count_that_fails_is_made_again_for_the_others() -> None:
    store = CountedStore()
    async with virtual_time() as clock, made(store, clock) as scheduler:
        await later(scheduler.domain(Work), 3)
        store.fails = True
        found: list[int] = []

        async def look() -> None:
            try:
                found.append((await scheduler.snapshot()).pending_count)
            except StoreError:
                found.append(-1)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look)
        assert sorted(found) == [-1, 3, 3, 3, 3]


async def test_a_count_of_many_is_kept_for_a_while() -> None:
    store = CountedStore()
    async with virtual_time() as clock, made(store, clock) as scheduler:
        work = scheduler.domain(Work)
        await later(work, MANY - 1, "g")
        assert (await scheduler.snapshot()).pending_count == MANY - 1
        await later(work, 1)
        assert (await scheduler.snapshot()).pending_count == MANY, "few are always counted"
        await later(work, 5, "h")
        reads = store.reads
        for _ in range(10):
            assert (await scheduler.snapshot()).pending_count == MANY
        assert store.reads == reads
        await anyio.sleep(0.25)
        assert (await scheduler.snapshot()).pending_count == MANY + 5
        assert (await work.snapshot()).pending_count == MANY + 5


async def test_what_is_ready_is_counted_by_group_and_pause_as_it_comes_and_goes() -> None:
    async with open_app(max_concurrency=1, groups={"h": GroupPolicy(weight=3)}) as app:
        await app.work.submit(Nap(name="long", seconds=10))
        await anyio.sleep(1)
        await app.work.submit_many([Nap(name=f"g{n}") for n in range(4)], group="g")
        await app.other.submit_many([Errand(number=n) for n in range(3)], group="g")
        await app.work.submit(Nap(name="later"), group="g", delay=HOUR)
        cancelled = await app.work.submit(Nap(name="h"), group="h")
        await app.scheduler.pause_group("g")
        seen = await app.scheduler.snapshot()
        assert (seen.pending_count, seen.paused_count) == (1, 8)
        assert {name: each.paused_count for name, each in seen.domains.items()} == {
            "work": 5,
            "other": 3,
        }
        assert list(seen.groups) == [None, "g", "h"]
        assert len(seen.groups) == 3
        assert seen.groups["g"] == GroupSnapshot(
            name="g",
            running=0,
            pending=8,
            max_concurrency=None,
            weight=1,
            min_slots=0,
            entitled=0,
            is_paused=True,
        )
        assert (seen.groups["h"].entitled, seen.groups[None].running) == (1, 1)
        assert "nobody" not in seen.groups
        await app.scheduler.resume_group("g")
        await app.work.cancel(cancelled.id)
        await app.work.pause(interrupt=False)
        after = await app.scheduler.snapshot()
        assert (after.domains["work"].paused_count, after.domains["other"].pending_count) == (5, 3)
        assert repr(seen.groups) == repr(dict(seen.groups.items())), "it stays as it was"
        assert seen.groups["h"].pending == 1
        assert after.groups["h"].pending == 0


async def test_tasks_without_a_handler_wait_too(tmp_path: object) -> None:
    store = SqliteStore(f"{tmp_path}/app.db")
    async with virtual_time() as clock:
        async with made(store, clock) as scheduler:
            await scheduler.domain(Work).submit(Nap(name="a"), group="g")
        only_other = Scheduler(
            store=store, domains=[Domain(Other, handlers=[errand])], clock=clock, loop_limit=None
        )
        async with only_other as scheduler:
            seen = await scheduler.snapshot()
            assert (seen.pending_count, seen.domains["other"].pending_count) == (1, 0)
            assert seen.groups["g"].pending == 1


async def test_a_list_of_many_schedules_is_kept_for_a_while() -> None:
    async with open_app() as app:
        for number in range(99):
            await app.work.schedule(Nap(name=f"{number}"), Every(HOUR), f"every {number}")
            assert len((await app.scheduler.snapshot()).schedules) == number + 1
        await app.work.schedule(Nap(name="99"), Every(HOUR), "every 99")
        assert len((await app.scheduler.snapshot()).schedules) == 100
        await app.work.cancel_schedule("every 3")
        assert len((await app.scheduler.snapshot()).schedules) == 100
        await anyio.sleep(0.04)
        last = (await app.scheduler.snapshot()).schedules
        assert list(last) == await app.scheduler.schedules()
