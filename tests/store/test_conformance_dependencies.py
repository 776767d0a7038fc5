"""What any backend promises about tasks that depend on others."""

from __future__ import annotations

from itertools import pairwise

import pytest

from taskmill.model.changes import Promote, Submit
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Fault, Move, Placed, Promoted
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned, Snoozed
from taskmill.store.base import Store

from .conformance import (
    AT_SCALE,
    MINUTE,
    T0,
    UNKNOWN,
    apply_one,
    cancel,
    claim,
    complete,
    delete,
    expect,
    expire,
    fail,
    moved,
    new_task,
    raised,
    record_of,
    refusal,
    released,
    revive,
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

BLOCKED, PENDING, LOST = TaskStatus.BLOCKED, TaskStatus.PENDING, TaskStatus.DEPENDENCY_FAILED
CANCELLED, COMPLETED = TaskStatus.CANCELLED, TaskStatus.COMPLETED
HOLD, IGNORE = OnDependencyFailure.HOLD, OnDependencyFailure.IGNORE
DONE = Returned("1")
MANY = 10_000


# --- met and unmet -------------------------------------------------------------------------------


async def test_a_task_waits_until_what_it_depends_on_has_completed(store: Store) -> None:
    first = await submit_one(store, new_task("first"))
    [placed] = await submit(store, new_task("then", depends_on=[first]))
    assert placed == Placed(id=placed.id, outcome=SubmitOutcome.INSERTED)
    waiting = await record_of(store, placed.id)
    assert (waiting.status, waiting.depends_on) == (BLOCKED, (first,))
    settled = await run(store, first, DONE, now_ms=T0 + 7)
    free = released(settled)
    assert (free.id, free.ready_at) == (placed.id, from_ms(T0 + 7))
    assert (await record_of(store, placed.id)).depends_on == (first,)
    assert settled.after == await store.get(first)


async def test_a_retry_or_a_snooze_of_what_it_depends_on_keeps_a_task_waiting(
    store: Store,
) -> None:
    first = await submit_one(store, new_task("first"))
    then = await submit_one(store, new_task("then", depends_on=[first]))
    for result in (raised(1), Snoozed(from_ms(1) - from_ms(0))):
        assert (await run(store, first, result)).moves == ()
        await apply_one(store, Promote(now_ms=T0 + 9, limit=9))
    assert (await record_of(store, then)).status is BLOCKED
    assert released(await run(store, first, DONE)).id == then


async def test_a_task_waits_for_the_last_of_several(store: Store) -> None:
    first = [placed.id for placed in await submit(store, *(new_task(name) for name in "abc"))]
    then = await submit_one(store, new_task("then", depends_on=[*first, *first]))
    assert (await record_of(store, then)).depends_on == tuple(first)
    for task in first[:2]:
        assert (await run(store, task, DONE)).moves == ()
    assert released(await run(store, first[2], DONE)).id == then


async def test_what_has_completed_already_is_not_waited_for(store: Store) -> None:
    first = await submit_one(store, new_task("first"))
    await run(store, first, DONE)
    [placed] = await submit(store, new_task("then", depends_on=[first]))
    assert placed.ready is not None
    record = await record_of(store, placed.id)
    assert (record.status, record.depends_on) == (PENDING, (first,))


async def test_a_start_time_holds_after_the_dependency_and_a_past_one_does_not(
    store: Store,
) -> None:
    first = await submit_one(store, new_task("first"))
    late = new_task("late", depends_on=[first], due_at_ms=T0 + MINUTE)
    past = new_task("past", depends_on=[first], due_at_ms=T0 + 1)
    [a, b] = [placed.id for placed in await submit(store, late, past)]
    assert [(await record_of(store, task)).due_at for task in (a, b)] == [None, None]
    await run(store, first, DONE, now_ms=T0 + 5)
    assert (await record_of(store, a)).due_at == from_ms(T0 + MINUTE)
    assert (await record_of(store, b)).ready_at == from_ms(T0 + 5)
    promoted = expect(await apply_one(store, Promote(now_ms=T0 + MINUTE, limit=9)), Promoted)
    assert [ready.id for ready in promoted.ready] == [a]


async def test_a_dependency_may_be_in_the_same_batch_and_in_another_domain(store: Store) -> None:
    far = new_task("a", kind="far::job", domain="far")
    near = new_task("b", depends_on=[TaskId(1)])
    first, then = await store.apply([Submit((far,)), Submit((near,))])
    assert expect(first, tuple)[0].id == 1
    assert (await record_of(store, expect(then, tuple)[0].id)).status is BLOCKED


async def test_a_follow_up_with_a_dependency_waits_for_both(store: Store) -> None:
    for order in ("the task first", "the dependency first"):
        need = await start(store, new_task(f"need {order}"))
        standing = await start(store, new_task(f"a {order}"))
        [placed] = await submit(store, new_task(f"a {order}", depends_on=[need.id]))
        assert placed.outcome is SubmitOutcome.REQUEUED
        both = [standing, need] if order == "the task first" else [need, standing]
        await complete(store, both[0])
        assert (await record_of(store, placed.id)).status is BLOCKED
        assert released(await complete(store, both[1])).id == placed.id


async def test_a_follow_up_released_into_its_dependency_stands_for_the_work(store: Store) -> None:
    need = await submit_one(store, new_task("need"))
    standing = await start(store, new_task("a"))
    follow_up = await submit_one(store, new_task("a", depends_on=[need]))
    settled = await complete(store, standing)
    assert moved(settled) == {follow_up: BLOCKED}
    assert not (await record_of(store, follow_up)).is_follow_up
    assert (await submit(store, new_task("a")))[0].id == follow_up


# --- failure -------------------------------------------------------------------------------------


async def test_a_failure_ends_what_depends_on_it_and_so_on(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    second = await submit_one(store, new_task("b", depends_on=[first]))
    third = await submit_one(store, new_task("c", depends_on=[second]))
    settled = await fail(store, first, now_ms=T0 + 3)
    assert moved(settled) == {second: LOST, third: LOST}
    record = await record_of(store, third)
    assert record.finished_at == from_ms(T0 + 3)
    assert record.reason == (
        f"it depended on task {second} (work::job), which ended as dependency_failed: "
        f"it depended on task {first} (work::job), which ended as failed: OSError: run 1"
    )


@pytest.mark.parametrize("how", ["cancelled", "expired", "superseded and failed", "lost"])
async def test_any_end_but_completed_is_a_failure(store: Store, how: str) -> None:
    need = await submit_one(store, new_task("need"))
    first = await submit_one(store, new_task("a", depends_on=[need]))
    then = await submit_one(store, new_task("b", depends_on=[first]))
    if how == "cancelled":
        await cancel(store, first)
    elif how == "lost":
        await fail(store, need)
    elif how == "expired":
        short = await submit_one(store, new_task("short", expires_at_ms=T0 + 1))
        then = await submit_one(store, new_task("c", depends_on=[short]))
        await expire(store, T0 + 1)
    else:
        again = new_task("a", on_duplicate=OnDuplicate.SUPERSEDE)
        await fail(store, await submit_one(store, again))
    assert (await record_of(store, then)).status is LOST


async def test_what_is_to_be_ignored_runs_anyway(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    then = await submit_one(store, new_task("b", depends_on=[first], on_dependency_failure=IGNORE))
    assert released(await fail(store, first)).id == then
    late = new_task("c", depends_on=[first], on_dependency_failure=IGNORE)
    assert (await submit(store, late))[0].ready is not None


async def test_a_held_task_waits_until_the_other_is_revived_and_completes(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    held = await submit_one(store, new_task("b", depends_on=[first], on_dependency_failure=HOLD))
    assert (await fail(store, first)).moves == ()
    late = await submit_one(store, new_task("c", depends_on=[first], on_dependency_failure=HOLD))
    assert await statuses(store, held, late) == [BLOCKED, BLOCKED]
    await revived(store, first)
    assert await statuses(store, held, late) == [BLOCKED, BLOCKED]
    assert moved(await run(store, first, DONE)) == {held: PENDING, late: PENDING}


async def test_a_held_task_runs_anyway_where_somebody_says_so(store: Store) -> None:
    first = [placed.id for placed in await submit(store, new_task("a"), new_task("b"))]
    held = await submit_one(store, new_task("c", depends_on=first, on_dependency_failure=HOLD))
    assert "which has not ended" in str(await revive(store, held))
    await fail(store, first[0])
    assert (await revived(store, held)).status is BLOCKED
    assert (await fail(store, first[1])).moves == ()
    assert (await revived(store, held)).status is PENDING


async def test_a_held_task_can_be_cancelled(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    held = await submit_one(store, new_task("b", depends_on=[first], on_dependency_failure=HOLD))
    await fail(store, first)
    assert moved(await stop(store, held)) == {held: CANCELLED}
    assert (await revived(store, held)).status is BLOCKED


async def test_what_had_failed_already_ends_a_new_task_at_once(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await fail(store, first)
    [placed] = await submit(store, new_task("b", depends_on=[first]))
    [move] = placed.moves
    assert (placed.outcome, placed.ready) == (SubmitOutcome.INSERTED, None)
    assert (move.before.status, move.after.status) == (BLOCKED, LOST)
    assert move == Move(move.before, await record_of(store, placed.id))


async def test_a_follow_up_whose_dependency_failed_ends_before_the_task_it_follows(
    store: Store,
) -> None:
    need = await submit_one(store, new_task("need"))
    standing = await start(store, new_task("a"))
    follow_up = await submit_one(store, new_task("a", depends_on=[need]))
    assert moved(await fail(store, need)) == {follow_up: LOST}
    assert (await submit(store, new_task("a")))[0].outcome is SubmitOutcome.REQUEUED
    assert (await complete(store, standing)).status is COMPLETED


async def test_a_task_that_lost_its_dependency_is_revived_after_that(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    then = await submit_one(store, new_task("b", depends_on=[first]))
    await fail(store, first)
    assert f"depends on task {first}, which ended as failed; retry that one first" in str(
        await revive(store, then)
    )
    await revived(store, first)
    assert (await revived(store, then)).status is BLOCKED
    assert released(await run(store, first, DONE)).id == then


async def test_a_revived_task_does_not_wait_for_what_was_deleted(store: Store) -> None:
    first, second = [p.id for p in await submit(store, new_task("a"), new_task("b"))]
    then = await submit_one(store, new_task("c", depends_on=[first, second]))
    await cancel(store, then)
    await cancel(store, first)
    assert await delete(store, first) == 1
    assert (await revived(store, then)).status is BLOCKED
    assert released(await run(store, second, DONE)).id == then


# --- refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [UNKNOWN, TaskId(0), TaskId(-1), TaskId(2**64)])
async def test_what_was_never_there_cannot_be_depended_on(store: Store, task: TaskId) -> None:
    await submit_one(store, new_task("a"))
    refused = await refusal(store, new_task("b", depends_on=[task]))
    assert refused.fault is Fault.DEPENDENCY
    assert await store.count(Selection(statuses=frozenset(TaskStatus))) == 1


async def test_what_was_deleted_is_said_to_have_been_pruned(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await run(store, first, DONE)
    assert await delete(store, first) == 1
    refused = await refusal(store, new_task("b", depends_on=[first]))
    assert refused.fault is Fault.PRUNED
    assert "its record was deleted" in refused.reason


async def test_a_child_cannot_depend_on_what_waits_for_it(store: Store) -> None:
    root = await start(store, new_task("root"))
    behind_root = await submit_one(store, new_task("behind root", depends_on=[root.id]))
    parent = await start(store, new_task("parent", parent=root.id))
    behind = await submit_one(store, new_task("behind", depends_on=[parent.id]))
    further = await submit_one(store, new_task("further", depends_on=[behind]))
    follow_up = await submit_one(store, new_task("parent"))
    for task in (root.id, parent.id, behind, further, behind_root, follow_up):
        child = new_task("child", parent=parent.id, depends_on=[task])
        assert (await refusal(store, child)).fault is Fault.DEPENDENCY
    other = await submit_one(store, new_task("other", parent=root.id))
    assert await submit_one(store, new_task("child", parent=parent.id, depends_on=[other]))


async def test_a_task_cannot_take_the_place_of_what_it_would_wait_for(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    behind = await submit_one(store, new_task("b", depends_on=[first]))
    for task in (first, behind):
        new = new_task("a", depends_on=[task], on_duplicate=OnDuplicate.SUPERSEDE)
        assert (await refusal(store, new)).fault is Fault.DEPENDENCY
    assert await statuses(store, first, behind) == [PENDING, BLOCKED]


# --- ten thousand --------------------------------------------------------------------------------


@AT_SCALE
async def test_a_chain_of_ten_thousand_is_cancelled_and_another_one_completes_step_by_step(
    store: Store,
) -> None:
    tasks = [new_task("0")] + [new_task(f"{n}", depends_on=[TaskId(n)]) for n in range(1, MANY)]
    placed = await submit(store, *tasks)
    chain = [each.id for each in placed]
    assert chain == list(range(1, MANY + 1))
    for task, following in pairwise(chain[:20]):
        assert released(await run(store, task, DONE)).id == following
    changed = await stop(store, chain[19])
    assert [move.after.id for move in changed.moves] == chain[19:]
    assert (await record_of(store, chain[-1])).status is LOST
    assert len((await record_of(store, chain[-1])).reason or "") <= 2000


@AT_SCALE
async def test_ten_thousand_that_depend_on_one_are_released_together(store: Store) -> None:
    first = await submit_one(store, new_task("first"))
    await submit(store, *(new_task(f"{n}", depends_on=[first]) for n in range(MANY)))
    settled = await run(store, first, DONE)
    assert len(settled.moves) == MANY
    pending = Selection(statuses=frozenset({PENDING}))
    assert await store.count(pending) == MANY


@AT_SCALE
async def test_one_that_depends_on_ten_thousand_is_released_by_the_last(store: Store) -> None:
    first = [p.id for p in await submit(store, *(new_task(f"{n}") for n in range(MANY)))]
    then = await submit_one(store, new_task("then", depends_on=first))
    for at in range(0, MANY, 1000):
        batch = first[at : at + 1000]
        await settle_all(store, batch)
        expected = PENDING if at + 1000 == MANY else BLOCKED
        assert (await record_of(store, then)).status is expected
    assert (await record_of(store, then)).depends_on == tuple(first)
    assert (await claim(store, then)).run == 1
