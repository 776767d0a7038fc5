"""What a scheduler counts of itself, and what of it survives that it closes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill import (
    Domain,
    DomainKey,
    InterruptCause,
    Metrics,
    OnDuplicate,
    Priority,
    RetryPolicy,
    Scheduler,
    Snooze,
    Stop,
    StoreError,
    SubmitOutcome,
    Task,
    TaskStatus,
)
from taskmill.engine.events.meters import Tally
from taskmill.model.metrics import UNREGISTERED, TypeMetrics, TypeStanding
from taskmill.testing import virtual_time
from tests.engine.app import SECOND, App, Board, Errand, Fail, Nap, domains, open_app
from tests.engine.store import FailingStore

pytestmark = pytest.mark.anyio


def of(metrics: Metrics, name: str) -> TypeMetrics:
    [found] = [each for each in metrics.types if each.type == name]
    return found


def standing(metrics: Metrics, name: str) -> TypeStanding:
    assert metrics.now is not None
    [found] = [each for each in metrics.now.types if each.type == name]
    return found


def counted(numbers: Any) -> dict[Any, int]:
    """What is not zero."""
    return {key: number for key, number in numbers.items() if number}


async def test_a_task_that_runs_is_counted_from_its_submit_to_its_end() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="a", seconds=2))
        await app.scheduler.idle()
        nap = of(app.scheduler.metrics(), "work::nap")
        assert nap.domain == "work"
        assert counted(nap.submitted) == {SubmitOutcome.INSERTED: 1}
        assert nap.started == 1
        assert counted(nap.ended) == {TaskStatus.COMPLETED: 1}
        assert (nap.run.count, nap.run.sum) == (1, 2.0)
        assert (nap.wait.count, nap.wait.sum) == (1, 0.0)
        assert of(app.scheduler.metrics(), "other::errand").started == 0


async def test_submits_are_counted_by_what_came_of_them() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="runs", seconds=5))
        await anyio.sleep(1)
        await app.work.submit(Nap(name="runs", seconds=5))
        await app.work.submit(Nap(name="waits", seconds=5))
        await app.work.submit(Nap(name="waits", seconds=5))
        await app.work.submit(Nap(name="waits", seconds=5), priority=Priority.HIGH)
        await app.work.submit(Nap(name="waits", seconds=5), on_duplicate=OnDuplicate.REJECT)
        await app.work.submit(Nap(name="waits", seconds=5), on_duplicate=OnDuplicate.SUPERSEDE)
        nap = of(app.scheduler.metrics(), "work::nap")
        assert counted(nap.submitted) == {
            SubmitOutcome.INSERTED: 2,
            SubmitOutcome.REQUEUED: 1,
            SubmitOutcome.DUPLICATE: 1,
            SubmitOutcome.UPGRADED: 1,
            SubmitOutcome.REJECTED: 1,
            SubmitOutcome.SUPERSEDED: 1,
        }
        assert counted(nap.ended) == {TaskStatus.SUPERSEDED: 1}


async def test_ends_are_counted_once_whether_the_task_ran_or_not() -> None:
    quick = RetryPolicy(max_retries=2, base=timedelta(seconds=1))
    async with open_app(max_concurrency=2) as app:
        await app.work.submit(Fail(name="dead"), retry=quick)
        await app.work.submit(Fail(name="failed", permanent=True))
        await app.scheduler.idle()
        held = await app.work.submit(Nap(name="held"), delay=timedelta(hours=1))
        runs = await app.work.submit(Nap(name="runs", seconds=60))
        first = await app.work.submit(Fail(name="first", permanent=True), delay=SECOND)
        await app.work.submit(Nap(name="after"), depends_on=[first.id])
        await app.work.submit(Nap(name="late"), delay=timedelta(days=1), ttl=5 * SECOND)
        await anyio.sleep(10)
        await app.work.cancel(held.id)
        await app.work.cancel(runs.id)
        await app.scheduler.idle()
        metrics = app.scheduler.metrics()
        fail, nap = of(metrics, "work::fail"), of(metrics, "work::nap")
        assert counted(fail.ended) == {TaskStatus.DEAD: 1, TaskStatus.FAILED: 2}
        assert (fail.started, fail.retried) == (5, 2)
        assert counted(nap.ended) == {
            TaskStatus.CANCELLED: 2,
            TaskStatus.DEPENDENCY_FAILED: 1,
            TaskStatus.EXPIRED: 1,
        }


async def test_a_revived_task_is_counted_as_such() -> None:
    async with open_app() as app:
        task = await app.work.submit(Fail(name="x", times=1, permanent=False), max_retries=0)
        await app.scheduler.idle()
        await app.work.retry(task.id)
        await app.scheduler.idle()
        fail = of(app.scheduler.metrics(), "work::fail")
        assert fail.revived == 1
        assert counted(fail.ended) == {TaskStatus.DEAD: 1, TaskStatus.COMPLETED: 1}


async def test_runs_that_did_not_count_are_counted_by_their_cause() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="a", seconds=10))
        await anyio.sleep(1)
        await app.other.submit(Errand(number=1), priority=Priority.REALTIME)
        await anyio.sleep(1)
        await app.work.pause()
        await anyio.sleep(1)
        await app.work.resume()
        await app.scheduler.idle()
        nap = of(app.scheduler.metrics(), "work::nap")
        assert nap.preempted == 1
        assert counted(nap.interrupted) == {InterruptCause.PAUSED: 1}
        assert (nap.started, nap.run.count) == (3, 3)
        assert nap.wait.count == 1


async def test_a_snooze_is_an_interruption() -> None:
    class Desk(DomainKey, name="desk"): ...

    class Doze(Task[Desk], name="doze"): ...

    @Doze.handler
    async def doze(task: Doze, ctx: Any) -> None:
        if ctx.record.run == 1:
            raise Snooze(SECOND)

    async with virtual_time() as clock:
        scheduler = Scheduler(":memory:", domains=[Domain(Desk, handlers=[doze])], clock=clock)
        async with scheduler:
            task = await scheduler.submit(Doze())
            await scheduler.wait(task.id)
            [kind] = scheduler.metrics().types
    assert counted(kind.interrupted) == {InterruptCause.SNOOZED: 1}
    assert counted(kind.ended) == {TaskStatus.COMPLETED: 1}


async def test_what_runs_and_what_is_ready_is_told_from_memory() -> None:
    async with open_app(max_concurrency=1) as app:
        await app.work.submit(Nap(name="runs", seconds=90))
        await anyio.sleep(1)
        await app.work.submit(Nap(name="older"))
        await anyio.sleep(5)
        await app.work.submit(Nap(name="younger"))
        await app.work.submit(Nap(name="later"), delay=timedelta(hours=1))
        await app.other.submit(Errand(number=1))
        await app.other.pause()
        await anyio.sleep(1)
        metrics = app.scheduler.metrics()
        assert metrics.now is not None
        assert metrics.now.max_concurrency == 1
        nap, errand = standing(metrics, "work::nap"), standing(metrics, "other::errand")
        assert (nap.running, nap.ready, nap.paused) == (1, 2, 0)
        assert (nap.oldest_ready, nap.oldest_paused) == (6 * SECOND, None)
        assert (errand.running, errand.ready, errand.paused) == (0, 0, 1)
        assert (errand.oldest_ready, errand.oldest_paused) == (None, SECOND)
        inline = {each.name: each for each in metrics.now.executors}["inline"]
        assert (inline.running, inline.capacity) == (1, None)


async def test_a_look_does_not_touch_the_store() -> None:
    store = FailingStore()
    async with (
        virtual_time() as clock,
        Scheduler(store=store, domains=domains(Board()), clock=clock) as scheduler,
    ):
        before = store.batches
        assert scheduler.metrics().now is not None
        await scheduler.idle()
        assert store.batches == before


async def test_the_gate_that_holds_work_is_counted_and_not_the_work_that_waits() -> None:
    async with open_app(max_concurrency=4, domain={"max_concurrency": 1}) as app:
        await app.work.submit_many([Nap(name=str(i), seconds=1) for i in range(50)])
        await anyio.sleep(0.5)
        assert counted(app.scheduler.metrics().held) == {"domain": 1}
    async with open_app(max_concurrency=1) as app:
        await app.work.submit_many([Nap(name=str(i), seconds=1) for i in range(50)])
        await anyio.sleep(0.5)
        held = counted(app.scheduler.metrics().held)
        assert list(held) == ["global"]
        assert held["global"] < 5  # a few looks, however many tasks wait
        await app.scheduler.pause()
        assert app.scheduler.metrics().held["scheduler_pause"] > 0


async def test_commits_are_measured_and_failures_counted() -> None:
    store = FailingStore()
    async with (
        virtual_time() as clock,
        Scheduler(store=store, domains=domains(Board()), clock=clock) as scheduler,
    ):
        await scheduler.submit_many([Nap(name=str(i)) for i in range(3)])
        await scheduler.idle()
        store.fails = StoreError("disk gone")
        with pytest.raises(StoreError):
            await scheduler.submit(Nap(name="lost"))
        store.fails = None
        metrics = scheduler.metrics()
    assert metrics.commit_failures == 1
    assert metrics.commit.count == metrics.batch.count > 0
    assert metrics.batch.sum >= 7  # a submit, three claims and three settlements
    assert of(metrics, "work::nap").submitted[SubmitOutcome.INSERTED] == 3


async def test_events_that_a_slow_reader_missed_are_counted() -> None:
    async with open_app() as app:
        async with app.scheduler.events():
            await app.work.submit_many([Nap(name=str(i)) for i in range(600)])
            await app.scheduler.idle()
        assert app.scheduler.metrics().dropped_events == 3 * 600 - 1024


async def test_the_lag_of_the_loop_is_measured_while_handlers_run_and_only_then() -> None:
    options: dict[str, Any] = {"loop_limit": 0.05 * SECOND, "shutdown": Stop()}
    async with Scheduler(":memory:", domains=domains(Board()), **options) as s:
        await anyio.sleep(0.2)
        assert s.metrics().loop_lag.count == 0
        await s.submit(Nap(name="a", seconds=3600))
        while not s.metrics().loop_lag.count:  # noqa: ASYNC110 - the watchdog goes by real time
            await anyio.sleep(0.01)


async def test_counts_go_on_over_openings_and_gauges_end_with_each() -> None:
    async with virtual_time() as clock:
        scheduler = Scheduler(":memory:", domains=domains(Board()), clock=clock)
        assert scheduler.metrics().now is None
        for number in (1, 2):
            async with scheduler:
                await scheduler.submit(Nap(name=str(number)))
                await scheduler.idle()
                assert scheduler.metrics().now is not None
            metrics = scheduler.metrics()
            assert metrics.now is None
            assert of(metrics, "work::nap").ended[TaskStatus.COMPLETED] == number
            assert metrics.executors[0].runs == number


async def test_what_is_not_registered_counts_under_one_name(tmp_path: Path) -> None:
    class Gone(DomainKey, name="gone"): ...

    class One(Task[Gone], name="one"): ...

    class Two(Task[Gone], name="two"): ...

    async def never(task: Any, ctx: Any) -> None: ...

    path = str(tmp_path / "app.db")
    handlers = [One.handler(never), Two.handler(never)]
    async with virtual_time() as clock:
        async with Scheduler(path, domains=[Domain(Gone, handlers=handlers)], clock=clock) as old:
            await old.submit_many([One(), Two()], delay=SECOND)
        await anyio.sleep(2)
        async with Scheduler(path, domains=domains(Board()), clock=clock) as new:
            await anyio.sleep(1)
            metrics = new.metrics()
            assert metrics.now is not None
            left = [each for each in metrics.now.types if each.domain == UNREGISTERED]
            assert [(each.type, each.ready) for each in left] == [(UNREGISTERED, 2)]
            assert UNREGISTERED not in {each.type for each in metrics.types}
            await new.cancel_all()
            others = of(new.metrics(), UNREGISTERED)
            assert counted(others.ended) == {TaskStatus.CANCELLED: 2}


@pytest.fixture
def threads_take_short_turns() -> Generator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("threads_take_short_turns")
async def test_it_can_be_read_in_another_thread_while_the_loop_goes_on() -> None:
    scheduler = Scheduler(":memory:", domains=domains(Board()))
    async with scheduler:

        def read() -> Metrics:
            for _ in range(200):
                scheduler.metrics()
            return scheduler.metrics()

        async def work() -> None:
            for number in range(200):
                await scheduler.submit(Errand(number=number), group=f"group {number % 40}")

        async with anyio.create_task_group() as both:
            both.start_soon(work)
            await anyio.to_thread.run_sync(read)
        await scheduler.idle()
    errand = of(scheduler.metrics(), "other::errand")
    assert errand.ended[TaskStatus.COMPLETED] == errand.submitted[SubmitOutcome.INSERTED] == 200


async def test_each_task_that_came_has_ended_or_is_there(tmp_path: Path) -> None:
    """The counts of a run of everything add up to what the store has."""

    async def check(app: App) -> None:
        await app.scheduler.pause()
        await anyio.sleep(0.1)
        metrics = app.scheduler.metrics()
        for each in metrics.types:
            new = {SubmitOutcome.INSERTED, SubmitOutcome.REQUEUED, SubmitOutcome.SUPERSEDED}
            came = sum(count for how, count in each.submitted.items() if how in new)
            ended = sum(each.ended.values()) - each.revived
            types: list[Any] = [kind for kind in (Nap, Fail, Errand) if kind.task_type == each.type]
            assert came - ended == await app.scheduler.count(types=types)
        await app.scheduler.resume()

    async with open_app(max_concurrency=3) as app:
        for i in range(10):
            await app.work.submit(Nap(name=f"n{i % 7}", seconds=i))
            await app.work.submit(Fail(name=f"f{i}", times=i % 4), retry=RetryPolicy(max_retries=2))
            await app.other.submit(Errand(number=i), delay=i * SECOND)
            await check(app)
            await anyio.sleep(i % 3)
        await app.other.cancel_all()
        await check(app)
        await app.scheduler.idle()
        await app.work.retry_where(status=TaskStatus.DEAD)
        await check(app)
        await app.scheduler.idle()
        await check(app)


@given(st.lists(st.floats(0, 100)), st.sets(st.floats(0, 100), min_size=1))
def test_a_tally_counts_each_value_once_under_the_first_bound_that_holds_it(
    values: list[float], bounds: set[float]
) -> None:
    tally = Tally(tuple(sorted(bounds)))
    for value in values:
        tally.add(value)
    read = tally.read()
    assert read.count == len(values)
    at_most: Callable[[float], int] = lambda bound: sum(value <= bound for value in values)  # noqa: E731
    assert [sum(read.counts[: i + 1]) for i in range(len(read.bounds))] == [
        at_most(bound) for bound in read.bounds
    ]
