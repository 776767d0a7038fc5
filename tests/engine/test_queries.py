"""Reading tasks: pages, filters, tags, history; what is pending is shown as people see it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import (
    Aging,
    ConfigurationError,
    InvalidState,
    Page,
    Scheduler,
    TaskId,
    TaskRecord,
    TaskStatus,
)
from taskmill.testing import START
from tests.engine.app import SECOND, App, Board, Errand, Fail, Nap, Work, domains, open_app

pytestmark = pytest.mark.anyio

LATER = timedelta(hours=1)
NO_RETRY: Any = {"max_retries": 0}


def numbers(page: Page[TaskRecord]) -> list[str]:
    return [record.key or record.type for record in page]


async def fill(app: App, count: int, **options: Any) -> list[TaskId]:
    """Tasks that wait."""
    naps = [Nap(name=f"{n}") for n in range(count)]
    return [s.id for s in await app.work.submit_many(naps, delay=LATER, **options)]


# --- pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 7, 8, 10_000])
async def test_pages_follow_each_other_until_there_is_no_next_one(limit: int) -> None:
    async with open_app() as app:
        ids = await fill(app, 7)
        seen: list[TaskId] = []
        page = await app.work.tasks(limit=limit)
        seen += [record.id for record in page]
        while page.next is not None:
            assert len(page) == limit
            page = await app.work.tasks(limit=limit, after=page.next)
            seen += [record.id for record in page]
        assert seen == ids
        assert await app.work.ids() == ids


async def test_a_page_is_the_records_that_get_returns() -> None:
    async with open_app() as app:
        ids = await fill(app, 3, tags={"job": "7"}, group="g", label="l")
        await app.work.submit(Fail(name="x"), max_retries=1)
        await app.scheduler.idle()
        page = await app.work.tasks(status=list(TaskStatus))
        assert list(page) == list(page.items) == [await app.work.get(record.id) for record in page]
        assert len(page) == len(ids) + 1
        assert len(page.items[-1].errors) == 2


async def test_a_cursor_stays_good_whatever_becomes_of_the_task_it_stands_for() -> None:
    async with open_app() as app:
        ids = await fill(app, 4)
        page = await app.work.tasks(limit=2)
        await app.work.cancel(ids[1])
        await app.work.cancel(ids[2])
        assert page.next is not None
        rest = await app.work.tasks(limit=2, after=page.next)
        assert ([record.id for record in rest], rest.next) == ([ids[3]], None)


async def test_a_cursor_is_good_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        ids = await fill(app, 3)
        page = await app.work.tasks(limit=2)
    async with open_app(path) as again:
        rest = await again.work.tasks(after=page.next)
        assert [record.id for record in rest] == ids[2:]


async def test_an_empty_page_is_empty() -> None:
    async with open_app() as app:
        for page in (await app.work.tasks(), await app.work.history()):
            assert (page.items, page.next, len(page), list(page)) == ((), None, 0, [])


async def test_a_long_page_lets_others_have_their_turn() -> None:
    async with open_app() as app:
        await fill(app, 1200)
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        async with anyio.create_task_group() as group:
            group.start_soon(count_turns)
            assert len(await app.work.tasks(limit=2000)) == 1200
            group.cancel_scope.cancel()
        assert turns > 2


# --- filters -------------------------------------------------------------------------------------


async def test_a_filter_chooses_what_passes_all_of_it() -> None:
    async with open_app() as app:
        submit = app.work.submit
        a = (await submit(Nap(name="a"), delay=LATER, tags={"job": "7", "x.1": ""}, group="g")).id
        b = (await submit(Nap(name="b"), delay=LATER, tags={"job": "7"})).id
        c = (await submit(Fail(name="c"), delay=LATER, tags={"job": "8", "y": ""})).id
        await anyio.sleep(10)
        d = (await app.other.submit(Errand(), delay=LATER, tags={"job": "7"})).id
        at = START + 5 * SECOND
        chosen: list[tuple[dict[str, Any], list[TaskId]]] = [
            ({}, [a, b, c]),
            ({"types": [Nap]}, [a, b]),
            ({"tags": {"job": "7"}}, [a, b]),
            ({"tags": {"job": "7", "x.1": ""}}, [a]),
            ({"tags": {"job": "7"}, "group": None}, [b]),
            ({"tag_prefix": "x."}, [a]),
            ({"tag_prefix": "x"}, [a]),
            ({"tag_prefix": "X"}, []),
            ({"tag_prefix": ""}, [a, b, c]),
            ({"tag_prefix": "j", "types": [Fail]}, [c]),
            ({"group": "g"}, [a]),
            ({"key": "b"}, [b]),
            ({"key": "b", "tags": {"job": "8"}}, []),
            ({"ids": [b, d, TaskId(99), TaskId(2**80)]}, [b]),
            ({"created_before": at}, [a, b, c]),
            ({"created_after": at}, []),
            ({"status": TaskStatus.CANCELLED}, []),
            ({"parent": TaskId(2**80)}, []),
        ]
        for where, expected in chosen:
            assert await app.work.ids(**where) == expected, where
            assert [r.id for r in await app.work.tasks(**where)] == expected, where
            assert await app.work.count(**where) == len(expected), where
        assert await app.scheduler.ids(tags={"job": "7"}) == [a, b, d]
        assert await app.scheduler.ids(created_after=at) == [d]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"tags": {}}, "tags is empty, and so chooses nothing; leave it out"),
        ({"tags": "job"}, "tags must be a mapping from text to text"),
        ({"tags": None}, "tags must be a mapping from text to text"),
        ({"tags": {"job": 7}}, "no task has such a tag: tag 'job': 7 is no text"),
        ({"tags": {"": "x"}}, "no task has such a tag: tag key ''"),
        ({"tags": {"k" * 65: "x"}}, "text of 1 to 64 bytes"),
        ({"tag_prefix": 5}, "tag_prefix is text of up to 64 bytes in UTF-8, such as 'billing.'"),
        ({"tag_prefix": None}, "tag_prefix is text of up to 64 bytes"),
        ({"tag_prefix": "\ud800"}, "tag_prefix is text"),
        ({"tag_prefix": "x" * 65}, "tag_prefix is text"),
    ],
)
async def test_a_filter_of_tags_that_cannot_be_meant_is_refused(
    where: dict[str, Any], message: str
) -> None:
    async with open_app() as app:
        for side in (app.work, app.scheduler):
            for verb in (side.tasks, side.ids, side.count, side.history):
                with pytest.raises(ConfigurationError, match=message):
                    await verb(**where)
            with pytest.raises(ConfigurationError, match=message):
                await side.count_by_tag("job", **where)


@pytest.mark.parametrize("limit", [0, -1, 10_001, 2.5, "5", None, True])
async def test_a_limit_is_a_whole_number_up_to_ten_thousand(limit: Any) -> None:
    async with open_app() as app:
        for verb in (app.work.tasks, app.scheduler.history, app.work.dead_letters):
            with pytest.raises(ConfigurationError, match="limit is a whole number from 1 to 10000"):
                await verb(limit=limit)


@pytest.mark.parametrize(
    "after", ["", "5", "x5", 5, b"t5", "t5 ", "t-5", "t" + "9" * 19, "t٣", "e1", "e1.2.3", object()]
)
async def test_what_is_no_cursor_is_refused(after: Any) -> None:
    async with open_app() as app:
        for verb in (app.work.tasks, app.scheduler.history, app.work.dead_letters):
            with pytest.raises(ConfigurationError, match=r"after takes the cursor .* page\.next"):
                await verb(after=after)


async def test_a_cursor_of_another_kind_of_page_is_refused() -> None:
    async with open_app() as app:
        await fill(app, 2)
        await app.work.submit_many([Fail(name="a", permanent=True), Fail(permanent=True)])
        await app.scheduler.idle()
        active, ended = await app.work.tasks(limit=1), await app.work.history(limit=1)
        assert active.next is not None
        assert ended.next is not None
        with pytest.raises(ConfigurationError, match="after takes the cursor of a page of this"):
            await app.work.history(after=active.next)
        with pytest.raises(ConfigurationError, match="after takes the cursor of a page of this"):
            await app.work.tasks(after=ended.next)


# --- find ----------------------------------------------------------------------------------------


async def test_the_active_task_with_a_key_is_found_and_no_other() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x"))
        await app.scheduler.idle()
        assert await app.work.find(key="x") is None
        again = await app.work.submit(Nap(name="x"), delay=LATER)
        found = await app.work.find(key="x")
        assert found == await app.work.get(again.id)
        assert again.id != first.id
        assert await app.other.find(key="x") is None
        assert await app.scheduler.find(key="x") == found
        assert await app.work.find(key="X") is None


async def test_of_several_tasks_with_a_key_the_newest_is_found_and_a_follow_up_last() -> None:
    async with open_app() as app:
        await app.work.submit(Fail(name="f"), key="x", delay=LATER)
        running = await app.work.submit(Nap(name="x", seconds=5))
        await anyio.sleep(1)
        follow_up = await app.work.submit(Nap(name="x", seconds=7))
        found = await app.work.find(key="x")
        assert found is not None
        assert (found.id, found.status) == (running.id, TaskStatus.RUNNING)
        await app.work.wait(running.id)
        found = await app.work.find(key="x")
        assert found is not None
        assert found.id == follow_up.id
        newer = await app.other.submit(Errand(), key="x", delay=LATER)
        anywhere = await app.scheduler.find(key="x")
        assert anywhere is not None
        assert anywhere.id == newer.id


@pytest.mark.parametrize("key", ["", None, 5, "\ud800", "k" * 1025])
async def test_what_cannot_be_a_key_is_refused(key: Any) -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="key must be text"):
            await app.work.find(key=key)


# --- as people see it ----------------------------------------------------------------------------


async def test_what_a_pause_holds_is_shown_and_filtered_as_paused() -> None:
    async with open_app() as app:
        await app.work.pause_group("red")
        held = (await app.work.submit(Nap(name="held"), group="red")).id
        free = (await app.work.submit(Nap(name="free"), delay=LATER)).id
        page = await app.work.tasks()
        assert [(r.id, r.status) for r in page] == [
            (held, TaskStatus.PAUSED),
            (free, TaskStatus.PENDING),
        ]
        assert await app.work.ids(status=TaskStatus.PAUSED) == [held]
        assert await app.work.ids(status=TaskStatus.PENDING) == [free]
        found = await app.work.find(key="held")
        assert found is not None
        assert found.status is TaskStatus.PAUSED
        await app.work.resume_group("red")
        assert await app.work.ids(status=TaskStatus.PAUSED) == []


async def test_a_page_shows_how_urgent_tasks_have_become() -> None:
    aging = Aging(grace=timedelta(0), step=10 * SECOND, ceiling=0)
    async with open_app(max_concurrency=1, aging=aging) as app:
        await app.work.submit(Nap(name="busy", seconds=1000), priority=0)
        await app.work.submit(Nap(name="waits"), priority=100)
        await anyio.sleep(35)
        [_, waits] = await app.work.tasks()
        assert (waits.priority, waits.effective_priority) == (100, 97)
        assert waits == await app.work.get(waits.id) == await app.work.find(key="waits")


# --- tags ----------------------------------------------------------------------------------------


async def test_tags_are_listed_and_counted_while_their_tasks_are_active() -> None:
    async with open_app() as app:
        for n in range(5):
            tags = {"billing.customer": "acme" if n % 2 else "zeta", "billing.job": f"{n}", "a": ""}
            await app.work.submit(Nap(name=f"{n}"), delay=n * SECOND + LATER, tags=tags)
        await app.other.submit(Errand(), delay=LATER, tags={"billing.customer": "acme", "far": "1"})
        assert await app.work.tag_keys() == ["a", "billing.customer", "billing.job"]
        assert await app.work.tag_keys("billing.") == ["billing.customer", "billing.job"]
        assert await app.scheduler.tag_keys() == ["a", "billing.customer", "billing.job", "far"]
        assert await app.work.tag_values("billing.customer") == {"acme": 2, "zeta": 3}
        assert await app.scheduler.tag_values("billing.customer") == {"acme": 3, "zeta": 3}
        assert await app.work.tag_values("none") == {}
        by_customer = app.work.count_by_tag
        assert await by_customer("billing.customer", tags={"billing.job": "1"}) == {"acme": 1}
        await anyio.sleep(3600 + 2.5)
        assert await app.work.tag_values("billing.customer") == {"acme": 1, "zeta": 1}
        assert await by_customer("billing.customer", status=TaskStatus.COMPLETED) == {
            "acme": 1,
            "zeta": 2,
        }
        assert await app.scheduler.tag_keys("far") == []


async def test_a_cancelled_task_is_no_longer_found_by_its_tags() -> None:
    async with open_app() as app:
        ids = await fill(app, 2, tags={"job": "7"})
        await app.work.cancel(ids[0])
        assert await app.work.ids(tags={"job": "7"}) == ids[1:]
        assert await app.work.ids(tags={"job": "7"}, status=TaskStatus.CANCELLED) == ids[:1]


@pytest.mark.parametrize("key", ["", None, 5, "k" * 65, "\ud800"])
async def test_what_cannot_be_the_key_of_a_tag_is_refused(key: Any) -> None:
    async with open_app() as app:
        for verb in (app.work.tag_values, app.scheduler.count_by_tag):
            with pytest.raises(ConfigurationError, match="the key of a tag is text of 1 to 64"):
                await verb(key)


@pytest.mark.parametrize("prefix", [None, 5, b"", "k" * 65, "\ud800"])
async def test_what_cannot_be_the_prefix_of_a_tag_is_refused(prefix: Any) -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="prefix is text of up to 64 bytes"):
            await app.work.tag_keys(prefix)


# --- what has ended ------------------------------------------------------------------------------


async def test_history_is_what_has_ended_the_last_one_first() -> None:
    async with open_app() as app:
        for name, seconds in (("slow", 3), ("quick", 1), ("middle", 2)):
            await app.work.submit(Nap(name=name, seconds=seconds))
        dropped = await app.work.submit(Fail(name="f"), delay=LATER)
        await app.scheduler.idle()
        await app.work.cancel(dropped.id)
        await app.other.submit(Errand())
        await app.scheduler.idle()
        await fill(app, 2)
        first = await app.work.history(limit=3)
        assert numbers(first) == ["work::fail", "slow", "middle"]
        second = await app.work.history(limit=3, after=first.next)
        assert (numbers(second), second.next) == (["quick"], None)
        assert numbers(await app.work.history(Nap)) == ["slow", "middle", "quick"]
        assert numbers(await app.work.history(type=Nap, key="slow")) == ["slow"]
        assert numbers(await app.work.history(types=[Fail])) == ["work::fail"]
        assert numbers(await app.work.history(status="cancelled")) == ["work::fail"]  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # its text will do
        assert len(await app.scheduler.history()) == 5


async def test_tasks_that_end_in_one_moment_are_on_one_page_each() -> None:
    async with open_app() as app:
        await app.work.submit_many([Nap(name=f"{n}") for n in range(5)])
        await app.scheduler.idle()
        seen: list[str] = []
        page = await app.work.history(limit=2)
        seen += numbers(page)
        while page.next is not None:
            page = await app.work.history(limit=2, after=page.next)
            seen += numbers(page)
        assert seen == ["4", "3", "2", "1", "0"]


async def test_dead_letters_are_those_whose_retries_are_spent() -> None:
    async with open_app() as app:
        await app.work.submit(Fail(name="spent"), key="spent", **NO_RETRY)
        await app.work.submit(Fail(name="late"), key="late", max_retries=2)
        await app.work.submit(Fail(name="refused", permanent=True))
        await app.work.submit(Nap(name="fine"))
        await app.scheduler.idle()
        first = await app.work.dead_letters(limit=1)
        assert numbers(first) == ["late"]
        assert len(first.items[0].errors) == 3
        second = await app.scheduler.dead_letters(1, first.next)
        assert (numbers(second), second.next) == (["spent"], None)
        assert len(await app.other.dead_letters()) == 0


async def test_history_is_not_of_active_tasks_and_of_one_choice_of_types() -> None:
    async with open_app() as app:
        with pytest.raises(
            ConfigurationError, match="has ended is not running; there is cancelled"
        ):
            await app.work.history(status=[TaskStatus.RUNNING, TaskStatus.DEAD])
        with pytest.raises(ConfigurationError, match="history takes type or types, not both"):
            await app.work.history(Nap, types=[Fail])
        with pytest.raises(ConfigurationError, match="types takes a task class"):
            await app.work.history("work::nap")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


# --- where it is asked ---------------------------------------------------------------------------


async def test_the_tasks_whose_handlers_run_now_are_those_of_the_domain() -> None:
    async with open_app() as app:
        running = await app.work.submit(Nap(name="x", seconds=5))
        await fill(app, 1)
        await anyio.sleep(1)
        assert [record.id for record in app.work.active_tasks()] == [running.id]
        assert app.other.active_tasks() == []
        assert [record.id for record in app.scheduler.active_tasks()] == [running.id]


async def test_nothing_is_read_outside_the_block() -> None:
    scheduler = Scheduler(":memory:", domains=domains(Board()))
    for side in (scheduler, scheduler.domain(Work)):
        with pytest.raises(InvalidState, match="not open"):
            await side.tasks()
        with pytest.raises(InvalidState, match="not open"):
            side.active_tasks()
