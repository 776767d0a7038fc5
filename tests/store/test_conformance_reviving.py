"""What any backend promises where somebody steps in: revive, reorder, delete, prune."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from taskmill.model.changes import (
    CancelTask,
    Claim,
    Delete,
    Promote,
    Prune,
    Ready,
    Reorder,
    ReviveWhere,
)
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Changed, Deleted, Effect, Move, Promoted, Refused
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.moves import ready_place
from taskmill.rules.settle import Returned
from taskmill.store.base import Store

from .conformance import (
    ANY,
    AT_SCALE,
    MINUTE,
    T0,
    UNKNOWN,
    apply_one,
    cancel,
    claim,
    complete,
    delete,
    end,
    expect,
    fail,
    moved,
    new_task,
    raised,
    record_of,
    revive,
    revived,
    run,
    settle_all,
    start,
    statuses,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

PENDING, RUNNING, COMPLETED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.COMPLETED
FAILED, DEAD, CANCELLED = TaskStatus.FAILED, TaskStatus.DEAD, TaskStatus.CANCELLED
DONE = Returned("1")


async def cancel_all(store: Store, tasks: Sequence[TaskId]) -> None:
    """Cancel each of these tasks, in one batch."""
    await store.apply([CancelTask(id=task, domain=None, reason=None, now_ms=T0) for task in tasks])


# --- revive --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [FAILED, DEAD, CANCELLED])
async def test_a_revived_task_begins_anew_and_keeps_its_runs_and_errors(
    store: Store, ending: TaskStatus
) -> None:
    task = await submit_one(store, new_task("a", group="g", due_at_ms=None))
    await run(store, task, raised(1))
    if ending is CANCELLED:
        await cancel(store, task)
    else:
        await run(store, task, raised(2, delay_ms=None if ending is FAILED else 0, max_retries=1))
    before = await record_of(store, task)
    assert before.status is ending
    changed = expect(await revive(store, task, now_ms=T0 + 9), Changed)
    again = await record_of(store, task)
    assert changed == Changed(named=(task,), moves=(Move(before, again),))
    assert (again.status, again.attempt, again.run) == (PENDING, 0, before.run)
    assert (again.finished_at, again.reason, again.result) == (None, None, None)
    assert (again.errors, again.ready_at) == (before.errors, from_ms(T0 + 9))
    assert ready_place(again) == Ready("work::job", "g", 100, T0 + 9, task)
    assert (await claim(store, task)).attempt == 1


@pytest.mark.parametrize("state", ["pending", "running", "waiting", "completed", "superseded"])
async def test_what_did_not_fail_is_not_revived(store: Store, state: str) -> None:
    task = await submit_one(store, new_task("a"))
    if state == "superseded":
        await submit(store, new_task("a", on_duplicate=OnDuplicate.SUPERSEDE))
    elif state != "pending":
        running = await claim(store, task)
        if state == "waiting":
            await submit(store, new_task("child", parent=task))
        if state != "running":
            await complete(store, running)
    before = await store.get(task)
    refused = expect(await revive(store, task), Refused)
    assert refused.reason.startswith(f"task {task} (work::job) is {state}; only a task that is")
    assert await store.get(task) == before


async def test_an_unknown_task_and_one_of_another_domain_are_not_touched(store: Store) -> None:
    assert await revive(store, UNKNOWN) is None
    assert await reorder(store, UNKNOWN, priority=1) is None
    task = await submit_one(store, new_task("a"))
    change = Reorder(id=task, domain="other", now_ms=T0, priority=1)
    assert await apply_one(store, change) is None


async def test_a_revived_task_whose_identity_is_taken_is_refused_by_name(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    await fail(store, task)
    other = await start(store, new_task("a"))
    follow_up = await submit_one(store, new_task("a"))
    refused = expect(await revive(store, task), Refused)
    assert refused.reason == (
        f"task {task} (work::job) cannot be retried: task {other.id} (work::job), which is "
        "running, does the same work"
    )
    await complete(store, other)
    assert f"task {follow_up}" in expect(await revive(store, task), Refused).reason


async def test_a_revived_task_can_be_followed_and_waited_for(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    await fail(store, task)
    await revived(store, task)
    then = await submit_one(store, new_task("then", depends_on=[task]))
    running = await claim(store, task)
    [follow_up] = await submit(store, new_task("a"))
    assert moved(await complete(store, running)) == {then: PENDING, follow_up.id: PENDING}


async def test_of_several_those_are_revived_that_can_be(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    lost = await submit_one(store, new_task("b", depends_on=[first]))
    await fail(store, first)
    twin = await submit_one(store, new_task("c"))
    await cancel(store, twin)
    second_twin = await submit_one(store, new_task("c"))
    await cancel(store, second_twin)
    done = await submit_one(store, new_task("d"))
    await run(store, done, DONE)
    effect = await apply_one(store, ReviveWhere(selection=ANY, now_ms=T0))
    changed = expect(effect, Changed)
    assert changed.named == (first, lost, twin)
    assert moved(changed) == {first: PENDING, lost: TaskStatus.BLOCKED, twin: PENDING}
    assert await statuses(store, second_twin, done) == [CANCELLED, COMPLETED]


@AT_SCALE
async def test_ten_thousand_are_revived_in_one_change(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}") for n in range(10_000)))
    await store.apply(
        [CancelTask(id=each.id, domain=None, reason=None, now_ms=T0) for each in placed]
    )
    effect = await apply_one(store, ReviveWhere(selection=ANY, now_ms=T0))
    assert len(expect(effect, Changed).named) == 10_000
    assert await store.count(Selection(statuses=frozenset({PENDING}))) == 10_000


# --- reorder -------------------------------------------------------------------------------------


async def reorder(
    store: Store,
    task: TaskId,
    *,
    priority: int | None = None,
    run_at_ms: int | None = None,
    now_ms: int = T0,
) -> Effect | StoreError:
    """What came of moving a task in the queue."""
    return await apply_one(
        store,
        Reorder(id=task, domain=None, now_ms=now_ms, priority=priority, run_at_ms=run_at_ms),
    )


async def test_a_waiting_task_gets_another_priority(store: Store) -> None:
    task = await submit_one(store, new_task("a", priority=50))
    before = await record_of(store, task)
    changed = await reorder(store, task, priority=200)
    after = await record_of(store, task)
    assert changed == Changed(named=(task,), moves=(Move(before, after),))
    assert (after.priority, after.effective_priority) == (200, 200)
    assert ready_place(after) == Ready("work::job", None, 200, T0, task)


async def test_a_running_task_gets_another_priority_for_its_next_run(store: Store) -> None:
    running = await start(store, new_task("a"))
    await reorder(store, running.id, priority=3)
    settled = await end(store, running, raised(1))
    assert settled.after == await store.get(running.id)
    assert settled.after is not None
    assert settled.after.priority == 3


async def test_a_task_is_put_off_and_brought_forward(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    later = T0 + MINUTE
    await reorder(store, task, run_at_ms=later)
    record = await record_of(store, task)
    assert record.run_at == record.due_at == record.ready_at == from_ms(later)
    assert await apply_one(store, Claim(task, T0)) is None
    await reorder(store, task, run_at_ms=T0 + 5, now_ms=T0 + 9)
    record = await record_of(store, task)
    assert (record.due_at, record.ready_at) == (None, from_ms(T0 + 9))
    assert expect(await apply_one(store, Promote(now_ms=later, limit=9)), Promoted).ready == ()
    assert (await claim(store, task, now_ms=T0 + 9)).run == 1


async def test_a_task_that_waits_for_its_retry_is_brought_forward(store: Store) -> None:
    running = await start(store, new_task("a"))
    await end(store, running, raised(1, delay_ms=MINUTE))
    await reorder(store, running.id, run_at_ms=T0, now_ms=T0 + 5)
    assert (await claim(store, running.id)).attempt == 2


async def test_a_blocked_task_keeps_its_new_start_time(store: Store) -> None:
    need = await start(store, new_task("need"))
    task = await submit_one(store, new_task("a", depends_on=[need.id]))
    await reorder(store, task, priority=1, run_at_ms=T0 + MINUTE)
    assert (await record_of(store, task)).due_at is None
    await complete(store, need)
    record = await record_of(store, task)
    assert (record.due_at, record.priority) == (from_ms(T0 + MINUTE), 1)


@pytest.mark.parametrize("state", ["running", "waiting", "undoing"])
async def test_what_has_begun_gets_no_start_time(store: Store, state: str) -> None:
    running = await start(store, new_task("a"), has_undo=True)
    if state == "waiting":
        await submit(store, new_task("child", parent=running.id))
        await complete(store, running)
    elif state == "undoing":
        await end(store, running, raised(1))
        await cancel(store, running.id)
    before = await store.get(running.id)
    expect(await reorder(store, running.id, run_at_ms=T0 + 9, priority=1), Refused)
    assert await store.get(running.id) == before
    assert isinstance(await reorder(store, running.id, priority=1), Changed)


async def test_what_has_ended_is_not_moved(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    await fail(store, task)
    refused = expect(await reorder(store, task, priority=1), Refused)
    assert "has ended as failed" in refused.reason


# --- delete --------------------------------------------------------------------------------------


async def test_deleted_tasks_are_gone_with_their_errors_and_ids_are_not_used_again(
    store: Store,
) -> None:
    task = await submit_one(store, new_task("a"))
    await fail(store, task)
    assert await delete(store, task, UNKNOWN) == 1
    assert await store.get(task) is None
    assert await delete(store, task) == 0
    assert await submit_one(store, new_task("a")) > task


async def test_an_active_task_and_one_that_somebody_awaits_are_not_deleted(store: Store) -> None:
    active = await submit_one(store, new_task("a"))
    awaited = await submit_one(store, new_task("b"))
    await run(store, awaited, DONE)
    assert await delete(store, active, awaited, keep=[awaited]) == 0
    assert await delete(store, active, awaited) == 1
    assert await statuses(store, active) == [PENDING]


async def test_what_an_active_task_needs_is_not_deleted(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    await run(store, need, DONE)
    joined = await submit_one(store, new_task("joined"))
    parent = await start(store, new_task("parent", depends_on=[need], fail_fast=False))
    child = await submit_one(store, new_task("child", parent=parent.id))
    await submit(store, new_task("joined", parent=parent.id))
    await run(store, joined, DONE)
    await run(store, child, DONE)
    assert await delete(store, need, joined, child) == 0
    await complete(store, parent)
    assert await delete(store, need, joined, child, parent.id) == 4


async def test_a_parent_is_not_deleted_while_a_child_is_active(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await start(store, new_task("child", parent=parent.id))
    await cancel(store, parent.id)
    await complete(store, parent)
    assert await delete(store, parent.id) == 0
    await complete(store, child)
    assert await delete(store, parent.id) == 1
    assert (await record_of(store, child.id)).parent == parent.id


async def test_what_stands_for_its_work_is_not_deleted(store: Store) -> None:
    task = await submit_one(store, new_task("a", unique_for_ms=MINUTE))
    await run(store, task, DONE)
    assert await delete(store, task, now_ms=T0 + MINUTE - 1) == 0
    assert await delete(store, task, now_ms=T0 + MINUTE) == 1


# --- prune ---------------------------------------------------------------------------------------


async def prune(
    store: Store,
    kept: int | None,
    *,
    status: TaskStatus = COMPLETED,
    before_ms: int = T0 + MINUTE,
    keep: Sequence[TaskId] = (),
    limit: int = 100,
) -> int:
    """How many tasks were pruned."""
    change = Prune(
        counts={status: kept},
        before_ms=before_ms,
        keep=frozenset(keep),
        limit=limit,
        now_ms=before_ms,
    )
    return expect(await apply_one(store, change), Deleted).count


async def completed(store: Store, *at_ms: int) -> list[TaskId]:
    """Tasks that completed at these times."""
    placed = await submit(store, *(new_task(f"{n}") for n in range(len(at_ms))))
    tasks = [each.id for each in placed]
    for task, now_ms in zip(tasks, at_ms, strict=True):
        await run(store, task, DONE, now_ms=now_ms)
    return tasks


async def left(store: Store, tasks: Sequence[TaskId]) -> list[bool]:
    return [await store.get(task) is not None for task in tasks]


async def test_the_newest_of_a_state_are_kept(store: Store) -> None:
    tasks = await completed(store, T0 + 3, T0 + 1, T0 + 2, T0 + 4)
    failed = await submit_one(store, new_task("f"))
    await fail(store, failed)
    assert await prune(store, 2) == 2
    assert await left(store, tasks) == [True, False, False, True]
    assert await prune(store, 2) == 0
    assert await prune(store, None) == 0
    assert await left(store, [failed]) == [True]


async def test_of_those_that_ended_together_as_many_are_kept(store: Store) -> None:
    tasks = await completed(store, *[T0] * 5)
    assert await prune(store, 2) == 3
    assert await left(store, tasks) == [False, False, False, True, True]


async def test_what_ended_of_late_is_kept(store: Store) -> None:
    tasks = await completed(store, T0 + 1, T0 + 2, T0 + 3)
    assert await prune(store, 0, before_ms=T0 + 3) == 2
    assert await left(store, tasks) == [False, False, True]


async def test_a_batch_takes_the_oldest_and_is_not_held_up_by_what_is_needed(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent"))
    placed = await submit(store, *(new_task(f"c{n}", parent=parent.id) for n in range(5)))
    children = [each.id for each in placed]
    await settle_all(store, children)
    tasks = await completed(store, *range(T0 + 1, T0 + 6))
    assert await prune(store, 0, limit=2, keep=[tasks[0]]) == 2
    assert await left(store, tasks) == [True, False, False, True, True]
    assert await left(store, children) == [True] * 5
    await complete(store, parent)
    assert await prune(store, 0, limit=100) == 9


@AT_SCALE
async def test_ten_thousand_are_deleted_in_one_change(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}") for n in range(10_000)))
    await store.apply(
        [CancelTask(id=each.id, domain=None, reason=None, now_ms=T0) for each in placed]
    )
    meant = Selection(statuses=TERMINAL)
    effect = await apply_one(store, Delete(selection=meant, keep=frozenset(), now_ms=T0))
    assert effect == Deleted(10_000)
    assert await store.count(Selection(statuses=ACTIVE | TERMINAL)) == 0
