"""What any backend promises about times to live."""

from __future__ import annotations

import pytest

from taskmill.model.changes import Claim
from taskmill.model.effects import Swept
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Returned, Snoozed
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
    end,
    expire,
    moved,
    new_task,
    raised,
    record_of,
    released,
    revived,
    run,
    start,
    statuses,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

EXPIRED, PENDING = TaskStatus.EXPIRED, TaskStatus.PENDING
LATE = T0 + MINUTE
NOTHING = Swept(moves=(), next_ms=None)


# --- expiry --------------------------------------------------------------------------------------


async def test_what_has_not_started_in_its_time_to_live_expires(store: Store) -> None:
    [placed] = await submit(store, new_task("a", expires_at_ms=LATE))
    assert placed.expires_at_ms == LATE
    assert await expire(store, LATE - 1) == Swept(moves=(), next_ms=LATE)
    swept = await expire(store, LATE)
    record = await record_of(store, placed.id)
    assert (swept.next_ms, [move.after for move in swept.moves]) == (None, [record])
    assert (record.status, record.finished_at) == (EXPIRED, from_ms(LATE))
    assert record.reason == "could not start in its time to live"
    assert await expire(store, LATE) == NOTHING


async def test_an_expired_task_is_not_claimed_even_before_it_is_swept(store: Store) -> None:
    task = await submit_one(store, new_task("a", expires_at_ms=LATE))
    assert await apply_one(store, Claim(task, LATE)) is None
    assert (await claim(store, task, now_ms=LATE - 1)).run == 1


@pytest.mark.parametrize("state", ["blocked", "follow-up", "not due", "retrying"])
async def test_whatever_waits_expires(store: Store, state: str) -> None:
    need = await start(store, new_task("need"))
    needs = [need.id] if state == "blocked" else []
    name = "need" if state == "follow-up" else "a"
    due_at_ms = LATE + MINUTE if state == "not due" else None
    new = new_task(name, depends_on=needs, due_at_ms=due_at_ms, expires_at_ms=LATE)
    task = await submit_one(store, new)
    if state == "retrying":
        await run(store, task, raised(1, delay_ms=2 * MINUTE))
    assert moved(await expire(store, LATE)) == {task: EXPIRED}
    again = " again" if state == "retrying" else ""
    assert (await record_of(store, task)).reason == f"could not start{again} in its time to live"
    assert (await submit(store, new_task(name, requeue=True)))[0].id != task


async def test_what_runs_or_has_run_does_not_expire(store: Store) -> None:
    running = await start(store, new_task("a", expires_at_ms=LATE))
    finalizing = await start(store, new_task("b", expires_at_ms=LATE))
    await end(store, finalizing, Returned("1", finalizes=True))
    waiting = await start(store, new_task("c", expires_at_ms=LATE))
    await submit(store, new_task("child", parent=waiting.id, has_ttl=True))
    await end(store, waiting, Returned("1"))
    stopped = await start(store, new_task("d", expires_at_ms=LATE), has_undo=True)
    await end(store, stopped, raised(1, delay_ms=5))
    await cancel(store, stopped.id)
    assert await expire(store, LATE) == NOTHING
    assert await statuses(store, running.id, waiting.id) == [
        TaskStatus.RUNNING,
        TaskStatus.WAITING,
    ]
    assert (await claim(store, finalizing.id, now_ms=LATE)).stage is Stage.FINALIZE
    assert (await claim(store, stopped.id, now_ms=LATE)).stage is Stage.UNDO


async def test_those_that_expire_first_are_swept_first_and_more_is_said_to_be_due(
    store: Store,
) -> None:
    times = (T0 + 5, T0 + 1, T0 + 3, T0 + 1, T0 + 4)
    placed = await submit(
        store, *(new_task(f"{n}", expires_at_ms=at) for n, at in enumerate(times))
    )
    order = [placed[n].id for n in (1, 3, 2, 4, 0)]
    first = await expire(store, T0 + 9, limit=3)
    assert ([move.after.id for move in first.moves], first.next_ms) == (order[:3], T0 + 4)
    second = await expire(store, T0 + 9, limit=3)
    assert ([move.after.id for move in second.moves], second.next_ms) == (order[3:], None)


async def test_an_expiry_cascades(store: Store) -> None:
    first = await submit_one(store, new_task("a", expires_at_ms=LATE))
    then = await submit_one(store, new_task("then", depends_on=[first]))
    parent = await start(store, new_task("parent", expires_at_ms=LATE))
    child = await submit_one(store, new_task("child", parent=parent.id, has_ttl=True))
    await end(store, parent, raised(1, delay_ms=2 * MINUTE))
    follow_up = await submit_one(store, new_task("parent", payload="2"))
    assert follow_up == parent.id
    assert moved(await expire(store, LATE)) == {
        first: EXPIRED,
        then: TaskStatus.DEPENDENCY_FAILED,
        parent.id: EXPIRED,
        child: TaskStatus.CANCELLED,
    }


