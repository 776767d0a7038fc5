"""The end of one task ends others: in one commit, and with an event for each, in its order."""

from __future__ import annotations

import anyio
import pytest

from taskmill import (
    Cancelled,
    Completed,
    Context,
    DeadLettered,
    DependencyFailed,
    Expired,
    Failed,
    OnDuplicate,
    Superseded,
    TaskStatus,
    Unblocked,
)
from taskmill import Waiting as WaitingEvent
from tests.life.app import HOUR, SECOND, Do, Errand, Fail, Nap, Tidy, Work, open_app
from tests.life.hearing import heard, told

pytestmark = pytest.mark.anyio

ENDS = (Cancelled, Completed, DeadLettered, DependencyFailed, Expired, Failed, Superseded)


async def test_a_failed_dependency_is_announced_before_those_it_takes_along() -> None:
    async with open_app() as app, app.scheduler.events() as events:
        root = await app.work.submit(Fail(), max_retries=0, delay=SECOND)
        ids = [root.id]
        for number in range(4):
            link = await app.work.submit(Nap(name=str(number)), depends_on=[ids[-1]])
            ids.append(link.id)
        errand = await app.other.submit(Errand(), depends_on=[ids[-1]])
        await app.other.wait(errand.id)
        assert told(await heard(events), *ENDS) == [
            ("DeadLettered", root.id),
            *(("DependencyFailed", task) for task in [*ids[1:], errand.id]),
        ]


async def test_all_that_an_end_takes_along_ends_in_the_same_moment() -> None:
    async with open_app() as app:
        root = await app.work.submit(Nap(name="root"), delay=HOUR)
        middle = await app.work.submit(Nap(name="middle"), depends_on=[root])
        last = await app.work.submit(Nap(name="last"), depends_on=[middle])
        await app.work.cancel(root.id)
        records = [await app.work.get(task.id) for task in (root, middle, last)]
        assert [record.status for record in records] == [
            TaskStatus.CANCELLED,
            TaskStatus.DEPENDENCY_FAILED,
            TaskStatus.DEPENDENCY_FAILED,
        ]
        assert len({record.finished_at for record in records}) == 1


async def test_a_cancelled_subtree_is_announced_task_by_task() -> None:
    async with open_app() as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="a"), Nap(name="b")], delay=HOUR)

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        after = await app.work.submit(Nap(name="after"), depends_on=[parent])
        await anyio.sleep(1)
        async with app.work.events() as events:
            await app.work.cancel(parent.id)
            ends = told(await heard(events), *ENDS)
        page = await app.work.history(parent=parent.id)
        children = [child.id for child in page.items]
        assert sorted(ends) == sorted(
            [
                ("Cancelled", parent.id),
                ("DependencyFailed", after.id),
                *(("Cancelled", child) for child in children),
            ]
        )
        assert len(children) == 2


async def test_a_child_that_fails_is_announced_before_its_siblings_and_its_parent() -> None:
    async with open_app() as app, app.work.events() as events:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name="late"), Tidy(name="later")], delay=HOUR)
            await ctx.spawn(Fail(permanent=True))

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        after = await app.work.submit(Nap(name="after"), depends_on=[parent])
        await app.work.wait(after.id)
        seen = await heard(events)
        ends = told(seen, *ENDS)
        assert ends[0] == ("Failed", 5)
        assert sorted(ends[1:]) == sorted(
            [
                ("Cancelled", 3),
                ("Cancelled", 4),
                ("Failed", parent.id),
                ("DependencyFailed", after.id),
            ]
        )
        assert ends.index(("Failed", parent.id)) < ends.index(("DependencyFailed", after.id))
        assert told(seen, WaitingEvent) in ([], [("Waiting", parent.id)])


async def test_an_expiry_is_announced_before_what_depended_on_it() -> None:
    async with open_app() as app, app.work.events() as events:
        await app.work.pause()
        short = await app.work.submit(Nap(name="short"), ttl=SECOND)
        after = await app.work.submit(Nap(name="after"), depends_on=[short])
        await anyio.sleep(2.5)
        assert told(await heard(events), *ENDS) == [
            ("Expired", short.id),
            ("DependencyFailed", after.id),
        ]


async def test_a_superseded_subtree_is_announced_and_its_dependents_are_not() -> None:
    async with open_app() as app, app.work.events() as events:
        first = await app.work.submit(Nap(name="same"), delay=HOUR)
        after = await app.work.submit(Nap(name="after"), depends_on=[first])
        second = await app.work.submit(Nap(name="same"), on_duplicate=OnDuplicate.SUPERSEDE)
        await app.work.wait(after.id)
        seen = await heard(events)
        assert told(seen, *ENDS) == [
            ("Superseded", first.id),
            ("Completed", second.id),
            ("Completed", after.id),
        ]
        assert told(seen, Unblocked) == [("Unblocked", after.id)]
