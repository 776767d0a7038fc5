"""What any backend promises about preempted runs: counted as such, their attempt refunded."""

from __future__ import annotations

import attrs
import pytest

from taskmill.model.changes import StopCause
from taskmill.model.effects import LevelCount, Settled
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.rules.settle import Halted, Result, Returned
from taskmill.store.base import Store

from .conformance import (
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
    submit_one,
    told_to_stop,
)

pytestmark = pytest.mark.anyio

PREEMPTED = Halted(StopCause.PREEMPTED)
BACK = Settled(status=TaskStatus.PENDING)


async def ran(store: Store, task: TaskId, result: Result, *, now_ms: int = T0) -> TaskRecord:
    """The record of a task after one more run of it."""
    await end(store, await claim(store, task, now_ms=now_ms), result, now_ms=now_ms)
    return await record_of(store, task)


async def test_a_preempted_run_is_counted_as_such_and_refunds_its_attempt(store: Store) -> None:
    task = await submit_one(store, new_task("a", group="g"))
    running = await claim(store, task, now_ms=T0 + MINUTE)
    assert (running.attempt, running.preemptions) == (1, 0)
    assert await end(store, running, PREEMPTED, now_ms=T0 + 2 * MINUTE) == BACK
    record = await record_of(store, task)
    assert (record.status, record.run, record.attempt) == (TaskStatus.PENDING, 1, 0)
    assert record.preemptions == 1
    assert (record.ready_at, record.due_at, record.errors) == (NOW, None, ())
    again = await claim(store, task)
    assert (again.run, again.attempt, again.preemptions) == (2, 1, 1)


async def test_every_preemption_of_a_task_is_counted(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    for n in range(1, 6):
        assert (await ran(store, task, PREEMPTED)).preemptions == n
    record = await ran(store, task, Returned("1"))
    assert (record.status, record.preemptions) == (TaskStatus.COMPLETED, 5)
    assert (record.run, record.attempt) == (6, 1)


@pytest.mark.parametrize("cause", [StopCause.PAUSED, StopCause.SHUTDOWN])
async def test_other_interruptions_are_refunded_and_not_counted(
    store: Store, cause: StopCause
) -> None:
    record = await ran(store, await submit_one(store, new_task("a")), Halted(cause))
    assert (record.status, record.attempt, record.preemptions) == (TaskStatus.PENDING, 0, 0)


async def test_a_preemption_between_failures_takes_no_attempt_and_keeps_the_errors(
    store: Store,
) -> None:
    task = await submit_one(store, new_task("a"))
    await ran(store, task, raised(1))
    record = await ran(store, task, PREEMPTED)
    assert (record.attempt, record.preemptions, len(record.errors)) == (1, 1, 1)
    record = await ran(store, task, raised(3, max_retries=1))
    assert (record.status, record.attempt) == (TaskStatus.DEAD, 2)
    assert (record.run, record.preemptions) == (3, 1)


async def test_a_preemption_of_an_older_run_or_of_one_settled_changes_nothing(
    store: Store,
) -> None:
    task = await submit_one(store, new_task("a"))
    first = await claim(store, task)
    assert await end(store, first, PREEMPTED) == BACK
    assert await end(store, first, PREEMPTED) == Settled(status=None)
    second = await claim(store, task)
    assert await end(store, first, PREEMPTED) == Settled(status=None)
    assert await store.get(task) == second
    await complete(store, second)
    assert await end(store, second, PREEMPTED) == Settled(status=None)
    assert (await record_of(store, task)).preemptions == 1


async def test_a_stop_on_record_makes_a_preemption_a_cancel(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    assert await cancel(store, running.id) == told_to_stop(running)
    settled = await end(store, running, PREEMPTED)
    record = await record_of(store, running.id)
    assert settled == Settled(status=TaskStatus.CANCELLED, after=record)
    assert (record.attempt, record.preemptions) == (1, 0)


async def test_a_follow_up_waits_through_a_preemption(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    follow_up = await submit_one(store, new_task("a"))
    settled = await end(store, running, PREEMPTED)
    record = await record_of(store, running.id)
    assert settled == attrs.evolve(BACK, after=record)
    assert record.preemptions == 1
    assert (await record_of(store, follow_up)).status is TaskStatus.BLOCKED


async def test_preemptions_are_found_again_and_a_crash_adds_none(place: Place) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a", priority=7))
        await ran(store, task, PREEMPTED)
        await claim(store, task)
    store = place.store()
    opening = await store.open(now=NOW)
    assert (opening.recovered, opening.levels) == (1, (LevelCount("work::job", None, 7, 1),))
    record = await record_of(store, task)
    assert (record.run, record.attempt, record.preemptions) == (2, 0, 1)
    await store.close()
