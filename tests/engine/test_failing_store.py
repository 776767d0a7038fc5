"""A store that fails for good, and an engine that does."""

from __future__ import annotations

import signal
from datetime import timedelta
from typing import Any

import anyio.lowlevel
import pytest

from taskmill import (
    Context,
    Domain,
    Drain,
    Every,
    InvalidState,
    Scheduler,
    SchedulerFailed,
    Stop,
    StoreError,
    TaskStatus,
)
from taskmill.model.changes import Change, Expire, Fire, Promote
from taskmill.testing import virtual_time
from tests.engine.app import SECOND, Board, Nap, Work, domains
from tests.engine.store import FailingStore

pytestmark = pytest.mark.anyio


class Broken(Exception):
    """A fault of the engine's own."""


def scheduler_on(store: FailingStore, clock: Any, **options: Any) -> Scheduler:
    return Scheduler(store=store, domains=domains(Board()), clock=clock, **options)


async def outcome_of(call: Any, into: list[str]) -> None:
    try:
        await call
    except (StoreError, InvalidState) as error:
        into.append(type(error).__name__)
    else:
        into.append("returned")


async def test_who_waits_when_the_scheduler_fails_is_told_and_does_not_hang() -> None:
    store, told = FailingStore(), list[str]()
    with anyio.fail_after(60):
        async with virtual_time() as clock, anyio.create_task_group() as others:
            with pytest.raises(SchedulerFailed, match="Broken"):  # noqa: PT012 - the block is what fails
                async with scheduler_on(store, clock) as scheduler:
                    first = await scheduler.submit(Nap(name="first"), delay=60 * SECOND)
                    others.start_soon(outcome_of, scheduler.wait(first.id), told)
                    await anyio.sleep(1)
                    store.fails = Broken()
                    others.start_soon(outcome_of, scheduler.submit(Nap(name="second")), told)
                    others.start_soon(outcome_of, scheduler.cancel(first.id), told)
                    await anyio.sleep_forever()
    assert sorted(told) == ["InvalidState", "StoreError", "StoreError"]


async def test_handlers_are_stopped_when_the_scheduler_fails() -> None:
    store, board = FailingStore(), Board()
    async with virtual_time() as clock:
        with pytest.raises(StoreError, match="scheduler failed") as failed:  # noqa: PT012
            async with Scheduler(store=store, domains=domains(board), clock=clock) as scheduler:
                await scheduler.submit(Nap(name="long", seconds=1000))
                await anyio.sleep(1)
                store.fails = Broken()
                await scheduler.submit(Nap(name="second"))
        assert "Broken()" in failed.value.__notes__[0]
        assert board.stopped == ["long"]
        assert clock.monotonic() == 1


@pytest.mark.parametrize("mode", [Stop(), Drain(5 * SECOND)])
async def test_a_store_that_fails_for_good_does_not_keep_the_scheduler_open(
    mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    store = FailingStore()
    async with virtual_time() as clock:
        with pytest.raises(StoreError, match=r"not be written within 10 s.*: 2;.*disk gone"):  # noqa: PT012
            async with scheduler_on(store, clock, shutdown=mode) as scheduler:
                await scheduler.submit_many([Nap(name="a", seconds=2), Nap(name="b", seconds=90)])
                await anyio.sleep(1)
                store.fails = StoreError("disk gone")
        assert 10 <= clock.monotonic() <= 25
    assert "their tasks run again" in caplog.text


async def test_a_store_that_works_again_in_time_gets_what_was_left() -> None:
    store = FailingStore()
    async with virtual_time() as clock:
        async with scheduler_on(store, clock, shutdown=Stop()) as scheduler:
            await scheduler.submit(Nap(name="a", seconds=90))
            await anyio.sleep(1)
            store.fails = StoreError("disk gone")
            async with anyio.create_task_group() as others:
                others.start_soon(mend, store, 5)
                scheduler.stop()
                await anyio.sleep(6)
        assert clock.monotonic() <= 1 + 5 + 5


async def turns(number: int) -> None:
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


async def mend(store: FailingStore, after: float) -> None:
    await anyio.sleep(after)
    store.fails = None


async def test_an_error_of_the_block_comes_out_also_where_the_store_failed_too() -> None:
    store = FailingStore()
    async with virtual_time() as clock:
        with pytest.raises(ZeroDivisionError) as raised:  # noqa: PT012 - the block is what fails
            async with scheduler_on(store, clock) as scheduler:
                await scheduler.submit(Nap(name="a", seconds=90))
                await anyio.sleep(1)
                store.fails = StoreError("disk gone")
                raise ZeroDivisionError
    assert any("disk gone" in note for note in raised.value.__notes__)


async def test_a_failing_store_is_tried_again_at_a_measured_pace() -> None:
    store = FailingStore()
    async with virtual_time() as clock, scheduler_on(store, clock) as scheduler:
        await scheduler.submit_many([Nap(name=str(n)) for n in range(50)], delay=10 * SECOND)
        await anyio.sleep(5)
        store.fails = StoreError("disk gone")
        before = store.batches
        await anyio.sleep(65)
        assert store.batches - before < 30
        store.fails = None
        await scheduler.idle()
        await anyio.sleep(30)
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 50


async def test_a_failure_that_lasts_is_logged_once_however_many_callers_meet_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, told = FailingStore(), list[str]()
    async with virtual_time() as clock, scheduler_on(store, clock) as scheduler:

        async def submit(place: int) -> None:
            await turns(10 * place)
            for _ in range(3):
                await outcome_of(scheduler.submit(Nap(name="lost")), told)

        await anyio.sleep(1)
        store.fails = StoreError("disk gone")
        async with anyio.create_task_group() as callers:
            for place in range(3):
                callers.start_soon(submit, place)
        store.fails = None
        await scheduler.submit(Nap(name="found"))
        await scheduler.idle()
    assert told == ["StoreError"] * 9
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "writing failed",
        "writing works again",
    ]


