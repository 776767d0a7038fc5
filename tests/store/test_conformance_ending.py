"""What any backend promises where tasks are to end: subtrees, owed on_cancel, crashes, poison."""

from __future__ import annotations

import pytest

from taskmill.model.changes import CancelWhere, StopCause
from taskmill.model.effects import Changed, LevelCount
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Halted, Returned
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
    expect,
    failure,
    moved,
    new_task,
    raised,
    record_of,
    revived,
    start,
    statuses,
    stop,
    submit,
    submit_one,
    told_to_stop,
)

pytestmark = pytest.mark.anyio

PENDING, RUNNING, WAITING = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.WAITING
CANCELLED, COMPLETED, DEAD = TaskStatus.CANCELLED, TaskStatus.COMPLETED, TaskStatus.DEAD
UNDONE = Halted(StopCause.CANCELLED, is_undone=True)
STOPPED = Halted(StopCause.CANCELLED)
SHUT_DOWN = Halted(StopCause.SHUTDOWN)


async def cancel_where(store: Store, *tasks: TaskId, domain: str | None = None) -> Changed:
    """What one cancel of several tasks did."""
    meant = Selection(statuses=ACTIVE, ids=frozenset(tasks) if tasks else None, domain=domain)
    change = CancelWhere(selection=meant, reason="enough", now_ms=T0 + 5)
    return expect(await apply_one(store, change), Changed)


# --- subtrees ------------------------------------------------------------------------------------


async def test_a_cancel_ends_what_waits_below_and_stops_what_runs(store: Store) -> None:
    root = await start(store, new_task("root"))
    middle = await start(store, new_task("middle", parent=root.id))
    leaf = await start(store, new_task("leaf", parent=middle.id))
    waiting = await submit_one(store, new_task("waiting", parent=middle.id))
    await complete(store, root)
    await complete(store, middle)
    changed = await stop(store, root.id)
    assert changed.named == (root.id,)
    assert moved(changed) == {
        root.id: CANCELLED,
        middle.id: CANCELLED,
        leaf.id: RUNNING,
        waiting: CANCELLED,
    }
    assert (await complete(store, leaf)).status is CANCELLED


async def test_the_children_of_a_task_that_is_to_stop_are_stopped_with_it(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("child", parent=parent.id))
    assert moved(await stop(store, parent.id)) == {parent.id: RUNNING, child: CANCELLED}
    record = await record_of(store, child)
    assert record.reason == f"its parent, task {parent.id} (work::job), ended as cancelled"


async def test_a_child_revived_while_its_parent_stops_ends_with_it(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("child", parent=parent.id))
    await stop(store, parent.id)
    await revived(store, child)
    assert moved(await complete(store, parent)) == {child: CANCELLED}


@pytest.mark.parametrize("ending", ["failed", "dead"])
async def test_a_parent_that_fails_by_itself_cancels_its_subtree(store: Store, ending: str) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("child", parent=parent.id))
    result = raised(1, delay_ms=None) if ending == "failed" else raised(1, max_retries=0)
    settled = await end(store, parent, result)
    assert (settled.status, moved(settled)) == (TaskStatus(ending), {child: CANCELLED})


async def test_a_retried_parent_keeps_its_children(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("child", parent=parent.id))
    assert (await end(store, parent, raised(1, delay_ms=5))).moves == ()
    assert await statuses(store, child) == [PENDING]


# --- many ----------------------------------------------------------------------------------------


async def test_several_are_cancelled_in_one_change(store: Store) -> None:
    waiting, due, done = [
        placed.id
        for placed in await submit(
            store, new_task("a"), new_task("b", due_at_ms=T0 + 9), new_task("c")
        )
    ]
    await complete(store, await claim(store, done))
    running = await start(store, new_task("d"))
    told = await start(store, new_task("e"))
    await stop(store, told.id)
    far = await submit_one(store, new_task("far", kind="far::job", domain="far"))
    changed = await cancel_where(store, domain="work")
    assert changed.named == (waiting, due, running.id, told.id)
    assert moved(changed) == {waiting: CANCELLED, due: CANCELLED, running.id: RUNNING}
    assert (await record_of(store, waiting)).reason == "enough"
    assert await statuses(store, far) == [PENDING]
    assert (await cancel_where(store, domain="none")) == Changed(named=())


