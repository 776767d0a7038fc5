"""What any lasting backend promises about closing and opening again: recovery, epochs, ids."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmill.model.changes import StopCause
from taskmill.model.effects import LevelCount, Settled
from taskmill.model.errors import StoreInUse
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Halted, Returned

from .conformance import (
    ANY,
    MINUTE,
    NOW,
    T0,
    Place,
    cancel,
    claim,
    complete,
    end,
    new_task,
    raised,
    record_of,
    released,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

LATER = NOW + timedelta(hours=1)


async def test_everything_is_found_again_as_it_was(place: Place) -> None:
    records: list[TaskRecord] = []
    async with place.opened() as store:
        done = await claim(store, await submit_one(store, new_task("done")))
        await end(store, done, Returned('"ä"'))
        failed = await claim(store, await submit_one(store, new_task("failed")))
        await end(store, failed, raised(1, delay_ms=None))
        await submit(store, new_task("pending", group="g"), new_task("due", due_at_ms=T0 + 1))
        records = [await record_of(store, TaskId(n)) for n in range(1, 5)]
    async with place.opened(now=LATER) as store:
        assert [await record_of(store, record.id) for record in records] == records
        assert await store.count(ANY) == 4


async def test_an_interrupted_run_is_pending_again_with_its_attempt_refunded(
    place: Place,
) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a"))
        running = await claim(store, task)
        await end(store, running, raised(1))
        running = await claim(store, task)
        assert (running.run, running.attempt) == (2, 2)
    store = place.store()
    opening = await store.open(now=LATER)
    assert opening.recovered == 1
    record = await record_of(store, task)
    assert (record.status, record.run, record.attempt) == (TaskStatus.PENDING, 2, 1)
    assert (record.ready_at, record.due_at, record.finished_at) == (NOW, None, None)
    assert len(record.errors) == 1
    assert (await claim(store, task)).run == 3
    assert await end(store, running, Returned("late")) == Settled(status=None)
    assert (await record_of(store, task)).status is TaskStatus.RUNNING
    await store.close()


async def test_recovery_twice_is_as_recovery_once(place: Place) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a"))
        await claim(store, task)
    async with place.opened(now=LATER) as store:
        once = await record_of(store, task)
    store = place.store()
    assert (await store.open(now=LATER)).recovered == 0
    assert await record_of(store, task) == once
    await store.close()


async def test_a_run_that_was_to_stop_is_cancelled_and_its_follow_up_released(
    place: Place,
) -> None:
    async with place.opened() as store:
        running = await claim(store, await submit_one(store, new_task("a")))
        follow_up = await submit_one(store, new_task("a", priority=7, group="g"))
        await cancel(store, running.id)
    store = place.store()
    opening = await store.open(now=LATER)
    assert opening.levels == (LevelCount("work::job", "g", 7, 1),)
    ended = await record_of(store, running.id)
    assert (ended.status, ended.finished_at) == (TaskStatus.CANCELLED, LATER)
    assert (ended.run, ended.attempt) == (1, 1)
    free = await record_of(store, follow_up)
    assert (free.status, free.ready_at) == (TaskStatus.PENDING, LATER)
    assert (await claim(store, follow_up)).run == 1
    await store.close()


async def test_a_follow_up_of_an_interrupted_run_goes_on_waiting(place: Place) -> None:
    async with place.opened() as store:
        first = await submit_one(store, new_task("a"))
        await claim(store, first)
        follow_up = await submit_one(store, new_task("a"))
    async with place.opened(now=LATER) as store:
        assert (await record_of(store, follow_up)).status is TaskStatus.BLOCKED
        settled = await complete(store, await claim(store, first))
        assert released(settled).id == follow_up


async def test_the_opening_counts_the_ready_tasks_of_each_level(place: Place) -> None:
    async with place.opened() as store:
        await submit(
            store,
            *(new_task(f"a{n}") for n in range(3)),
            *(new_task(f"b{n}", group="g") for n in range(2)),
            new_task("c", priority=1),
            new_task("d", kind="work::other"),
            new_task("not due", due_at_ms=T0 + 1),
        )
        ids = [await submit_one(store, new_task(name, kind="work::run")) for name in "xyz"]
        interrupted, stopped, done = [await claim(store, task) for task in ids]
        await submit(store, new_task("x", kind="work::run", group="behind"))
        await complete(store, done)
        await cancel(store, stopped.id)
    store = place.store()
    opening = await store.open(now=LATER)
    await store.close()
    assert sorted(opening.levels, key=repr) == sorted(
        [
            LevelCount("work::job", None, 100, 3),
            LevelCount("work::job", "g", 100, 2),
            LevelCount("work::job", None, 1, 1),
            LevelCount("work::other", None, 100, 1),
            LevelCount(interrupted.type, None, 100, 1),
        ],
        key=repr,
    )
    assert opening.recovered == 1


async def test_the_opening_says_what_is_due_next_and_how_many_retries_wait(place: Place) -> None:
    async with place.opened() as store:
        for name, kind, delay_ms in (
            ("a", "work::job", 500),
            ("b", "work::job", MINUTE),
            ("c", "work::job", 0),
            ("f", "work::other", 500),
        ):
            running = await claim(store, await submit_one(store, new_task(name, kind=kind)))
            await end(store, running, raised(1, delay_ms=delay_ms))
        await submit(store, new_task("d", due_at_ms=T0 + 100))
        refunded = await claim(store, await submit_one(store, new_task("e")))
        await end(store, refunded, Halted(StopCause.SHUTDOWN))
    store = place.store()
    opening = await store.open(now=LATER)
    await store.close()
    assert (opening.next_due_ms, opening.retries) == (
        T0 + 100,
        {"work::job": 2, "work::other": 1},
    )
    assert opening.recovered == 0


async def test_the_epoch_grows_by_one_with_each_opening(place: Place) -> None:
    for epoch in range(1, 5):
        store = place.store()
        assert (await store.open(now=NOW)).epoch == epoch
        await store.close()


async def test_a_closed_store_can_be_opened_again(place: Place) -> None:
    store = place.store()
    assert (await store.open(now=NOW)).epoch == 1
    task = await submit_one(store, new_task("a"))
    await store.close()
    await store.close()
    assert (await store.open(now=NOW)).epoch == 2
    assert (await record_of(store, task)).status is TaskStatus.PENDING
    await store.close()


async def test_an_open_store_keeps_others_out_until_it_is_closed(place: Place) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a"))
        other = place.store()
        with pytest.raises(StoreInUse):
            await other.open(now=NOW)
        await other.close()
        assert (await claim(store, task)).run == 1
    opening = await other.open(now=LATER)
    assert (opening.epoch, opening.recovered) == (2, 1)
    await other.close()


async def test_ids_only_grow(place: Place) -> None:
    ids: list[TaskId] = []
    for round_ in range(3):
        async with place.opened() as store:
            for n in range(3):
                ids.append(await submit_one(store, new_task(f"{round_} {n}")))
                await cancel(store, ids[-1])
    assert ids == sorted(set(ids))


async def test_a_task_due_while_nobody_looked_is_due_at_the_next_opening(place: Place) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a", due_at_ms=T0 + 1))
    store = place.store()
    opening = await store.open(now=LATER)
    assert (opening.next_due_ms, opening.levels) == (T0 + 1, ())
    assert (await record_of(store, task)).due_at == from_ms(T0 + 1)
    await store.close()
