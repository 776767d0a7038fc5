"""What any backend promises about finding tasks: pages, ends, tags."""

from __future__ import annotations

import pytest

from taskmill.model.changes import Claim, Submit
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.rules.settle import Returned, settle
from taskmill.store.base import Store

from .conformance import (
    ANY,
    T0,
    Place,
    cancel,
    claim,
    complete,
    end,
    new_task,
    raised,
    record_of,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

ACTIVE_ONES = Selection(statuses=ACTIVE)
ENDED = Selection(statuses=TERMINAL)


def tagged(value: str, *, key: str = "job") -> Selection:
    return Selection(statuses=ACTIVE, tags={key: value})


# --- pages ---------------------------------------------------------------------------------------


async def test_pages_hold_every_task_once_in_the_order_of_ids(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}", created_at_ms=T0 - n) for n in range(7)))
    seen: list[TaskId] = []
    after = None
    while page := await store.tasks(ACTIVE_ONES, limit=3, after=after):
        seen += [record.id for record in page]
        after = seen[-1]
    assert seen == [place.id for place in placed]
    assert await store.ids(ACTIVE_ONES) == seen


async def test_a_page_goes_on_behind_a_task_that_is_gone_from_the_selection(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}") for n in range(4)))
    await cancel(store, placed[1].id)
    behind = await store.tasks(ACTIVE_ONES, limit=10, after=placed[1].id)
    assert [record.id for record in behind] == [placed[2].id, placed[3].id]


async def test_records_of_a_page_are_those_that_get_gives_with_their_errors(store: Store) -> None:
    first = await submit_one(store, new_task("a", tags={"job": "7"}, key="k", label="l"))
    for run in range(1, 13):
        record = await claim(store, first)
        await end(store, record, raised(run))
    second = await submit_one(store, new_task("b"))
    await end(store, await claim(store, second), raised(1, delay_ms=None))
    await submit_one(store, new_task("c", payload='{"name":"' + "x" * 100_000 + '"}'))
    records = await store.tasks(ANY, limit=10)
    assert [len(record.errors) for record in records] == [10, 1, 0]
    assert records == [await record_of(store, record.id) for record in records]


# --- ends ----------------------------------------------------------------------------------------


async def test_the_ended_come_the_last_one_first_and_of_one_moment_the_newest(store: Store) -> None:
    placed = await submit(store, *(new_task(f"{n}") for n in range(6)))
    ids = [place.id for place in placed]
    for task, now_ms in ((ids[3], T0 + 1), (ids[0], T0 + 2), (ids[1], T0 + 2), (ids[4], T0 + 2)):
        record = await claim(store, task)
        result = Returned("1") if task != ids[1] else raised(1, max_retries=0)
        await end(store, record, result, now_ms=now_ms)
    await cancel(store, ids[5], now_ms=T0 - 5)
    expected = [ids[4], ids[1], ids[0], ids[3], ids[5]]
    found = await store.ended(ANY, limit=100)
    assert [record.id for record in found] == expected
    page = await store.ended(ENDED, limit=2, after=(T0 + 2, ids[1]))
    assert [record.id for record in page] == [ids[0], ids[3]]
    dead = Selection(statuses=frozenset({TaskStatus.DEAD}))
    assert [record.id for record in await store.ended(dead, limit=9)] == [ids[1]]
    assert await store.ended(ACTIVE_ONES, limit=9) == []


# --- tags ----------------------------------------------------------------------------------------


async def test_a_task_is_found_by_all_of_the_tags_that_are_asked_for(store: Store) -> None:
    a, b, _ = [
        place.id
        for place in await submit(
            store,
            new_task("a", tags={"job": "7", "who": "x"}),
            new_task("b", tags={"job": "7", "who": "y"}),
            new_task("c", tags={"job": "70", "who": "x"}),
        )
    ]
    assert await store.ids(tagged("7")) == [a, b]
    assert await store.ids(Selection(statuses=ACTIVE, tags={"job": "7", "who": "y"})) == [b]
    assert await store.ids(Selection(statuses=ACTIVE, tags={"job": "70", "who": "y"})) == []
    assert await store.ids(tagged("x", key="job")) == []


@pytest.mark.parametrize("is_alone", [True, False])
async def test_tags_are_found_however_a_task_was_submitted(store: Store, is_alone: bool) -> None:
    running = await submit_one(store, new_task("parent"))
    await claim(store, running)
    others = [] if is_alone else [new_task("other", tags={"other": "1"})]
    await submit(store, new_task("plain", tags={"job": "plain"}), *others)
    await submit(store, new_task("child", tags={"job": "child"}, parent=running))
    await submit(store, new_task("parent", tags={"job": "follow-up"}))
    assert await store.tag_keys("work", "job") == ["job"]
    assert [*await store.count_by_tag(ACTIVE_ONES, "job")] == ["child", "follow-up", "plain"]


async def test_a_child_is_found_by_the_tags_it_took_over(store: Store) -> None:
    parent = await submit_one(store, new_task("parent", tags={"job": "7"}))
    await claim(store, parent)
    child = await submit_one(store, new_task("child", parent=parent, inherits_tags=True))
    assert await store.ids(tagged("7")) == [parent, child]


async def test_a_duplicate_adds_no_tags(store: Store) -> None:
    await submit_one(store, new_task("a", tags={"job": "1"}))
    await submit_one(store, new_task("a", tags={"job": "2"}, priority=1))
    assert await store.count_by_tag(ACTIVE_ONES, "job") == {"1": 1}


@pytest.mark.parametrize("how", ["complete", "fail", "cancel", "stop"])
async def test_a_task_that_ended_is_found_by_its_tags_among_the_ended_only(
    store: Store, how: str
) -> None:
    task = await submit_one(store, new_task("a", tags={"job": "7"}))
    if how == "cancel":
        await cancel(store, task)
    else:
        record = await claim(store, task)
        if how == "stop":
            await cancel(store, task)
        await end(store, record, raised(1, max_retries=0) if how == "fail" else Returned("1"))
    assert await store.ids(tagged("7")) == []
    assert await store.ids(Selection(statuses=TERMINAL, tags={"job": "7"})) == [task]
    assert await store.ids(Selection(statuses=ACTIVE | TERMINAL, tags={"job": "7"})) == [task]
    assert await store.tag_keys(None, "") == []
    assert await store.count_by_tag(ACTIVE_ONES, "job") == {}
    assert await store.count_by_tag(ENDED, "job") == {"7": 1}


async def test_a_task_that_ended_among_changes_of_one_batch_is_no_longer_active(
    store: Store,
) -> None:
    first = await submit_one(store, new_task("a", tags={"job": "1"}))
    record = await claim(store, first)
    second = TaskId(first + 1)
    await store.apply(
        [
            Submit((new_task("b", tags={"job": "2"}),)),
            Claim(second, T0),
            settle(record, Returned("1"), now_ms=T0),
            settle(record, Returned("2"), now_ms=T0),
        ]
    )
    assert await store.count_by_tag(ACTIVE_ONES, "job") == {"2": 1}
    assert await store.count_by_tag(ENDED, "job") == {"1": 1}


async def test_a_task_that_waits_for_its_retry_keeps_its_tags(store: Store) -> None:
    task = await submit_one(store, new_task("a", tags={"job": "7"}))
    await end(store, await claim(store, task), raised(1, delay_ms=5))
    assert await store.ids(tagged("7")) == [task]


async def test_recovery_ends_the_tags_of_the_tasks_it_ends(place: Place) -> None:
    async with place.opened() as store:
        stopped, interrupted = [
            placed.id
            for placed in await submit(
                store,
                new_task("a", tags={"job": "stopped"}),
                new_task("b", tags={"job": "interrupted"}),
            )
        ]
        for task in (stopped, interrupted):
            await claim(store, task)
        await cancel(store, stopped)
    async with place.opened() as again:
        assert await again.count_by_tag(ACTIVE_ONES, "job") == {"interrupted": 1}
        assert await again.count_by_tag(ENDED, "job") == {"stopped": 1}


async def test_tags_are_counted_and_listed_of_one_domain_or_of_all(store: Store) -> None:
    await submit(
        store,
        *(new_task(f"w{n}", tags={"b.x": f"{n % 2}", "a": "w"}) for n in range(5)),
        *(new_task(f"f{n}", domain="far", tags={"b.x": "1", "b.y": ""}) for n in range(2)),
        new_task("g", domain="gone", tags={"z": "1"}),
        new_task("none", domain="bare"),
    )
    await complete(store, await claim(store, TaskId(8)))
    assert await store.tag_keys(None, "") == ["a", "b.x", "b.y"]
    assert await store.tag_keys("work", "") == ["a", "b.x"]
    assert await store.tag_keys("far", "b.") == ["b.x", "b.y"]
    assert await store.tag_keys(None, "b.x") == ["b.x"]
    assert await store.tag_keys("bare", "") == []
    assert await store.count_by_tag(ACTIVE_ONES, "b.x") == {"0": 3, "1": 4}
    assert await store.count_by_tag(Selection(domain="far", statuses=ACTIVE), "b.x") == {"1": 2}
    assert await store.count_by_tag(Selection(statuses=ACTIVE, tags={"a": "w"}), "b.x") == {
        "0": 3,
        "1": 2,
    }
    assert await store.count_by_tag(ANY, "z") == {"1": 1}


PREFIXES = ["", "a", "A", "a%", "a_", "a[", "é", "\ud7ff", "\uffff", "\U0010ffff", "a\U0010ffff"]
KEYS = ["a", "A", "ab", "a%", "a%b", "a_", "axb", "a[a]", "e", "é", "éa", "É", "ê", "a\U0010ffffz",
        "\ud7ff", "\ud7ffx", "\ue000", "\uffff", "\uffffx", "\U00010000", "\U0010ffff",
        "\U0010ffff\U0010ffff"]  # fmt: skip


@pytest.mark.parametrize("prefix", PREFIXES, ids=ascii)
async def test_a_prefix_is_taken_as_it_is_written(store: Store, prefix: str) -> None:
    placed = await submit(store, *(new_task(key, tags={key: "1"}) for key in KEYS))
    by_key = {key: place.id for key, place in zip(KEYS, placed, strict=True)}
    expected = [key for key in KEYS if key.startswith(prefix)]
    assert await store.tag_keys("work", prefix) == sorted(expected)
    found = await store.ids(Selection(statuses=ACTIVE, tag_prefix=prefix))
    assert found == [by_key[key] for key in expected]


async def test_a_task_with_several_tags_of_a_prefix_counts_once(store: Store) -> None:
    await submit(store, new_task("a", tags={"b.1": "x", "b.2": "x"}), new_task("b", tags={"b": ""}))
    billing = Selection(statuses=ACTIVE, tag_prefix="b.")
    assert await store.count(billing) == 1
    assert len(await store.ids(billing)) == 1
    assert len(await store.tasks(billing, limit=10)) == 1
    assert await store.count_by_tag(billing, "b.1") == {"x": 1}
