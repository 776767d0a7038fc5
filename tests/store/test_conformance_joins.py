"""What any backend promises about parents that spawn what is there already, and about circles."""

from __future__ import annotations

import pytest

from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Fault, Placed
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.status import TaskStatus
from taskmill.rules.settle import Returned
from taskmill.store.base import Store

from .conformance import (
    complete,
    fail,
    moved,
    new_task,
    record_of,
    refusal,
    run,
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


# --- joins ---------------------------------------------------------------------------------------


async def test_a_parent_waits_for_a_duplicate_that_it_spawned_and_does_not_own_it(
    store: Store,
) -> None:
    other = await submit_one(store, new_task("a"))
    parent = await start(store, new_task("parent"))
    [placed] = await submit(store, new_task("a", parent=parent.id))
    assert placed == Placed(id=other, outcome=SubmitOutcome.DUPLICATE)
    assert (await record_of(store, other)).parent is None
    assert (await complete(store, parent)).status is WAITING
    assert moved(await run(store, other, DONE)) == {parent.id: COMPLETED}


async def test_a_joined_task_outlives_the_parent_and_fails_it(store: Store) -> None:
    others = [p.id for p in await submit(store, new_task("a"), new_task("b"))]
    for name, other in zip("ab", others, strict=True):
        parent = await start(store, new_task(f"parent of {name}"))
        await submit(store, new_task(name, parent=parent.id))
        await complete(store, parent)
        if name == "a":
            assert moved(await stop(store, parent.id)) == {parent.id: CANCELLED}
            assert await statuses(store, other) == [PENDING]
        else:
            assert moved(await fail(store, other)) == {parent.id: FAILED}


async def test_a_parent_does_not_wait_for_a_duplicate_that_waits_for_it(store: Store) -> None:
    root = await start(store, new_task("root"))
    parent = await start(store, new_task("parent", parent=root.id))
    behind = await submit_one(store, new_task("behind", depends_on=[parent.id]))
    for name, task in (("behind", behind), ("root", root.id)):
        spawned = new_task(name, parent=parent.id, requeue=False)
        assert (await submit(store, spawned))[0].id == task
    assert (await complete(store, parent)).status is COMPLETED


async def test_a_child_cannot_follow_or_replace_a_task_that_waits_for_it(store: Store) -> None:
    root = await start(store, new_task("root"))
    parent = await start(store, new_task("parent", parent=root.id))
    for name in ("root", "parent"):
        for on_duplicate in (OnDuplicate.KEEP, SUPERSEDE):
            child = new_task(name, parent=parent.id, on_duplicate=on_duplicate)
            refused = await refusal(store, child)
            assert refused.fault is Fault.DEPENDENCY
            assert "cannot end before this child" in refused.reason
    assert await statuses(store, root.id, parent.id) == [RUNNING, RUNNING]


async def test_a_parent_waits_for_what_took_the_place_of_its_child(store: Store) -> None:
    parent = await start(store, new_task("parent"))
    child = await submit_one(store, new_task("a", parent=parent.id))
    await complete(store, parent)
    [placed] = await submit(store, new_task("a", on_duplicate=SUPERSEDE))
    assert (placed.replaced, moved(placed)) == (child, {child: TaskStatus.SUPERSEDED})
    assert await statuses(store, parent.id) == [WAITING]
    assert moved(await run(store, placed.id, DONE)) == {parent.id: COMPLETED}


async def test_what_took_the_place_of_a_joined_task_is_waited_for(store: Store) -> None:
    other = await submit_one(store, new_task("a"))
    parent = await start(store, new_task("parent"))
    await submit(store, new_task("a", parent=parent.id))
    await complete(store, parent)
    [placed] = await submit(store, new_task("a", on_duplicate=SUPERSEDE))
    assert moved(placed) == {other: TaskStatus.SUPERSEDED}
    assert moved(await fail(store, placed.id)) == {parent.id: FAILED}
