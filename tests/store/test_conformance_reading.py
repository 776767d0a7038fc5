"""What any backend promises about looking: promote, refill and count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from taskmill.model.changes import Claim, Promote, Ready, Refill, Submit
from taskmill.model.effects import Ends, Promoted, Refilled
from taskmill.model.record import TaskId
from taskmill.model.resources import IoTotals
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned, settle
from taskmill.store.base import Store

from .conformance import (
    ANY,
    NOW,
    T0,
    UNKNOWN,
    apply_one,
    cancel,
    claim,
    complete,
    end,
    expect,
    new_task,
    raised,
    record_of,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio


# --- promote -------------------------------------------------------------------------------------


async def promote(store: Store, now_ms: int, *, limit: int = 100) -> Promoted:
    return expect(await apply_one(store, Promote(now_ms=now_ms, limit=limit)), Promoted)


async def test_tasks_become_ready_when_their_time_has_come_and_not_before(store: Store) -> None:
    early, late = await submit(
        store,
        new_task("a", due_at_ms=T0 + 10, group="g", priority=3),
        new_task("b", due_at_ms=T0 + 20),
    )
    assert await promote(store, T0 + 9) == Promoted(ready=(), retries={}, next_due_ms=T0 + 10)
    assert await promote(store, T0 + 10) == Promoted(
        ready=(Ready("work::job", "g", 3, T0 + 10, early.id),), retries={}, next_due_ms=T0 + 20
    )
    record = await record_of(store, early.id)
    assert (record.due_at, record.status) == (None, TaskStatus.PENDING)
    assert record.run_at == record.ready_at == from_ms(T0 + 10)
    assert await promote(store, T0 + 10) == Promoted(ready=(), retries={}, next_due_ms=T0 + 20)
    assert [ready.id for ready in (await promote(store, T0 + 99)).ready] == [late.id]
    assert await promote(store, T0 + 99) == Promoted(ready=(), retries={}, next_due_ms=None)


async def test_a_limit_takes_those_due_first_and_says_that_more_are_due(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}", due_at_ms=T0 + n) for n in (5, 1, 4, 2, 3)))
    due = {placed[i].id: n for i, n in enumerate((5, 1, 4, 2, 3))}
    first = await promote(store, T0 + 9, limit=2)
    assert sorted(due[ready.id] for ready in first.ready) == [1, 2]
    assert first.next_due_ms == T0 + 3
    second = await promote(store, T0 + 9, limit=2)
    assert sorted(due[ready.id] for ready in second.ready) == [3, 4]
    third = await promote(store, T0 + 9, limit=2)
    assert ([due[ready.id] for ready in third.ready], third.next_due_ms) == ([5], None)


async def test_promoted_retries_are_counted_and_keep_their_place(store: Store) -> None:
    running = await claim(store, await submit_one(store, new_task("a")))
    await end(store, running, raised(1, delay_ms=10))
    fresh = await submit_one(store, new_task("b", due_at_ms=T0 + 10))
    promoted = await promote(store, T0 + 10)
    assert promoted.retries == {"work::job": 1}
    assert sorted(promoted.ready, key=lambda ready: ready.id) == [
        Ready("work::job", None, 100, T0, running.id),
        Ready("work::job", None, 100, T0 + 10, fresh),
    ]
    assert (await claim(store, running.id)).attempt == 2


# --- refill --------------------------------------------------------------------------------------

REFILL = Refill(type="work::job", group=None, priority=100, after=(0, 0), limit=100)


async def refilled(store: Store, refill: Refill) -> tuple[tuple[int, int], ...]:
    return expect(await apply_one(store, refill), Refilled).positions


async def test_a_level_is_read_in_order_from_a_position_on(store: Store) -> None:
    times = (3, 1, 2, 1, 3, 1)
    placed = await submit(
        store, *(new_task(f"{n}", created_at_ms=T0 + at) for n, at in enumerate(times))
    )
    order = sorted((T0 + at, p.id) for at, p in zip(times, placed, strict=True))
    assert await refilled(store, REFILL) == tuple(order)
    for i, position in enumerate(order):
        refill = attrs.evolve(REFILL, after=position, limit=2)
        assert await refilled(store, refill) == tuple(order[i + 1 : i + 3])


async def test_a_level_is_one_type_one_group_and_one_priority(store: Store) -> None:
    levels: list[tuple[str, str | None, int]] = [
        (kind, group, priority)
        for kind in ("work::job", "work::Job")
        for group in (None, "g", "h", "G")
        for priority in (0, 100)
    ]
    placed = await submit(
        store,
        *(
            new_task(f"{n}", kind=kind, group=group, priority=priority)
            for n, (kind, group, priority) in enumerate(levels)
        ),
    )
    for (kind, group, priority), p in zip(levels, placed, strict=True):
        refill = attrs.evolve(REFILL, type=kind, group=group, priority=priority)
        assert await refilled(store, refill) == ((T0, p.id),)


async def test_only_ready_tasks_are_read(store: Store) -> None:
    running, _, cancelled, _ = await submit(
        store,
        new_task("running"),
        new_task("not due", due_at_ms=T0 + 1),
        new_task("cancelled"),
        new_task("ready"),
    )
    await claim(store, running.id)
    await cancel(store, cancelled.id)
    await submit(store, new_task("running"))
    assert len(await refilled(store, REFILL)) == 1


async def test_a_refill_reads_behind_the_writes_before_it_in_the_batch(store: Store) -> None:
    first = await submit_one(store, new_task("a"))
    _, before, _, between, _, after = await store.apply(
        [
            Submit((new_task("b", due_at_ms=T0 + 1),)),
            REFILL,
            Claim(first, T0),
            REFILL,
            Promote(now_ms=T0 + 1, limit=1),
            REFILL,
        ]
    )
    assert before == Refilled(((T0, first),))
    assert between == Refilled(())
    assert after == Refilled(((T0 + 1, TaskId(first + 1)),))


# --- count ---------------------------------------------------------------------------------------


async def populate(store: Store) -> TaskId:
    """Seven tasks that differ in every field a selection looks at; the id of the parent."""
    parent = await submit_one(store, new_task("parent"))
    await claim(store, parent)
    await submit(
        store,
        new_task("1", key="k", group="g", created_at_ms=T0 + 1),
        new_task("2", key="k", kind="work::other", group="g", created_at_ms=T0 + 2),
        new_task("3", key="K", domain="far", kind="far::job", created_at_ms=T0 + 3),
        new_task("4", domain="far", kind="far::job", group="h", created_at_ms=T0 + 4),
        new_task("5", parent=parent, group="g", created_at_ms=T0 + 5),
    )
    done = await submit_one(store, new_task("6", parent=parent, created_at_ms=T0 + 6))
    await complete(store, await claim(store, done))
    return parent


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, 7),
        ({"statuses": frozenset[TaskStatus]()}, 0),
        ({"statuses": frozenset({TaskStatus.RUNNING})}, 1),
        ({"statuses": ACTIVE}, 6),
        ({"statuses": TERMINAL}, 1),
        ({"statuses": frozenset({TaskStatus.PAUSED})}, 0),
        ({"domain": "work"}, 5),
        ({"domain": "far"}, 2),
        ({"domain": "Far"}, 0),
        ({"types": frozenset({"work::other"})}, 1),
        ({"types": frozenset({"work::other", "far::job"})}, 3),
        ({"types": frozenset[str]()}, 0),
        ({"types": frozenset({"work::%"})}, 0),
        ({"any_group": False, "group": "g"}, 3),
        ({"any_group": False, "group": None}, 3),
        ({"any_group": True, "group": "g"}, 7),
        ({"any_group": False, "group": "G"}, 0),
        ({"key": "k"}, 2),
        ({"key": "K"}, 1),
        ({"ids": frozenset({TaskId(2), UNKNOWN})}, 1),
        ({"ids": frozenset[TaskId]()}, 0),
        ({"created_before": from_ms(T0 + 2)}, 2),
        ({"created_after": from_ms(T0 + 2)}, 4),
        ({"created_after": NOW, "created_before": from_ms(T0 + 3)}, 2),
        ({"created_after": NOW + timedelta(days=1)}, 0),
        ({"domain": "work", "types": frozenset({"work::job"}), "key": "k"}, 1),
        ({"domain": "far", "any_group": False, "group": None}, 1),
        ({"domain": "far", "types": frozenset({"work::other"})}, 0),
        ({"statuses": ACTIVE, "any_group": False, "group": "g", "created_after": NOW}, 3),
        ({"statuses": TERMINAL, "domain": "work", "created_before": from_ms(T0 + 7)}, 1),
    ],
)
async def test_a_count_is_of_what_every_filter_lets_through(
    store: Store, filters: dict[str, Any], expected: int
) -> None:
    await populate(store)
    assert await store.count(attrs.evolve(ANY, **filters)) == expected


async def test_children_are_counted_by_their_parent(store: Store) -> None:
    parent = await populate(store)
    assert await store.count(attrs.evolve(ANY, parent=parent)) == 2
    assert await store.count(Selection(statuses=TERMINAL, parent=parent)) == 1
    assert await store.count(attrs.evolve(ANY, parent=UNKNOWN)) == 0
    own = frozenset({TaskId(parent + 5), TaskId(parent + 1)})
    everything = Selection(
        domain="work",
        types=frozenset({"work::job"}),
        statuses=ACTIVE,
        ids=own,
        any_group=False,
        group="g",
        parent=parent,
        key=None,
        created_before=from_ms(T0 + 6),
        created_after=from_ms(T0 + 4),
    )
    assert await store.count(everything) == 1


async def test_a_count_sees_what_was_applied_before_it(store: Store) -> None:
    pending = attrs.evolve(ANY, statuses=frozenset({TaskStatus.PENDING}))
    for n in range(1, 4):
        await submit(store, new_task(f"{n}"))
        assert await store.count(pending) == n


# --- how they ended ------------------------------------------------------------------------------


async def test_the_ends_of_a_type_are_counted_and_the_last_completed_ones_measured(
    store: Store,
) -> None:
    for number, took in enumerate((5, 7, 9)):
        task = await submit_one(store, new_task(f"done {number}"))
        running = await claim(store, task, now_ms=T0 + number * 100)
        moved = settle(
            running,
            Returned("1"),
            now_ms=T0 + number * 100 + took,
            io=IoTotals(read=number, sent=1) if number else None,
        )
        await apply_one(store, moved)
    failing = await submit_one(store, new_task("failing"))
    await end(store, await claim(store, failing), raised(1, delay_ms=None))
    await submit_one(store, new_task("waiting"))
    other = await submit_one(store, new_task("other", kind="work::other"))
    await complete(store, await claim(store, other))
    ends = await store.ends("work::job", recent=2)
    assert ends == Ends(
        counts={TaskStatus.COMPLETED: 3, TaskStatus.FAILED: 1},
        durations_ms=(9, 7),
        io=IoTotals(read=3, sent=2),
    )
    assert await store.ends("work::none", recent=2) == Ends(
        counts={}, durations_ms=(), io=IoTotals()
    )