async def test_a_follow_up_is_released_by_the_expiry_of_the_task_before_it(store: Store) -> None:
    standing = await start(store, new_task("a", expires_at_ms=LATE))
    follow_up = await submit_one(store, new_task("a"))
    await end(store, standing, raised(1, delay_ms=2 * MINUTE))
    assert moved(await expire(store, LATE)) == {standing.id: EXPIRED, follow_up: PENDING}


async def test_an_expired_task_cannot_be_revived(store: Store) -> None:
    task = await submit_one(store, new_task("a", expires_at_ms=LATE))
    await expire(store, LATE)
    with pytest.raises(AssertionError, match="is expired; only a task that is dead"):
        await revived(store, task)


async def test_the_opening_says_when_the_next_task_expires(place: Place) -> None:
    async with place.opened() as store:
        await submit(store, new_task("a", expires_at_ms=LATE + 1), new_task("b"))
        await start(store, new_task("c", expires_at_ms=LATE))
    store = place.store()
    assert (await store.open(now=NOW)).next_expiry_ms == LATE
    assert len((await expire(store, LATE)).moves) == 1
    await store.close()


@AT_SCALE
async def test_ten_thousand_expire_in_bounded_batches(store: Store) -> None:
    await submit(store, *(new_task(f"{n}", expires_at_ms=LATE) for n in range(10_000)))
    for n in range(10):
        swept = await expire(store, LATE, limit=1000)
        assert len(swept.moves) == 1000
        assert swept.next_ms == (LATE if n < 9 else None)


# --- from the first attempt ----------------------------------------------------------------------


async def test_a_time_to_live_can_begin_with_the_first_attempt(store: Store) -> None:
    task = await submit_one(store, new_task("a", ttl_ms=MINUTE))
    assert (await record_of(store, task)).expires_at is None
    assert await expire(store, T0 + 9 * MINUTE) == NOTHING
    running = await claim(store, task, now_ms=T0 + 5)
    assert running.expires_at == from_ms(T0 + 5 + MINUTE)
    assert running == await store.get(task)
    await end(store, running, Snoozed(from_ms(1) - from_ms(0)), now_ms=T0 + 10)
    assert moved(await expire(store, T0 + 5 + MINUTE)) == {task: EXPIRED}


async def test_a_time_to_live_that_has_begun_goes_on_through_refunded_attempts(
    store: Store,
) -> None:
    task = await submit_one(store, new_task("a", ttl_ms=MINUTE))
    for n in range(3):
        running = await claim(store, task, now_ms=T0 + n)
        assert running.expires_at == from_ms(T0 + MINUTE)
        await end(store, running, raised(running.run), now_ms=T0 + n)


# --- inherited -----------------------------------------------------------------------------------


async def test_children_inherit_what_is_left_of_their_parents_time_to_live(store: Store) -> None:
    parent = await start(store, new_task("parent", expires_at_ms=LATE))
    children = await submit(
        store,
        new_task("inherits", parent=parent.id),
        new_task("own", parent=parent.id, expires_at_ms=LATE + 1, has_ttl=True),
        new_task("none", parent=parent.id, has_ttl=True),
    )
    assert [placed.expires_at_ms for placed in children] == [LATE, LATE + 1, None]
    expiries = [(await record_of(store, placed.id)).expires_at for placed in children]
    assert expiries == [from_ms(LATE), from_ms(LATE + 1), None]


async def test_children_inherit_a_time_to_live_that_began_with_the_first_attempt(
    store: Store,
) -> None:
    parent = await start(store, new_task("parent", ttl_ms=MINUTE))
    child = await submit_one(store, new_task("child", parent=parent.id))
    grandchild = new_task("grandchild", parent=(await claim(store, child)).id)
    assert (await submit(store, grandchild))[0].expires_at_ms == LATE


# --- revived -------------------------------------------------------------------------------------


async def test_a_revived_task_has_its_whole_time_to_live_again_each_time(store: Store) -> None:
    task = await submit_one(store, new_task("a", expires_at_ms=LATE))
    for n in range(1, 4):
        await cancel(store, task)
        again = await revived(store, task, now_ms=T0 + n * MINUTE)
        assert again.expires_at == from_ms(T0 + (n + 1) * MINUTE)


async def test_a_time_to_live_from_the_first_attempt_begins_again_with_the_next(
    store: Store,
) -> None:
    running = await start(store, new_task("a", ttl_ms=MINUTE))
    await end(store, running, raised(1, delay_ms=None))
    assert (await revived(store, running.id)).expires_at is None
    again = await claim(store, running.id, now_ms=T0 + 500)
    assert again.expires_at == from_ms(T0 + 500 + MINUTE)


async def test_a_blocked_task_that_is_released_keeps_its_time_to_live(store: Store) -> None:
    need = await start(store, new_task("need"))
    task = await submit_one(store, new_task("a", depends_on=[need.id], expires_at_ms=LATE))
    assert released(await end(store, need, Returned("1"))).expires_at == from_ms(LATE)
    assert moved(await expire(store, LATE)) == {task: EXPIRED}