async def test_a_claim_that_is_refused_alone_is_not_tried_again_at_once() -> None:
    store = FailingStore()
    async with virtual_time() as clock, scheduler_on(store, clock, max_concurrency=2) as scheduler:
        store.refused = 1
        bad = await scheduler.submit(Nap(name="bad"))
        before = store.batches
        await anyio.sleep(60)
        assert store.batches - before < 30
        good = [await scheduler.submit(Nap(name=f"good {n}")) for n in range(50)]
        for submitted in good:
            await scheduler.result(submitted)
        store.refused = None
        assert await scheduler.result(bad) == "bad"
        await scheduler.idle()


@pytest.mark.parametrize("kind", [Fire, Expire, Promote])
async def test_what_is_due_and_refused_alone_is_not_tried_again_at_once(kind: type[Change]) -> None:
    store = FailingStore()
    async with virtual_time() as clock, scheduler_on(store, clock) as scheduler:
        await scheduler.schedule(Nap(name="often"), Every(SECOND), "often")
        await scheduler.submit(Nap(name="late"), delay=SECOND)
        await scheduler.submit(Nap(name="never"), delay=timedelta(hours=1), ttl=SECOND)
        store.refused_kind, store.most_batches = kind, store.batches + 400
        await anyio.sleep(60)
        store.refused_kind = None
        await anyio.sleep(10)
        assert await scheduler.count(status=TaskStatus.EXPIRED) == 1
        assert await scheduler.count(status=TaskStatus.COMPLETED) > 5


async def test_signals_end_a_service_whose_store_fails_for_good() -> None:
    store = FailingStore()
    async with virtual_time() as clock:
        scheduler = scheduler_on(store, clock, shutdown=Drain(3600 * SECOND))
        with pytest.raises(ExceptionGroup) as failed:  # noqa: PT012 - the group is what fails
            async with anyio.create_task_group() as group:
                await group.start(scheduler.run)
                await scheduler.submit(Nap(name="a", seconds=10_000))
                await anyio.sleep(1)
                store.fails = StoreError("disk gone")
                signal.raise_signal(signal.SIGTERM)
                await anyio.sleep(1)
                signal.raise_signal(signal.SIGTERM)
        assert failed.group_contains(StoreError, match="disk gone")
        assert clock.monotonic() <= 20


async def test_a_stubborn_handler_on_a_failing_store_is_left_behind_all_the_same() -> None:
    store, go_on = FailingStore(), anyio.Event()

    async def stubborn(task: Nap, ctx: Context[Work]) -> str:
        with anyio.CancelScope(shield=task.name == "stubborn"):
            await go_on.wait()
        return ""

    async with virtual_time() as clock:
        domain = Domain(Work, handlers=[Nap.handler(stubborn)], stop_grace=5 * SECOND)
        async with Scheduler(store=store, domains=[domain], clock=clock) as scheduler:
            engine = scheduler._engine
            assert engine is not None
            await scheduler.submit_many([Nap(name="stubborn"), Nap(name="other")])
            await anyio.sleep(1)
            scheduler.stop(Stop())
            store.fails = StoreError("disk gone")
            await engine.overdue()
            assert clock.monotonic() <= 1 + 5 + 10
            assert len(scheduler.active_tasks()) == 1
            store.fails = None
            go_on.set()
