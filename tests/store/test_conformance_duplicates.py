"""What any backend promises where work is submitted again: supersede, reject, windows."""

from __future__ import annotations

from typing import Any

import pytest

from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Fault, Move, Placed
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned
from taskmill.store.base import Store

from .conformance import (
    ANY,
    MINUTE,
    T0,
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
    released,
    revive,
    run,
    start,
    statuses,
    stop,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

BLOCKED, PENDING, RUNNING = TaskStatus.BLOCKED, TaskStatus.PENDING, TaskStatus.RUNNING
SUPERSEDED, COMPLETED = TaskStatus.SUPERSEDED, TaskStatus.COMPLETED
CANCELLED, LOST = TaskStatus.CANCELLED, TaskStatus.DEPENDENCY_FAILED
REJECT = OnDuplicate.REJECT
INSERTED, DUPLICATE = SubmitOutcome.INSERTED, SubmitOutcome.DUPLICATE
REQUEUED, REJECTED = SubmitOutcome.REQUEUED, SubmitOutcome.REJECTED
DONE = Returned("1")


async def supersede(
    store: Store, name: str = "a", *, depends_on: tuple[TaskId, ...] = ()
) -> Placed:
    """Where a task went that takes the place of another one."""
    new = new_task(name, payload='"new"', depends_on=depends_on, on_duplicate=OnDuplicate.SUPERSEDE)
    [placed] = await submit(store, new)
    return placed


# --- supersede -----------------------------------------------------------------------------------


async def test_a_waiting_task_is_superseded_at_once(store: Store) -> None:
    old = await submit_one(store, new_task("a", priority=5))
    before = await record_of(store, old)
    placed = await supersede(store)
    assert (placed.outcome, placed.replaced) == (SubmitOutcome.SUPERSEDED, old)
    after = await record_of(store, old)
    assert placed.moves == (Move(before, after),)
    assert (after.status, after.reason) == (SUPERSEDED, f"superseded by task {placed.id}")
    new = await record_of(store, placed.id)
    assert (new.status, new.priority, new.payload) == (PENDING, 100, '"new"')
    assert placed.ready is not None


async def test_what_stands_for_nothing_is_inserted(store: Store) -> None:
    placed = await supersede(store)
    assert (placed.outcome, placed.replaced) == (INSERTED, None)


async def test_a_running_task_is_stopped_before_the_one_that_supersedes_it_starts(
    store: Store,
) -> None:
    old = await start(store, new_task("a"))
    placed = await supersede(store)
    assert (placed.outcome, placed.replaced) == (SubmitOutcome.SUPERSEDED, old.id)
    assert (placed.ready, moved(placed)) == (None, {old.id: RUNNING})
    assert (await record_of(store, old.id)).ends_as is SUPERSEDED
    assert (await record_of(store, placed.id)).status is BLOCKED
    settled = await end(store, old, raised(1), now_ms=T0 + 3)
    assert (settled.status, released(settled).id) == (SUPERSEDED, placed.id)
    record = await record_of(store, old.id)
    assert record.reason == f"superseded by task {placed.id}"


async def test_a_superseded_task_takes_its_follow_up_with_it(store: Store) -> None:
    old = await start(store, new_task("a"))
    follow_up = await submit_one(store, new_task("a"))
    placed = await supersede(store)
    assert moved(placed) == {follow_up: SUPERSEDED, old.id: RUNNING}
    assert released(await complete(store, old)).id == placed.id


async def test_a_task_that_is_to_end_otherwise_is_followed(store: Store) -> None:
    old = await start(store, new_task("a"))
    await stop(store, old.id)
    placed = await supersede(store)
    assert (placed.outcome, placed.replaced, placed.moves) == (REQUEUED, None, ())
    again = await supersede(store)
    assert (again.outcome, again.replaced) == (SubmitOutcome.SUPERSEDED, placed.id)
    settled = await complete(store, old)
    assert (settled.status, released(settled).id) == (CANCELLED, again.id)


async def test_a_task_that_owes_its_on_cancel_ends_after_that(store: Store) -> None:
    old = await start(store, new_task("a"), has_undo=True)
    await end(store, old, raised(1, delay_ms=MINUTE))
    placed = await supersede(store)
    assert moved(placed) == {old.id: PENDING}
    assert (await record_of(store, placed.id)).status is BLOCKED


async def test_the_subtree_of_a_superseded_task_is_cancelled(store: Store) -> None:
    old = await start(store, new_task("a"))
    child = await submit_one(store, new_task("child", parent=old.id))
    await complete(store, old)
    placed = await supersede(store)
    assert moved(placed) == {old.id: SUPERSEDED, child: CANCELLED}
    assert placed.ready is not None


async def test_what_depended_on_the_old_task_depends_on_the_new_one(store: Store) -> None:
    old = await submit_one(store, new_task("a"))
    then = await submit_one(store, new_task("then", depends_on=[old]))
    placed = await supersede(store)
    assert moved(placed) == {old: SUPERSEDED}
    record = await record_of(store, then)
    assert (record.status, record.depends_on) == (BLOCKED, (placed.id,))
    assert released(await run(store, placed.id, DONE)).id == then


async def test_what_depended_on_a_running_task_waits_for_the_one_in_its_place(
    store: Store,
) -> None:
    old = await start(store, new_task("a"))
    follow_up = await submit_one(store, new_task("a"))
    both = await submit_one(store, new_task("then", depends_on=[old.id, follow_up]))
    placed = await supersede(store)
    assert (await record_of(store, both)).depends_on == (placed.id,)
    assert moved(await complete(store, old)) == {placed.id: PENDING}
    assert moved(await fail(store, placed.id)) == {both: LOST}


async def test_whoever_waits_for_a_new_task_that_cannot_run_is_told(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    await cancel(store, need)
    for name in ("waiting", "running"):
        old = await submit_one(store, new_task(name))
        then = await submit_one(store, new_task(f"after {name}", depends_on=[old]))
        if name == "running":
            await claim(store, old)
        placed = await supersede(store, name, depends_on=(need,))
        ends = moved(placed)
        assert (ends.pop(placed.id), ends.pop(then)) == (LOST, LOST)
        assert ends == {old: SUPERSEDED if name == "waiting" else RUNNING}
        assert f"it depended on task {placed.id}" in ((await record_of(store, then)).reason or "")


async def test_a_task_that_supersedes_may_itself_have_to_wait(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    old = await submit_one(store, new_task("a"))
    placed = await supersede(store, depends_on=(need,))
    assert (placed.ready, placed.replaced) == (None, old)
    assert released(await run(store, need, DONE)).id == placed.id


async def test_a_dependency_on_what_takes_the_place_is_a_circle(store: Store) -> None:
    old = await submit_one(store, new_task("a"))
    parent = await start(store, new_task("parent"))
    await submit(store, new_task("a", parent=parent.id))
    behind = await submit_one(store, new_task("behind", depends_on=[parent.id]))
    new = new_task("a", depends_on=[behind], on_duplicate=OnDuplicate.SUPERSEDE)
    assert (await refusal(store, new)).fault is Fault.DEPENDENCY
    assert await statuses(store, old) == [PENDING]


async def test_the_old_task_of_a_refused_submit_stays(store: Store) -> None:
    old = await submit_one(store, new_task("a"))
    new = new_task("a", on_duplicate=OnDuplicate.SUPERSEDE)
    await refusal(store, new, new_task("b", depends_on=[TaskId(99)]))
    assert await statuses(store, old) == [PENDING]
    assert await store.count(ANY) == 1


# --- reject --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "blocked", "running", "waiting"])
async def test_a_rejected_submit_changes_nothing_and_names_what_stands(
    store: Store, state: str
) -> None:
    need = await submit_one(store, new_task("need"))
    needs = [need] if state == "blocked" else []
    task = await submit_one(store, new_task("a", depends_on=needs))
    if state not in ("pending", "blocked"):
        running = await claim(store, task)
        if state == "waiting":
            await submit(store, new_task("child", parent=task))
            await complete(store, running)
    before = await store.get(task)
    [placed] = await submit(store, new_task("a", priority=1, on_duplicate=REJECT))
    assert placed == Placed(id=task, outcome=REJECTED)
    assert await store.get(task) == before


@pytest.mark.parametrize("options", [{"on_duplicate": REJECT}, {"requeue": False}])
async def test_what_is_to_end_is_followed_by_one_task_at_least(
    store: Store, options: dict[str, Any]
) -> None:
    task = await submit_one(store, new_task("a"))
    await claim(store, task)
    await stop(store, task)
    [follow_up] = await submit(store, new_task("a", **options))
    assert follow_up.outcome is REQUEUED
    assert follow_up.id != task
    [placed] = await submit(store, new_task("a", on_duplicate=REJECT))
    assert placed == Placed(id=follow_up.id, outcome=REJECTED)


async def test_what_would_be_rejected_is_inserted_where_nothing_stands(store: Store) -> None:
    task = await submit_one(store, new_task("a", on_duplicate=REJECT))
    await cancel(store, task)
    [placed] = await submit(store, new_task("a", on_duplicate=REJECT))
    assert placed.outcome is INSERTED


# --- windows -------------------------------------------------------------------------------------


async def again(store: Store, at_ms: int, on_duplicate: OnDuplicate = OnDuplicate.KEEP) -> Placed:
    """Where the same work went, submitted again at this time."""
    [placed] = await submit(
        store, new_task("a", created_at_ms=at_ms, on_duplicate=on_duplicate, unique_for_ms=MINUTE)
    )
    return placed


async def test_a_completed_task_stands_for_its_work_for_a_while(store: Store) -> None:
    task = (await again(store, T0)).id
    await run(store, task, DONE, now_ms=T0 + 100)
    for at_ms in (T0 + 100, T0 + 99 + MINUTE):
        assert await again(store, at_ms) == Placed(id=task, outcome=DUPLICATE)
        assert await again(store, at_ms, REJECT) == Placed(id=task, outcome=REJECTED)
    assert (await again(store, T0 + 100 + MINUTE)).outcome is INSERTED


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_a_task_that_did_not_complete_stands_for_nothing(store: Store, how: str) -> None:
    task = (await again(store, T0)).id
    await (fail(store, task) if how == "failed" else cancel(store, task))
    assert (await again(store, T0)).outcome is INSERTED


async def test_a_window_begins_when_the_children_have_ended(store: Store) -> None:
    parent = await claim(store, (await again(store, T0)).id)
    child = await submit_one(store, new_task("child", parent=parent.id))
    await complete(store, parent)
    await run(store, child, DONE, now_ms=T0 + 500)
    assert await again(store, T0 + 499 + MINUTE) == Placed(id=parent.id, outcome=DUPLICATE)
    assert (await again(store, T0 + 500 + MINUTE)).outcome is INSERTED


async def test_supersede_ends_the_window(store: Store) -> None:
    task = (await again(store, T0)).id
    await run(store, task, DONE)
    placed = await again(store, T0 + 1, OnDuplicate.SUPERSEDE)
    assert (placed.outcome, placed.replaced, placed.moves) == (INSERTED, None, ())
    await cancel(store, placed.id)
    assert (await again(store, T0 + 2)).outcome is INSERTED
    assert (await record_of(store, task)).status is COMPLETED


async def test_a_follow_up_runs_in_the_window_of_the_task_before_it(store: Store) -> None:
    first = await claim(store, (await again(store, T0)).id)
    follow_up = (await again(store, T0)).id
    assert released(await complete(store, first)).id == follow_up
    assert (await again(store, T0 + 1)).id == follow_up
    assert moved(await again(store, T0 + 1, OnDuplicate.SUPERSEDE)) == {follow_up: SUPERSEDED}


async def test_of_two_windows_the_longer_one_stands_and_supersede_ends_both(
    store: Store,
) -> None:
    first = await claim(store, (await again(store, T0)).id)
    second = (await again(store, T0)).id
    await complete(store, first)
    await run(store, second, DONE, now_ms=T0 + 10)
    assert (await again(store, T0 + 20)).id == second
    assert (await again(store, T0 + 9 + MINUTE)).id == second
    placed = await again(store, T0 + 20, OnDuplicate.SUPERSEDE)
    assert (placed.outcome, placed.replaced) == (INSERTED, None)


async def test_a_task_is_not_revived_while_another_stands_for_its_work(store: Store) -> None:
    task = (await again(store, T0)).id
    await fail(store, task)
    other = (await again(store, T0)).id
    assert f"task {other} (work::job), which is pending" in str(await revive(store, task))
    await run(store, other, DONE)
    assert f"task {other} (work::job), which is completed" in str(await revive(store, task))
    assert not isinstance(await revive(store, task, now_ms=T0 + MINUTE), Exception)
    assert (await record_of(store, task)).status is PENDING


async def test_a_late_submit_of_many_meets_windows_and_inserts_the_rest(store: Store) -> None:
    task = (await again(store, T0)).id
    await run(store, task, DONE)
    kept, fresh = await submit(store, new_task("a"), new_task("b"))
    assert (kept, fresh.outcome) == (Placed(id=task, outcome=DUPLICATE), INSERTED)
    assert await store.count(ANY) == 2
    assert (await record_of(store, fresh.id)).created_at == from_ms(T0)
    ignoring = new_task("c", depends_on=[task], on_dependency_failure=OnDependencyFailure.IGNORE)
    assert (await submit(store, ignoring))[0].ready is not None