async def test_what_ends_with_another_is_named_if_it_was_meant(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    lost = await submit_one(store, new_task("b", depends_on=[first]))
    other = await submit_one(store, new_task("c", depends_on=[first]))
    changed = await cancel_where(store, first, lost)
    assert changed.named == (first, lost)
    assert moved(changed) == {
        first: CANCELLED,
        lost: CANCELLED,
        other: TaskStatus.DEPENDENCY_FAILED,
    }


@AT_SCALE
async def test_ten_thousand_are_cancelled_in_one_change_and_release_their_followers(
    store: Store,
) -> None:
    running = await start(store, new_task("running"))
    follow_up = await submit_one(store, new_task("running"))
    await end(store, running, raised(1, delay_ms=MINUTE))
    await submit(store, *(new_task(f"{n}") for n in range(10_000)))
    changed = await cancel_where(store)
    assert len(changed.named) == 10_002
    assert await statuses(store, running.id, follow_up) == [CANCELLED, CANCELLED]
    assert await store.count(Selection(statuses=ACTIVE)) == 0


# --- on_cancel -----------------------------------------------------------------------------------


async def undoing(store: Store, task: TaskId) -> TaskRecord:
    """The claimed run that is an ``on_cancel``."""
    record = await claim(store, task)
    assert (record.stage.part, record.ends_as) == (Stage.UNDO, CANCELLED)
    return record


async def test_a_started_handler_with_on_cancel_is_on_record(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    running = await claim(store, task, has_undo=True)
    assert running.has_undo
    assert running == await store.get(task)


async def test_a_cancel_before_the_first_start_owes_nothing(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    assert moved(await stop(store, task)) == {task: CANCELLED}


async def test_a_run_that_has_undone_its_work_ends(store: Store) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    await stop(store, running.id)
    assert (await end(store, running, UNDONE)).status is CANCELLED


@pytest.mark.parametrize("state", ["retrying", "waiting", "running"])
async def test_a_task_that_owes_its_on_cancel_runs_it_and_then_ends(
    store: Store, state: str
) -> None:
    running = await start(store, new_task("a", priority=9), has_undo=True)
    then = await submit_one(store, new_task("then", depends_on=[running.id]))
    if state == "retrying":
        await end(store, running, raised(1, delay_ms=MINUTE))
    elif state == "waiting":
        await submit(store, new_task("child", parent=running.id))
        await complete(store, running)
    changed = await cancel(store, running.id, reason="no", now_ms=T0 + 5)
    if state == "running":
        assert changed == told_to_stop(running, reason="no")
        settled = await end(store, running, Returned("1"), now_ms=T0 + 5)
        assert (settled.status, settled.moves) == (PENDING, ())
    owed = await record_of(store, running.id)
    assert (owed.status, owed.stage, owed.ends_as) == (PENDING, Stage.UNDO, CANCELLED)
    assert (owed.reason, owed.due_at, owed.ready_at) == ("no", None, from_ms(T0 + 5))
    assert await statuses(store, then) == [TaskStatus.BLOCKED]
    settled = await end(store, await undoing(store, running.id), UNDONE)
    assert (settled.status, moved(settled)) == (CANCELLED, {then: TaskStatus.DEPENDENCY_FAILED})
    assert (await record_of(store, running.id)).reason == "no"


async def test_an_interrupted_on_cancel_is_owed_still_and_an_error_of_it_is_kept(
    store: Store,
) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    await stop(store, running.id)
    assert (await end(store, running, STOPPED)).status is PENDING
    assert (await end(store, await undoing(store, running.id), SHUT_DOWN)).status is PENDING
    last = await undoing(store, running.id)
    broken = Halted(StopCause.CANCELLED, is_undone=True, error=failure(last.run))
    settled = await end(store, last, broken)
    record = await record_of(store, running.id)
    assert (settled.status, settled.after) == (CANCELLED, record)
    assert record.errors == (failure(3),)


async def test_a_second_cancel_of_a_task_that_owes_its_on_cancel_changes_nothing(
    store: Store,
) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    await end(store, running, raised(1))
    await stop(store, running.id)
    before = await store.get(running.id)
    assert await stop(store, running.id) == Changed(named=(running.id,))
    assert await store.get(running.id) == before


async def test_on_cancel_is_not_owed_again_by_a_task_revived_after_it(store: Store) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    await stop(store, running.id)
    await end(store, running, UNDONE)
    assert not (await revived(store, running.id)).has_undo
    assert moved(await stop(store, running.id)) == {running.id: CANCELLED}


async def test_on_cancel_is_owed_by_a_task_revived_after_a_failure(store: Store) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    await end(store, running, raised(1, delay_ms=None))
    assert (await revived(store, running.id)).has_undo
    assert moved(await stop(store, running.id)) == {running.id: PENDING}


# --- recovery ------------------------------------------------------------------------------------


async def test_a_crash_ends_what_was_to_stop_and_what_that_concerns(place: Place) -> None:
    async with place.opened() as store:
        parent = await start(store, new_task("parent"))
        child = await start(store, new_task("child", parent=parent.id))
        then = await submit_one(store, new_task("then", depends_on=[child.id]))
        await complete(store, parent)
        await stop(store, child.id)
    store = place.store()
    assert (await store.open(now=NOW)).recovered == 0
    assert await statuses(store, parent.id, child.id, then) == [
        TaskStatus.FAILED,
        CANCELLED,
        TaskStatus.DEPENDENCY_FAILED,
    ]
    await store.close()


async def test_on_cancel_runs_after_a_crash_and_not_for_ever(place: Place) -> None:
    async with place.opened() as store:
        running = await start(store, new_task("a"), has_undo=True)
        await stop(store, running.id)
    for n in range(1, 6):
        store = place.store()
        opening = await store.open(now=NOW)
        assert opening.levels == (LevelCount("work::job", None, 100, 1, Stage.UNDO),)
        record = await undoing(store, running.id)
        assert (record.interruptions, record.reason) == (n, "cancelled while running")
        await store.close()
    async with place.opened() as store:
        assert await statuses(store, running.id) == [CANCELLED]


# --- poison --------------------------------------------------------------------------------------


async def crash(place: Place, *tasks: TaskId, times: int = 1) -> None:
    """Let the process die while these tasks run."""
    for _ in range(times):
        async with place.opened() as store:
            for task in tasks:
                await claim(store, task)
    async with place.opened():
        pass


async def submitted(place: Place, name: str) -> TaskId:
    async with place.opened() as store:
        return await submit_one(store, new_task(name, max_interruptions=3))


async def test_a_task_that_was_there_at_too_many_crashes_runs_alone(place: Place) -> None:
    task = await submitted(place, "a")
    await crash(place, task, times=2)
    async with place.opened() as store:
        record = await record_of(store, task)
        assert (record.interruptions, record.stage, record.attempt) == (2, Stage.EXECUTE, 0)
    await crash(place, task)
    store = place.store()
    opening = await store.open(now=NOW)
    assert opening.levels == (LevelCount("work::job", None, 100, 1, Stage.ALONE),)
    assert (await record_of(store, task)).interruptions == 3
    await store.close()


async def test_a_task_at_which_the_process_dies_alone_is_dead(place: Place) -> None:
    task = await submitted(place, "a")
    async with place.opened() as store:
        then = await submit_one(store, new_task("then", depends_on=[task]))
    await crash(place, task, times=3)
    async with place.opened() as store:
        await claim(store, task)
    store = place.store()
    assert (await store.open(now=NOW)).recovered == 1
    record = await record_of(store, task)
    assert (record.status, record.reason) == (
        DEAD,
        "the process died 4 times while it ran; the last time it ran alone",
    )
    assert await statuses(store, then) == [TaskStatus.DEPENDENCY_FAILED]
    await store.close()


@pytest.mark.parametrize("ending", ["completed", "retried"])
async def test_a_task_that_survives_alone_was_innocent(place: Place, ending: str) -> None:
    task = await submitted(place, "a")
    await crash(place, task, times=3)
    async with place.opened() as store:
        alone = await claim(store, task)
        settled = await end(store, alone, Returned("1") if ending == "completed" else raised(4))
        record = await record_of(store, task)
        assert (record.stage, record.interruptions) == (Stage.EXECUTE, 0)
        assert settled.after == record


async def test_an_interrupted_run_alone_proves_nothing(place: Place) -> None:
    task = await submitted(place, "a")
    await crash(place, task, times=3)
    async with place.opened() as store:
        await end(store, await claim(store, task), SHUT_DOWN)
        record = await record_of(store, task)
        assert (record.stage, record.interruptions) == (Stage.ALONE, 3)


async def test_a_poison_task_that_is_to_stop_ends_as_that(place: Place) -> None:
    task = await submitted(place, "a")
    await crash(place, task, times=3)
    async with place.opened() as store:
        await claim(store, task)
        await stop(store, task)
    async with place.opened() as store:
        assert await statuses(store, task) == [CANCELLED]


async def test_a_refused_settlement_leaves_a_task_that_ends_otherwise(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("child", parent=parent.id))
    bad = await cancel(store, parent.id, reason="\ud800")
    assert isinstance(bad, StoreError)
    assert await statuses(store, parent.id, child) == [RUNNING, PENDING]
    assert (await complete(store, parent)).status is WAITING
    assert (await complete(store, await claim(store, child))).status is COMPLETED
