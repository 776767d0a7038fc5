"""What any backend promises about one task's runs: claims, settlements, cancels, follow-ups."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    ClaimNew,
    Promote,
    Ready,
    Settlement,
    StopCause,
    Submit,
)
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Changed, Move, Promoted, Refused, Settled
from taskmill.model.errors import StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.moves import ready_place
from taskmill.rules.settle import Halted, Interrupted, Raised, Result, Returned, settle
from taskmill.store.base import Store

from .conformance import (
    MINUTE,
    NOW,
    T0,
    UNKNOWN,
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
    released,
    stop,
    submit,
    submit_one,
    told_to_stop,
)

pytestmark = pytest.mark.anyio

ENDINGS: dict[str, Result] = {
    "completed": Returned("1"),
    "failed": raised(1, delay_ms=None),
    "dead": raised(1, max_retries=0),
    "cancelled": Halted(StopCause.CANCELLED),
}


# --- claim ---------------------------------------------------------------------------------------


async def test_a_claim_counts_the_run_and_the_attempt(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    claimed = await claim(store, task, now_ms=T0 + 5)
    assert (claimed.run, claimed.attempt, claimed.status) == (1, 1, TaskStatus.RUNNING)
    assert claimed.started_at == from_ms(T0 + 5)
    assert await store.get(task) == claimed


async def test_a_task_is_claimed_once(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    first, second = await store.apply([Claim(task, T0), Claim(task, T0)])
    assert expect(first, TaskRecord).run == 1
    assert second is None
    assert await apply_one(store, Claim(task, T0)) is None
    assert (await record_of(store, task)).run == 1


async def test_what_a_submit_has_made_is_claimed_with_it(store: Store) -> None:
    waiting = await submit_one(store, new_task("waiting"))
    submits = [Submit((new_task(name, tags={"a": name}),)) for name in ("x", "y")]
    changes: list[Change] = [
        *submits,
        ClaimNew(1, T0 + 5, has_undo=True),
        Claim(waiting, T0 + 5),
        ClaimNew(0, T0 + 5),
    ]
    x, y, *claimed = await store.apply(changes)
    records = [expect(record, TaskRecord) for record in claimed]
    placed = [expect(effect, tuple)[0] for effect in (y, x)]
    assert [record.id for record in records] == [placed[0].id, waiting, placed[1].id]
    assert [record.has_undo for record in records] == [True, False, False]
    assert [dict(record.tags) for record in records] == [{"a": "y"}, {}, {"a": "x"}]
    for record in records:
        assert (record.status, record.run, record.attempt) == (TaskStatus.RUNNING, 1, 1)
        assert record.started_at == from_ms(T0 + 5)
        assert await store.get(record.id) == record


@pytest.mark.parametrize(
    "state", ["joined", "followed", "rejected", "refused", "blocked", "not due", "expired"]
)
async def test_a_submit_that_made_nothing_ready_leaves_nothing_to_claim(
    store: Store, state: str
) -> None:
    other = await submit_one(store, new_task("a"))
    if state == "followed":
        await claim(store, other)
    new = new_task(
        "a" if state in ("joined", "followed", "rejected") else "b",
        on_duplicate=OnDuplicate.REJECT if state == "rejected" else OnDuplicate.KEEP,
        parent=UNKNOWN if state == "refused" else None,
        depends_on=[other] if state == "blocked" else [],
        due_at_ms=T0 + MINUTE if state == "not due" else None,
        expires_at_ms=T0 + 4 if state == "expired" else None,
    )
    before = await store.get(other)
    submitted, claimed = await store.apply([Submit((new,)), ClaimNew(0, T0 + 5)])
    assert claimed is None
    assert isinstance(submitted, Refused if state == "refused" else tuple)
    assert await store.count(Selection(statuses=frozenset({TaskStatus.RUNNING}))) == (
        state == "followed"
    )
    if state != "blocked":
        assert await store.get(other) == before


async def test_two_submits_of_the_same_work_are_one_task_that_is_claimed_once(store: Store) -> None:
    twice = [Submit((new_task("a"),)), Submit((new_task("a"),))]
    first, second, *claimed = await store.apply([*twice, ClaimNew(0, T0), ClaimNew(1, T0)])
    assert expect(first, tuple)[0].id == expect(second, tuple)[0].id
    assert expect(second, tuple)[0].outcome is SubmitOutcome.DUPLICATE
    assert expect(claimed[0], TaskRecord).run == 1
    assert claimed[1] is None


@pytest.mark.parametrize("state", ["unknown", "not due", "blocked", "cancelled", "completed"])
async def test_only_a_pending_task_that_is_due_is_claimed(store: Store, state: str) -> None:
    task = UNKNOWN
    if state == "not due":
        task = await submit_one(store, new_task("a", due_at_ms=T0 + 1))
    elif state != "unknown":
        task = await submit_one(store, new_task("a"))
    if state == "blocked":
        await claim(store, task)
        task = await submit_one(store, new_task("a"))
    elif state == "cancelled":
        await cancel(store, task)
    elif state == "completed":
        await complete(store, await claim(store, task))
    before = await store.get(task)
    assert await apply_one(store, Claim(task, T0 + MINUTE)) is None
    assert await store.get(task) == before


async def test_a_later_claim_brings_the_errors_of_the_earlier_runs(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    await end(store, await claim(store, task), raised(1))
    claimed = await claim(store, task, now_ms=T0 + 1)
    assert (claimed.run, claimed.attempt) == (2, 2)
    assert claimed.errors == (failure(1, message="run 1"),)


# --- settlement ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
async def test_an_ended_run_is_on_record(store: Store, ending: str) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    settled = await end(store, running, ENDINGS[ending], now_ms=T0 + 7)
    assert settled == Settled(status=TaskStatus(ending))
    record = await record_of(store, running.id)
    assert record.status is TaskStatus(ending)
    assert record.finished_at == from_ms(T0 + 7)
    assert record.result == ("1" if ending == "completed" else None)
    assert (record.reason is None) == (ending == "completed")
    assert len(record.errors) == (ending in ("failed", "dead"))


async def test_a_retry_goes_back_with_its_attempt_counted_and_its_time_set(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    assert await end(store, running, raised(1, delay_ms=500)) == Settled(status=TaskStatus.PENDING)
    record = await record_of(store, running.id)
    assert (record.run, record.attempt) == (1, 1)
    assert (record.due_at, record.finished_at) == (from_ms(T0 + 500), None)
    assert record.ready_at == NOW


async def test_a_run_whose_worker_was_lost_is_counted_and_its_attempt_refunded(
    store: Store,
) -> None:
    task = await submit_one(store, new_task("a"))
    for lost in (1, 2):
        effect = await end(store, await claim(store, task), Interrupted("gone", 5))
        assert isinstance(effect, Settled)
        record = await record_of(store, task)
        assert effect == Settled(status=TaskStatus.PENDING, after=record)
        assert (record.run, record.attempt, record.interruptions) == (lost, 0, lost)


async def test_an_interrupted_run_goes_back_with_its_attempt_refunded(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await end(store, running, Halted(StopCause.SHUTDOWN))
    record = await record_of(store, running.id)
    assert (record.status, record.run, record.attempt) == (TaskStatus.PENDING, 1, 0)
    assert (await claim(store, running.id)).run == 2


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_settlement_of_an_older_run_changes_nothing(store: Store, ending: str) -> None:
    first = await claim(store, await submit_one(store, new_task("a")))
    await end(store, first, Halted(StopCause.SHUTDOWN))
    second = await claim(store, first.id)
    assert await end(store, first, ENDINGS[ending]) == Settled(status=None)
    assert await store.get(first.id) == second


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_second_settlement_of_a_run_changes_nothing(store: Store, ending: str) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await submit(store, new_task("a"))
    once, twice = await store.apply(
        [
            settle(running, Returned("first"), now_ms=T0),
            settle(running, ENDINGS[ending], now_ms=T0 + 1),
        ]
    )
    assert expect(once, Settled).status is TaskStatus.COMPLETED
    assert released(expect(once, Settled)).payload == '{"name":"a"}'
    assert twice == Settled(status=None)
    record = await record_of(store, running.id)
    assert (record.result, record.finished_at, record.errors) == ("first", NOW, ())


async def test_a_settlement_of_a_task_that_is_not_there_changes_nothing(store: Store) -> None:
    settlement = Settlement(
        id=UNKNOWN,
        run=1,
        now_ms=T0,
        status=TaskStatus.FAILED,
        attempt=1,
        reason="broken",
        error=failure(1),
    )
    assert await apply_one(store, settlement) == Settled(status=None)


@pytest.mark.parametrize("ending", [*ENDINGS, "retry", "shutdown"])
async def test_a_stop_on_record_makes_any_end_a_cancel(store: Store, ending: str) -> None:
    others: dict[str, Result] = {"retry": raised(1), "shutdown": Halted(StopCause.SHUTDOWN)}
    running = await claim(store, await submit_one(store, new_task("a")))
    assert await cancel(store, running.id) == told_to_stop(running)
    settled = await end(store, running, {**ENDINGS, **others}[ending], now_ms=T0 + 3)
    record = await record_of(store, running.id)
    assert settled == Settled(status=TaskStatus.CANCELLED, after=record)
    assert (record.status, record.result) == (TaskStatus.CANCELLED, None)
    assert record.reason == "cancelled while running"
    assert record.finished_at == from_ms(T0 + 3)


async def test_a_settlement_before_the_stop_in_one_batch_stands(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    settlement = settle(running, Returned("1"), now_ms=T0)
    assert await apply_one(store, settlement) == Settled(status=TaskStatus.COMPLETED)
    assert await cancel(store, running.id) == Changed(named=())
    assert (await record_of(store, running.id)).result == "1"


async def test_the_newest_ten_errors_are_kept_oldest_first(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    for run in range(1, 14):
        running = await claim(store, task, now_ms=T0 + run)
        kept = running.errors
        assert [error.run for error in kept] == list(range(max(1, run - 10), run))
        error = failure(run, message=f"run {run}", at_ms=T0 + run)
        await end(store, running, Raised(error=error, max_retries=12, delay=timedelta(0)))
    record = await record_of(store, task)
    assert [error.run for error in record.errors] == list(range(4, 14))
    assert record.last_error == failure(13, message="run 13", at_ms=T0 + 13)
    assert [error.message for error in record.errors] == [f"run {run}" for run in range(4, 14)]


# --- follow-ups ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_follow_up_is_ready_when_the_run_before_it_ends(store: Store, ending: str) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    follow_up = await submit_one(store, new_task("a", payload="2", priority=9, group="g"))
    settled = await end(store, running, ENDINGS[ending], now_ms=T0 + 50)
    unblocked = released(settled)
    assert unblocked == await store.get(follow_up)
    assert (unblocked.status, unblocked.payload) == (TaskStatus.PENDING, "2")
    assert (unblocked.priority, unblocked.group) == (9, "g")
    assert unblocked.ready_at == from_ms(T0 + 50)
    assert (await claim(store, follow_up)).run == 1


async def test_a_follow_up_waits_through_the_retries_of_the_task_before_it(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    running = await claim(store, first)
    follow_up = await submit_one(store, new_task("a"))
    settled = await end(store, running, raised(1))
    assert settled == Settled(status=TaskStatus.PENDING, after=await store.get(first))
    assert (await record_of(store, follow_up)).status is TaskStatus.BLOCKED
    settled = await complete(store, await claim(store, first))
    assert released(settled).id == follow_up


async def test_a_follow_up_with_a_start_time_waits_for_it(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    due = T0 + MINUTE
    follow_up = await submit_one(store, new_task("a", due_at_ms=due))
    assert (await record_of(store, follow_up)).due_at is None
    settled = await complete(store, running)
    free = released(settled)
    assert free.due_at == free.ready_at == from_ms(due)
    assert await apply_one(store, Claim(follow_up, T0)) is None
    assert expect(await apply_one(store, Promote(now_ms=due, limit=9)), Promoted).ready


async def test_a_follow_up_whose_start_time_has_passed_is_ready_at_once(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await submit(store, new_task("a", due_at_ms=T0 + 10))
    settled = await end(store, running, Returned(None), now_ms=T0 + 20)
    free = released(settled)
    assert (free.due_at, free.ready_at) == (None, from_ms(T0 + 20))


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_stopped_task_releases_its_follow_up(store: Store, ending: str) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    follow_up = await submit_one(store, new_task("a"))
    await cancel(store, running.id)
    assert (await record_of(store, follow_up)).status is TaskStatus.BLOCKED
    settled = await end(store, running, ENDINGS[ending])
    assert released(settled).id == follow_up


async def test_cancelling_the_waiting_task_before_it_releases_a_follow_up(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    running = await claim(store, first)
    follow_up = await submit_one(store, new_task("a"))
    await end(store, running, raised(1, delay_ms=MINUTE))
    before = await record_of(store, first)
    changed = await stop(store, first, now_ms=T0 + 5)
    assert changed.moves[0] == Move(before, await record_of(store, first))
    assert (ready_place(before), before.due_at) == (None, from_ms(T0 + MINUTE))
    assert released(changed) == await store.get(follow_up)


async def test_a_cancelled_follow_up_leaves_the_run_and_room_for_another(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    follow_up = await submit_one(store, new_task("a"))
    changed = expect(await cancel(store, follow_up, reason="not needed"), Changed)
    assert moved(changed) == {follow_up: TaskStatus.CANCELLED}
    assert (await record_of(store, running.id)).status is TaskStatus.RUNNING
    [again] = await submit(store, new_task("a"))
    assert again.outcome is SubmitOutcome.REQUEUED
    settled = await complete(store, running)
    assert released(settled).id == again.id
    assert (await record_of(store, follow_up)).status is TaskStatus.CANCELLED


async def test_a_released_follow_up_stands_for_the_work(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    follow_up = await submit_one(store, new_task("a"))
    await complete(store, running)
    [joined] = await submit(store, new_task("a"))
    assert (joined.id, joined.outcome) == (follow_up, SubmitOutcome.DUPLICATE)
    await claim(store, follow_up)
    [third] = await submit(store, new_task("a"))
    assert third.outcome is SubmitOutcome.REQUEUED


async def test_the_end_of_one_work_releases_nothing_of_another(store: Store) -> None:
    running = [await claim(store, await submit_one(store, new_task(name))) for name in "ab"]
    follow_ups = [await submit_one(store, new_task(name)) for name in "ab"]
    settled = await complete(store, running[1])
    assert released(settled).id == follow_ups[1]
    assert (await record_of(store, follow_ups[0])).status is TaskStatus.BLOCKED


# --- cancel --------------------------------------------------------------------------------------


async def test_a_waiting_task_ends_at_once(store: Store) -> None:
    task = await submit_one(store, new_task("a", group="g"))
    before = await record_of(store, task)
    ended = await cancel(store, task, domain="work", reason="changed my mind", now_ms=T0 + 4)
    record = await record_of(store, task)
    assert ended == Changed(named=(task,), moves=(Move(before, record),))
    assert ready_place(before) == Ready("work::job", "g", 100, T0, task)
    assert ready_place(record) is None
    assert (record.status, record.reason) == (TaskStatus.CANCELLED, "changed my mind")
    assert record.finished_at == from_ms(T0 + 4)


async def test_a_task_that_is_not_due_ends_and_is_due_no_more(store: Store) -> None:
    task = await submit_one(store, new_task("a", due_at_ms=T0 + 1))
    before = await record_of(store, task)
    [move] = (await stop(store, task)).moves
    assert move == Move(before, await record_of(store, task))
    assert (ready_place(before), before.due_at) == (None, from_ms(T0 + 1))
    assert (move.after.due_at, move.after.reason) == (None, "cancelled")
    promoted = await apply_one(store, Promote(now_ms=T0 + MINUTE, limit=9))
    assert promoted == Promoted(ready=(), retries={}, next_due_ms=None)


async def test_a_running_task_is_to_stop_and_runs_until_it_has(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    assert await cancel(store, running.id) == told_to_stop(running)
    assert await cancel(store, running.id, reason="again") == Changed(named=(running.id,))
    record = await record_of(store, running.id)
    assert (record.status, record.ends_as) == (TaskStatus.RUNNING, TaskStatus.CANCELLED)
    assert record.reason == "cancelled while running"


@pytest.mark.parametrize("ending", ENDINGS)
async def test_a_task_that_has_ended_is_left_alone(store: Store, ending: str) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await end(store, running, ENDINGS[ending])
    before = await store.get(running.id)
    assert await cancel(store, running.id) == Changed(named=())
    assert await store.get(running.id) == before


async def test_an_unknown_task_and_one_of_another_domain_are_not_cancelled(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    assert await cancel(store, UNKNOWN) is None
    assert await cancel(store, TaskId(0)) is None
    assert await cancel(store, task, domain="other") is None
    assert (await record_of(store, task)).status is TaskStatus.PENDING


async def test_a_claim_and_a_cancel_in_one_batch_leave_a_run_that_is_to_stop(store: Store) -> None:
    task = await submit_one(store, new_task("a"))
    change = CancelTask(id=task, domain=None, reason=None, now_ms=T0)
    claimed, stopping = await store.apply([Claim(task, T0), change])
    assert stopping == told_to_stop(expect(claimed, TaskRecord))
    settled = await complete(store, expect(claimed, TaskRecord))
    assert settled.status is TaskStatus.CANCELLED


async def test_a_value_no_row_can_hold_fails_its_own_change_only(store: Store) -> None:
    far = CancelTask(id=TaskId(2**63), domain=None, reason=None, now_ms=T0)
    text = Submit((new_task("b", payload="\ud800"),))
    placed, first, second = await store.apply([Submit((new_task("a"),)), far, text])
    assert isinstance(placed, tuple)
    assert first is None or isinstance(first, StoreError)
    assert isinstance(second, StoreError)
    assert await store.get(TaskId(2**63)) is None


async def test_results_that_end_together_come_back_and_one_no_row_can_hold_fails_alone(
    store: Store,
) -> None:
    results = [
        '"a\\u0000 \\"\\n"',
        '"\U0001f600 é"',
        '"\ud800"',
        None,
        '{"n":12345678901234567890}',
    ]
    running = [await claim(store, await submit_one(store, new_task(f"{n}"))) for n in range(5)]
    effects = await store.apply(
        [
            settle(record, Returned(result), now_ms=T0 + n)
            for n, (record, result) in enumerate(zip(running, results, strict=True))
        ]
    )
    assert isinstance(effects.pop(2), StoreError)
    assert effects == [Settled(status=TaskStatus.COMPLETED)] * 4
    found = [await record_of(store, record.id) for record in running]
    assert [record.result for record in found] == [*results[:2], None, *results[3:]]
    assert found[2].status is TaskStatus.RUNNING
    assert found[4].finished_at == from_ms(T0 + 4)


async def test_the_error_of_a_first_attempt_is_seen_while_it_waits(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await end(store, running, raised(1, delay_ms=500))
    assert (await record_of(store, running.id)).errors == (failure(1, message="run 1"),)
