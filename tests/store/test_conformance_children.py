"""What any backend promises about parents and children: waiting, finalizing, failing."""

from __future__ import annotations

import pytest

from taskmill.model.changes import Claim
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import LevelCount, Settled
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned
from taskmill.store.base import Store

from .conformance import (
    AT_SCALE,
    MINUTE,
    NOW,
    T0,
    Place,
    apply_one,
    cancel,
    claim,
    complete,
    end,
    fail,
    moved,
    new_task,
    raised,
    record_of,
    refusal,
    revived,
    run,
    settle_all,
    start,
    statuses,
    stop,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

PENDING, RUNNING, WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED
SUPERSEDE = OnDuplicate.SUPERSEDE
DONE = Returned("1")
MEMO = Returned('"memo"', finalizes=True)
MANY = 10_000


async def spawn(store: Store, parent: TaskRecord, *names: str) -> list[TaskId]:
    """New children of a task that runs."""
    placed = await submit(store, *(new_task(name, parent=parent.id) for name in names))
    return [each.id for each in placed]


# --- waiting -------------------------------------------------------------------------------------


async def test_a_parent_waits_for_its_children_and_then_completes_with_what_it_returned(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent"))
    first, second = await spawn(store, parent, "a", "b")
    settled = await end(store, parent, Returned('"result"'))
    waiting = await record_of(store, parent.id)
    assert settled == Settled(status=WAITING, after=waiting)
    assert (waiting.memo, waiting.result, waiting.finished_at) == ('"result"', None, None)
    assert (await run(store, first, DONE)).moves == ()
    assert moved(await run(store, second, DONE, now_ms=T0 + 9)) == {parent.id: COMPLETED}
    done = await record_of(store, parent.id)
    assert (done.result, done.memo, done.finished_at) == ('"result"', None, from_ms(T0 + 9))
    assert (done.run, done.attempt) == (1, 1)


async def test_a_parent_whose_children_have_ended_does_not_wait(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    [child] = await spawn(store, parent, "a")
    await run(store, child, DONE)
    assert (await complete(store, parent)).status is COMPLETED


async def test_a_waiting_parent_can_have_more_children(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    [first] = await spawn(store, parent, "a")
    await complete(store, parent)
    [second] = await spawn(store, parent, "b")
    assert (await run(store, first, DONE)).moves == ()
    assert moved(await run(store, second, DONE)) == {parent.id: COMPLETED}


async def test_the_end_of_a_grandchild_goes_all_the_way_up(store: Store) -> None:
    line = [await start(store, new_task("0"))]
    for n in range(1, 6):
        line.append(await start(store, new_task(f"{n}", parent=line[-1].id)))
    for record in line[:-1]:
        assert (await complete(store, record)).status is WAITING
    settled = await complete(store, line[-1])
    assert list(moved(settled)) == [record.id for record in reversed(line[:-1])]
    assert set(moved(settled).values()) == {COMPLETED}


async def test_a_waiting_parent_holds_its_identity_and_what_depends_on_it(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    [child] = await spawn(store, parent, "a")
    then = await submit_one(store, new_task("then", depends_on=[parent.id]))
    await complete(store, parent)
    [again] = await submit(store, new_task("parent"))
    assert again.outcome is SubmitOutcome.REQUEUED
    settled = await run(store, child, DONE)
    assert moved(settled) == {parent.id: COMPLETED, then: PENDING, again.id: PENDING}


async def test_a_waiting_parent_is_found_waiting_after_a_crash(place: Place) -> None:
    async with place.opened() as store:
        parent = await start(store, new_task("parent"))
        [child] = await spawn(store, parent, "a")
        await claim(store, child)
        await complete(store, parent)
    async with place.opened() as store:
        assert await statuses(store, parent.id, child) == [WAITING, PENDING]
        assert moved(await run(store, child, DONE)) == {parent.id: COMPLETED}


# --- finalize ------------------------------------------------------------------------------------


async def test_a_task_finalizes_when_its_children_have_ended(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    [child] = await spawn(store, parent, "a")
    await end(store, parent, MEMO)
    assert moved(await run(store, child, DONE, now_ms=T0 + 9)) == {parent.id: PENDING}
    ready = await record_of(store, parent.id)
    assert (ready.stage, ready.memo, ready.ready_at) == (Stage.FINALIZE, '"memo"', from_ms(T0 + 9))
    assert ready.attempt == 0
    running = await claim(store, parent.id)
    assert (running.run, running.attempt) == (2, 1)
    assert (await end(store, running, Returned('"R"'))).status is COMPLETED
    done = await record_of(store, parent.id)
    assert (done.result, done.memo) == ('"R"', None)


async def test_a_task_without_children_finalizes_at_once(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    settled = await end(store, parent, MEMO)
    assert settled == Settled(status=PENDING, after=await store.get(parent.id))
    assert await apply_one(store, Claim(parent.id, T0)) is not None


async def test_a_retry_or_a_crash_of_finalize_finalizes_again(place: Place) -> None:
    async with place.opened() as store:
        parent = await start(store, new_task("parent"))
        await end(store, parent, MEMO)
        assert (await run(store, parent.id, raised(2))).status is PENDING
        await claim(store, parent.id)
    store = place.store()
    opening = await store.open(now=NOW)
    assert opening.levels == (LevelCount("work::job", None, 100, 1, Stage.FINALIZE),)
    record = await record_of(store, parent.id)
    assert (record.memo, record.run, record.attempt) == ('"memo"', 3, 1)
    await fail(store, parent.id)
    again = await revived(store, parent.id)
    assert (again.stage, again.memo, again.attempt) == (Stage.FINALIZE, '"memo"', 0)
    await store.close()


async def test_a_task_that_is_to_finalize_does_not_stand_for_work_yet_to_be_done(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent"))
    await end(store, parent, Returned(None, finalizes=True))
    [again] = await submit(store, new_task("parent", priority=1))
    assert again.outcome is SubmitOutcome.REQUEUED


async def test_finalize_decides_what_failed_children_mean(store: Store) -> None:
    parent = await start(store, new_task("parent", fail_fast=False))
    children = await spawn(store, parent, "a", "b")
    await end(store, parent, MEMO)
    assert (await fail(store, children[0])).moves == ()
    assert moved(await fail(store, children[1])) == {parent.id: PENDING}
    settled = await run(store, parent.id, Returned('"R"'))
    assert (settled.status, settled.moves) == (COMPLETED, ())
    assert (await record_of(store, parent.id)).result == '"R"'


async def test_a_child_of_finalize_is_waited_for_and_judged(store: Store) -> None:
    for name, expected in (("well", COMPLETED), ("badly", FAILED)):
        parent = await start(store, new_task(name, fail_fast=False))
        [first] = await spawn(store, parent, f"{name} a")
        await end(store, parent, MEMO)
        await fail(store, first)
        [second] = await spawn(store, await claim(store, parent.id), f"{name} b")
        running = await record_of(store, parent.id)
        assert (await end(store, running, DONE)).status is WAITING
        ends = await (run(store, second, DONE) if name == "well" else fail(store, second))
        assert moved(ends) == {parent.id: expected}


# --- failure -------------------------------------------------------------------------------------


async def test_the_first_child_that_fails_ends_its_siblings_and_its_parent(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    failing, waiting, running = await spawn(store, parent, "a", "b", "c")
    below = await submit_one(store, new_task("below", parent=(await claim(store, running)).id))
    await end(store, parent, MEMO)
    settled = await fail(store, failing)
    assert moved(settled) == {
        parent.id: FAILED,
        waiting: CANCELLED,
        running: RUNNING,
        below: CANCELLED,
    }
    record = await record_of(store, parent.id)
    assert record.reason == (
        f"its child, task {failing} (work::job), ended as failed: OSError: run 1"
    )
    told = await record_of(store, running)
    assert told.ends_as is CANCELLED
    assert told.reason == f"its parent, task {parent.id} (work::job), ended as failed"


async def test_a_parent_that_still_runs_is_stopped_and_fails_without_a_retry(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    [child] = await spawn(store, parent, "a")
    assert moved(await fail(store, child)) == {parent.id: RUNNING}
    assert (await record_of(store, parent.id)).ends_as is FAILED
    assert "is to end as failed" in (await refusal(store, new_task("b", parent=parent.id))).reason
    settled = await end(store, parent, raised(1))
    assert settled.status is FAILED
    assert (await record_of(store, parent.id)).reason == (
        f"its child, task {child} (work::job), ended as failed: OSError: run 1"
    )


async def test_a_child_that_fails_ends_a_parent_that_waits_for_its_retry(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    failing, other = await spawn(store, parent, "a", "b")
    await end(store, parent, raised(1, delay_ms=MINUTE))
    assert moved(await fail(store, failing)) == {parent.id: FAILED, other: CANCELLED}
    assert (await record_of(store, parent.id)).due_at is None


async def test_a_failure_travels_up_as_far_as_the_policies_let_it(store: Store) -> None:
    root = await start(store, new_task("root", fail_fast=False))
    middle = await start(store, new_task("middle", parent=root.id))
    [leaf] = await spawn(store, middle, "leaf")
    then = await submit_one(store, new_task("then", depends_on=[middle.id]))
    await end(store, middle, DONE)
    assert moved(await fail(store, leaf)) == {
        middle.id: FAILED,
        then: TaskStatus.DEPENDENCY_FAILED,
    }
    settled = await end(store, root, DONE)
    assert settled.status is FAILED
    assert f"its child, task {middle.id}" in ((await record_of(store, root.id)).reason or "")


async def test_without_fail_fast_a_parent_waits_for_all_and_fails_then(store: Store) -> None:
    parent = await start(store, new_task("parent", fail_fast=False))
    first, second = await spawn(store, parent, "a", "b")
    await end(store, parent, DONE)
    assert (await fail(store, first)).moves == ()
    assert moved(await run(store, second, DONE)) == {parent.id: FAILED}
    record = await record_of(store, parent.id)
    assert (record.result, record.attempt) == (None, 1)


async def test_a_child_that_ends_after_its_parent_was_told_to_stop_changes_nothing(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent"))
    child = await start(store, new_task("child", parent=parent.id))
    assert moved(await stop(store, parent.id)) == {parent.id: RUNNING, child.id: RUNNING}
    settled = await complete(store, child)
    assert (settled.status, settled.moves) == (CANCELLED, ())
    assert (await record_of(store, parent.id)).ends_as is CANCELLED


async def test_children_of_an_earlier_life_do_not_fail_a_revived_parent(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await start(store, new_task("child", parent=parent.id))
    await stop(store, parent.id)
    await complete(store, parent)
    await revived(store, parent.id)
    running = await claim(store, parent.id)
    assert (await complete(store, child)).moves == ()
    assert (await complete(store, running)).status is COMPLETED


async def test_a_parent_that_failed_with_its_child_executes_again_when_revived(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent"))
    [child] = await spawn(store, parent, "a")
    await end(store, parent, MEMO)
    await fail(store, child)
    again = await revived(store, parent.id)
    assert (again.stage, again.memo) == (Stage.EXECUTE, None)


async def test_a_child_whose_dependency_failed_already_fails_its_parent(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    await cancel(store, need)
    parent = await start(store, new_task("parent"))
    [placed] = await submit(store, new_task("child", parent=parent.id, depends_on=[need]))
    assert moved(placed) == {placed.id: TaskStatus.DEPENDENCY_FAILED, parent.id: RUNNING}


# --- ten thousand --------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["completed", "cancelled"])
@AT_SCALE
async def test_ten_thousand_children_end_with_or_before_their_parent(
    store: Store, ending: str
) -> None:
    parent = await start(store, new_task("parent"))
    children = await spawn(store, parent, *(f"{n}" for n in range(MANY)))
    assert (await complete(store, parent)).status is WAITING
    if ending == "cancelled":
        assert len((await stop(store, parent.id)).moves) == MANY + 1
        assert await statuses(store, parent.id, children[-1]) == [CANCELLED, CANCELLED]
    else:
        await settle_all(store, children[:-1])
        assert await statuses(store, parent.id) == [WAITING]
        assert moved(await run(store, children[-1], DONE)) == {parent.id: COMPLETED}


@AT_SCALE
async def test_a_failure_deep_below_ends_ten_thousand_on_its_way_up(store: Store) -> None:
    line = [await start(store, new_task("0"))]
    for n in range(1, 100):
        line.append(await start(store, new_task(f"{n}", parent=line[-1].id)))
    for at, record in enumerate(line[:-1]):
        await spawn(store, record, *(f"{at} {n}" for n in range(100)))
        assert (await complete(store, record)).status is WAITING
    settled = await end(store, line[-1], raised(1, delay_ms=None))
    ends = moved(settled)
    assert all(ends.pop(record.id) is FAILED for record in line[:-1])
    assert len(ends) == 99 * 100
    assert set(ends.values()) == {CANCELLED}


async def test_held_children_do_not_let_their_parent_end(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    parent = await start(store, new_task("parent"))
    child = await submit_one(
        store,
        new_task(
            "child",
            parent=parent.id,
            depends_on=[need],
            on_dependency_failure=OnDependencyFailure.HOLD,
        ),
    )
    await fail(store, need)
    assert (await complete(store, parent)).status is WAITING
    await revived(store, child)
    assert moved(await run(store, child, DONE)) == {parent.id: COMPLETED}
