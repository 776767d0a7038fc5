"""What a batch promises on any backend: submits, dedup, order, and neighbours left alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from taskmill.model.changes import CancelTask, Claim, Promote, Ready, Refill, Submit
from taskmill.model.effects import Changed, Move, Placed, Refilled, Refused, Settled
from taskmill.model.errors import InvalidState, StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.moves import ready_place
from taskmill.rules.settle import Returned, settle
from taskmill.store.base import Store

from .conformance import (
    ANY,
    AT_SCALE,
    MINUTE,
    NOW,
    T0,
    UNKNOWN,
    Backend,
    apply_one,
    claim,
    complete,
    end,
    expect,
    moved,
    new_task,
    raised,
    record_of,
    revive,
    submit,
    submit_one,
    unstorable,
)

pytestmark = pytest.mark.anyio


# --- submit --------------------------------------------------------------------------------------


async def test_a_submitted_task_is_read_back_as_it_was_given(store: Store) -> None:
    new = new_task(
        "a",
        payload='{"n":1}',
        key="k",
        label="First",
        tags={"b": "2", "a": "1"},
        group="g",
        priority=7,
        max_retries=3,
        options='{"timeout":1.5}',
        due_at_ms=T0 + MINUTE,
    )
    [placed] = await submit(store, new)
    assert placed == Placed(id=placed.id, outcome=SubmitOutcome.INSERTED, is_due=True)
    assert await store.get(placed.id) == TaskRecord(
        id=placed.id,
        type="work::job",
        domain="work",
        payload='{"n":1}',
        key="k",
        label="First",
        tags={"a": "1", "b": "2"},
        group="g",
        status=TaskStatus.PENDING,
        priority=7,
        attempt=0,
        run=0,
        max_retries=3,
        options='{"timeout":1.5}',
        created_at=NOW,
        ready_at=NOW + timedelta(minutes=1),
        due_at=NOW + timedelta(minutes=1),
        run_at=NOW + timedelta(minutes=1),
        started_at=None,
        finished_at=None,
        parent=None,
        result=None,
        errors=(),
        reason=None,
    )


async def test_what_was_left_out_is_absent_and_the_label_is_the_type(store: Store) -> None:
    record = await record_of(store, await submit_one(store, new_task("a")))
    assert (record.key, record.group, record.max_retries, record.options) == (None,) * 4
    assert (record.tags, record.label) == ({}, "work::job")


async def test_tasks_are_placed_in_the_order_they_were_given(store: Store) -> None:
    placed = await submit(store, *(new_task(name) for name in "dbca"))
    assert [p.id for p in placed] == sorted(p.id for p in placed)
    assert [(await record_of(store, p.id)).payload for p in placed] == [
        f'{{"name":"{name}"}}' for name in "dbca"
    ]
    assert [p.ready for p in placed] == [Ready("work::job", None, 100, T0, p.id) for p in placed]


async def test_a_refused_task_in_the_middle_of_several_leaves_none_of_them(store: Store) -> None:
    effect = await apply_one(
        store, Submit((new_task("a"), new_task("b", parent=UNKNOWN), new_task("c")))
    )
    assert expect(effect, Refused).reason == f"task 1 of 3: parent {UNKNOWN} does not exist"
    assert await store.count(ANY) == 0
    assert [p.outcome for p in await submit(store, new_task("a"))] == [SubmitOutcome.INSERTED]


async def test_a_refusal_takes_back_an_upgrade_made_before_it(store: Store) -> None:
    first = await submit_one(store, new_task("a", priority=100))
    batch = Submit((new_task("a", priority=1), new_task("b", parent=UNKNOWN)))
    expect(await apply_one(store, batch), Refused)
    assert (await record_of(store, first)).priority == 100


async def test_a_refusal_leaves_the_other_changes_of_its_batch_alone(store: Store) -> None:
    before, refused, after = await store.apply(
        [
            Submit((new_task("a"),)),
            Submit((new_task("b", parent=UNKNOWN),)),
            Submit((new_task("c"),)),
        ]
    )
    assert isinstance(before, tuple)
    assert isinstance(after, tuple)
    assert refused == Refused(f"parent {UNKNOWN} does not exist")
    assert await store.count(ANY) == 2


async def test_only_a_running_task_can_have_new_children(store: Store) -> None:
    parent = await submit_one(store, new_task("parent", tags={"a": "1", "b": "2"}))
    child = new_task("child", parent=parent, tags={"b": "3"}, inherits_tags=True)
    assert expect(await apply_one(store, Submit((child,))), Refused).reason.startswith(
        f"parent {parent} is pending"
    )
    running = await claim(store, parent)
    [placed] = await submit(store, child)
    assert placed.tags == {"a": "1", "b": "3"}
    record = await record_of(store, placed.id)
    assert (record.parent, record.tags) == (parent, {"a": "1", "b": "3"})
    await complete(store, await claim(store, placed.id))
    await complete(store, running)
    late = new_task("late", parent=parent)
    assert expect(await apply_one(store, Submit((late,))), Refused).reason.startswith(
        f"parent {parent} is completed"
    )


@AT_SCALE
async def test_ten_thousand_tasks_go_in_as_one_change(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}") for n in range(10_000)))
    assert len({p.id for p in placed}) == 10_000
    assert await store.count(ANY) == 10_000
    refill = Refill(type="work::job", group=None, priority=100, after=(0, 0), limit=20_000)
    assert expect(await apply_one(store, refill), Refilled).positions == tuple(
        (T0, p.id) for p in placed
    )


async def test_a_megabyte_of_payload_and_of_result_comes_back(store: Store) -> None:
    payload, result = "[" + "1," * (512 * 1024) + "1]", '"' + "ä" * (512 * 1024) + '"'
    running = await claim(store, await submit_one(store, new_task("a", payload=payload)))
    await store.apply([settle(running, Returned(result), now_ms=T0)])
    record = await record_of(store, running.id)
    assert record.payload == payload
    assert record.result == result


@pytest.mark.parametrize(
    "text", ["ä", "日本語", "🦆\u200d🔥", "a\0b", "'; DROP TABLE taskmill_tasks; --", "%_\\", "\n"]
)
async def test_any_text_comes_back(store: Store, text: str) -> None:
    new = new_task(
        text, payload=text, key=text, label=text, group=text, tags={text: text}, options=text
    )
    record = await record_of(store, await submit_one(store, new))
    assert [record.payload, record.key, record.label, record.group, record.options] == [text] * 5
    assert record.tags == {text: text}


# --- dedup ---------------------------------------------------------------------------------------


async def test_of_two_alike_in_one_submit_the_first_stands(store: Store) -> None:
    first, second = await submit(store, new_task("a", payload="1"), new_task("a", payload="2"))
    assert second == Placed(id=first.id, outcome=SubmitOutcome.DUPLICATE)
    assert (await record_of(store, first.id)).payload == "1"


@pytest.mark.parametrize("priority", [100, 101, 255])
async def test_a_duplicate_of_no_better_priority_changes_nothing(
    store: Store, priority: int
) -> None:
    first = await submit_one(store, new_task("a", priority=100))
    before = await store.get(first)
    [again] = await submit(store, new_task("a", payload="other", priority=priority))
    assert again == Placed(id=first, outcome=SubmitOutcome.DUPLICATE)
    assert await store.get(first) == before


async def test_a_better_priority_moves_the_waiting_task(store: Store) -> None:
    first = await submit_one(store, new_task("a", group="g", priority=100))
    before = await record_of(store, first)
    [again] = await submit(store, new_task("a", payload="other", priority=5))
    record = await record_of(store, first)
    assert again == Placed(id=first, outcome=SubmitOutcome.UPGRADED, moves=(Move(before, record),))
    assert [ready_place(each) for each in (before, record)] == [
        Ready("work::job", "g", priority, T0, first) for priority in (100, 5)
    ]
    assert (record.priority, record.payload) == (5, '{"name":"a"}')


async def test_a_better_priority_for_a_task_not_due_has_no_place_to_leave(store: Store) -> None:
    first = await submit_one(store, new_task("a", due_at_ms=T0 + 1))
    [again] = await submit(store, new_task("a", priority=5))
    assert again.outcome is SubmitOutcome.UPGRADED
    [move] = again.moves
    assert ready_place(move.before) is ready_place(move.after) is None
    assert move.after == await store.get(first)


async def test_a_running_task_gets_one_follow_up_that_later_submits_join(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await claim(store, first)
    requeued, joined, better = await store.apply(
        [
            Submit((new_task("a", payload="2", priority=50),)),
            Submit((new_task("a", payload="3", priority=50),)),
            Submit((new_task("a", payload="4", priority=10),)),
        ]
    )
    assert isinstance(requeued, tuple)
    follow_up = requeued[0].id
    assert requeued == (Placed(id=follow_up, outcome=SubmitOutcome.REQUEUED),)
    assert joined == (Placed(id=follow_up, outcome=SubmitOutcome.DUPLICATE),)
    assert expect(better, tuple)[0].outcome is SubmitOutcome.UPGRADED
    assert moved(expect(better, tuple)[0]) == {follow_up: TaskStatus.BLOCKED}
    record = await record_of(store, follow_up)
    assert (record.status, record.payload, record.priority) == (TaskStatus.BLOCKED, "2", 10)
    assert (await record_of(store, first)).status is TaskStatus.RUNNING


async def test_without_requeue_a_running_task_stands_for_its_work(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await claim(store, first)
    assert await submit(store, new_task("a", requeue=False)) == [
        Placed(id=first, outcome=SubmitOutcome.DUPLICATE)
    ]


async def test_the_identity_is_free_again_when_its_task_has_ended(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await complete(store, await claim(store, first))
    [again] = await submit(store, new_task("a"))
    assert again.outcome is SubmitOutcome.INSERTED
    assert again.id > first


# --- batches -------------------------------------------------------------------------------------


async def test_work_that_was_done_before_is_done_again_by_one_submit(store: Store) -> None:
    work = [new_task(f"{n}") for n in range(5)]
    for placed in await submit(store, *work[1:4]):
        await complete(store, await claim(store, placed.id))
    again = await submit(store, *work)
    assert {placed.outcome for placed in again} == {SubmitOutcome.INSERTED}
    assert [placed.id for placed in again] == [*range(again[0].id, again[0].id + 5)]
    joined = await submit(store, *work)
    assert [placed.id for placed in joined] == [placed.id for placed in again]


async def test_submits_that_come_together_are_each_placed(store: Store) -> None:
    done = await claim(store, await submit_one(store, new_task("done")))
    await complete(store, done)
    waiting = await submit_one(store, new_task("waiting"))
    names = ("new", "done", "waiting", "new")
    effects = await store.apply([Submit((new_task(name),)) for name in names])
    placed = [expect(effect, tuple)[0] for effect in effects]
    assert [each.outcome.value for each in placed] == [
        "inserted",
        "inserted",
        "duplicate",
        "duplicate",
    ]
    assert (placed[2].id, placed[3].id) == (waiting, placed[0].id)


async def test_a_duplicate_uses_no_id_up(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    await submit(store, new_task("a"))
    await store.apply([Submit((new_task(name),)) for name in ("a", "a")])
    assert await submit_one(store, new_task("b")) == first + 1


async def test_a_revived_task_stands_for_its_work_again_though_another_did_it_since(
    store: Store,
) -> None:
    first = await claim(store, await submit_one(store, new_task("a")))
    await end(store, first, raised(1, delay_ms=None))
    await complete(store, await claim(store, await submit_one(store, new_task("a"))))
    revived = expect(await revive(store, first.id), Changed)
    assert revived.named == (first.id,)
    [placed] = await submit(store, new_task("a"))
    assert (placed.id, placed.outcome) == (first.id, SubmitOutcome.DUPLICATE)


async def test_an_empty_batch_has_no_effects(store: Store) -> None:
    assert await store.apply([]) == []


async def test_changes_of_a_batch_see_those_before_them(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    running = await claim(store, first)
    ended, again, claimed, refilled = await store.apply(
        [
            settle(running, Returned(None), now_ms=T0),
            Submit((new_task("a"),)),
            Claim(TaskId(first + 1), T0),
            Refill(type="work::job", group=None, priority=100, after=(0, 0), limit=9),
        ]
    )
    assert ended == Settled(status=TaskStatus.COMPLETED)
    assert isinstance(again, tuple)
    assert again[0].outcome is SubmitOutcome.INSERTED
    assert expect(claimed, TaskRecord).id == again[0].id
    assert refilled == Refilled(())


async def test_what_the_database_refuses_leaves_the_rest_of_its_batch_applied(
    store: Store,
) -> None:
    bad, good = [await claim(store, await submit_one(store, new_task(name))) for name in "xy"]
    waiting = await submit_one(store, new_task("z"))
    effects = await store.apply(
        [
            Submit((new_task("a"), new_task("b"))),
            unstorable(bad),
            settle(good, Returned("1"), now_ms=T0),
            CancelTask(id=waiting, domain=None, reason=None, now_ms=T0),
            Promote(now_ms=T0, limit=1),
        ]
    )
    placed, refused, settled, cancelled, _ = effects
    assert [isinstance(effect, StoreError) for effect in effects].count(True) == 1
    assert "Settlement" in str(expect(refused, StoreError))
    assert isinstance(placed, tuple)
    assert [(await record_of(store, p.id)).status for p in placed] == [TaskStatus.PENDING] * 2
    assert settled == Settled(status=TaskStatus.COMPLETED)
    assert moved(expect(cancelled, Changed)) == {waiting: TaskStatus.CANCELLED}
    assert await store.get(bad.id) == bad
    assert (await record_of(store, good.id)).result == "1"


async def test_a_submit_that_the_database_refuses_half_way_inserts_nothing(store: Store) -> None:
    beyond = 256
    good, refused = await store.apply(
        [Submit((new_task("a"),)), Submit((new_task("b"), new_task("c", priority=beyond)))]
    )
    assert isinstance(good, tuple)
    expect(refused, StoreError)
    assert await store.count(ANY) == 1


# --- opening and closing -------------------------------------------------------------------------


async def test_a_store_that_is_not_open_says_so(backend: Backend, tmp_path: Path) -> None:
    store = backend.make(tmp_path)
    with pytest.raises(InvalidState, match="not open"):
        await store.apply([])
    with pytest.raises(InvalidState, match="not open"):
        await store.get(TaskId(1))
    with pytest.raises(InvalidState, match="not open"):
        await store.count(ANY)
    await store.close()


async def test_an_open_store_is_not_opened_twice(store: Store) -> None:
    with pytest.raises(InvalidState, match="open already"):
        await store.open(now=NOW)
    assert await store.get(TaskId(1)) is None


async def test_a_new_store_holds_nothing(backend: Backend, tmp_path: Path) -> None:
    store = backend.make(tmp_path)
    opening = await store.open(now=NOW)
    await store.close()
    assert (opening.epoch, opening.levels, opening.next_due_ms) == (1, (), None)
    assert (opening.retries, opening.recovered) == ({}, 0)


async def test_times_are_kept_to_the_millisecond(store: Store) -> None:
    task = await submit_one(store, new_task("a", created_at_ms=T0 + 1, due_at_ms=T0 + 999))
    record = await record_of(store, task)
    assert (record.created_at, record.due_at) == (from_ms(T0 + 1), from_ms(T0 + 999))
