"""Whatever is said about a task - tags, keys, groups, filters, times - holds or is refused."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmill import (
    ConfigurationError,
    Context,
    Cron,
    Domain,
    DomainKey,
    Every,
    Scheduler,
    Task,
    TaskmillError,
    TaskStatus,
)
from taskmill.model.limits import MAX_AT_ONCE, MAX_PROGRESS_TEXT
from tests.trust.inputs import ANYTHING, LEAVES, NUMBERS, TEXTS, check_error

QUICK = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
NIGHTLY = settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])


class Post(DomainKey, name="post"): ...


class Note(Task[Post], name="note"):
    text: str = ""


async def note(task: Note, ctx: Context[Post]) -> None:
    ctx.progress(0.5, task.text)


def within(say: Callable[[Scheduler], Coroutine[Any, Any, None]]) -> None:
    """Say something to a scheduler, which still works afterwards."""

    async def main() -> None:
        domain = Domain(Post, handlers=[Note.handler(note)])
        async with Scheduler(":memory:", domains=[domain], loop_limit=None) as scheduler:
            try:
                await say(scheduler)
            except TaskmillError as error:
                check_error(error)
            sound = await scheduler.submit(Note(text="is it sound?"), key="the last one")
            assert (await scheduler.wait(sound.id)).status is TaskStatus.COMPLETED

    anyio.run(main)


TAGS = st.dictionaries(TEXTS, TEXTS, max_size=4) | st.dictionaries(LEAVES, LEAVES, max_size=3)
LENGTHS: st.SearchStrategy[Any] = st.timedeltas() | ANYTHING
MOMENTS: st.SearchStrategy[Any] = st.datetimes() | st.datetimes(timezones=st.just(UTC)) | ANYTHING
OPTIONS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "tags": TAGS | ANYTHING,
        "key": TEXTS | ANYTHING,
        "label": TEXTS | ANYTHING,
        "group": TEXTS | ANYTHING,
        "priority": NUMBERS | ANYTHING,
        "max_retries": NUMBERS | ANYTHING,
        "delay": LENGTHS,
        "timeout": LENGTHS,
        "ttl": LENGTHS,
        "unique_for": LENGTHS,
        "run_at": MOMENTS,
        "parent": NUMBERS | ANYTHING,
        "depends_on": st.lists(NUMBERS | ANYTHING, max_size=3) | ANYTHING,
        "on_duplicate": ANYTHING,
        "no_such_option": ANYTHING,
    },
)
FILTERS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "types": ANYTHING,
        "status": st.lists(TEXTS, max_size=2) | ANYTHING,
        "tags": TAGS | ANYTHING,
        "tag_prefix": TEXTS | ANYTHING,
        "group": TEXTS | ANYTHING,
        "parent": NUMBERS | ANYTHING,
        "ids": st.lists(NUMBERS, max_size=3) | ANYTHING,
        "key": TEXTS | ANYTHING,
        "created_before": MOMENTS,
        "created_after": MOMENTS,
        "no_such_filter": ANYTHING,
    },
)


def submits(options: dict[str, Any]) -> None:
    async def say(scheduler: Scheduler) -> None:
        submitted = await scheduler.submit(Note(), **options)
        record = await scheduler.get(submitted.id)
        for name in ("tags", "key", "label", "group"):
            if options.get(name) is not None:
                assert getattr(record, name) == options[name]
        await scheduler.cancel(submitted.id)

    within(say)


def filters(where: dict[str, Any]) -> None:
    async def say(scheduler: Scheduler) -> None:
        await scheduler.submit(Note(), delay=timedelta(days=1), tags={"a": "b"}, group="g")
        page = await scheduler.tasks(**where)
        assert len(page) == await scheduler.count(**where) <= 1

    within(say)


@given(OPTIONS)
@QUICK
def test_an_option_holds_or_is_refused(options: dict[str, Any]) -> None:
    submits(options)


@given(FILTERS)
@QUICK
def test_a_filter_is_answered_or_refused(where: dict[str, Any]) -> None:
    filters(where)


@pytest.mark.nightly
@given(OPTIONS, FILTERS)
@NIGHTLY
def test_the_same_for_many_more(options: dict[str, Any], where: dict[str, Any]) -> None:
    submits(options)
    filters(where)


@given(TEXTS, TEXTS)
@QUICK
def test_tags_are_found_by_exactly_themselves(key: str, value: str) -> None:
    async def say(scheduler: Scheduler) -> None:
        await scheduler.submit(Note(), delay=timedelta(days=1), tags={key: value})
        await scheduler.submit(Note(text="2"), delay=timedelta(days=1), tags={"other": "one"})
        wanted = 2 if (key, value) == ("other", "one") else 1
        assert await scheduler.count(tags={key: value}) == wanted
        assert await scheduler.tag_values(key) == {value: wanted}
        assert key in await scheduler.tag_keys(key)

    within(say)


CRON = st.text("0123456789*/,-LW#?SUNMONJANDEC@ \t", max_size=30) | TEXTS
NOW = datetime(2031, 2, 3, tzinfo=UTC)


@given(CRON, st.sampled_from(["UTC", "Europe/Berlin"]) | TEXTS | LEAVES)
@settings(deadline=None, max_examples=200)
def test_a_cron_line_is_understood_or_refused(line: str, zone: Any) -> None:
    try:
        Cron(line, tz=zone)
    except ConfigurationError as error:
        check_error(error)


@given(LENGTHS, MOMENTS, ANYTHING)
@settings(deadline=None, max_examples=200)
def test_an_interval_is_understood_or_refused(length: Any, anchor: Any, runs: Any) -> None:
    try:
        Every(length, anchor=anchor, max_runs=runs)
    except TaskmillError as error:
        check_error(error)


@given(ANYTHING, ANYTHING, ANYTHING)
@QUICK
def test_verbs_by_id_and_by_name_take_or_refuse(id_: Any, name: Any, other: Any) -> None:
    async def say(scheduler: Scheduler) -> None:
        post = scheduler.domain(Post)
        calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            lambda: scheduler.get(id_),
            lambda: scheduler.cancel(id_),
            lambda: scheduler.retry(id_),
            lambda: scheduler.explain(id_),
            lambda: scheduler.reprioritise(id_, other),
            lambda: scheduler.reschedule(id_, other),
            lambda: scheduler.find(key=name),
            lambda: scheduler.pause_group(name),
            lambda: scheduler.resume_group(name),
            lambda: scheduler.pause_schedule(name),
            lambda: post.schedule(Note(), other, name=name),
            lambda: scheduler.tag_values(name),
            lambda: scheduler.tag_keys(name),
            lambda: scheduler.tasks(limit=other, after=name),
        ]
        for call in calls:
            try:
                await call()
            except TaskmillError as error:
                check_error(error)
        for group in await scheduler.paused_groups():
            await scheduler.resume_group(group)
        for schedule in await scheduler.schedules():
            await scheduler.cancel_schedule(schedule.name)

    within(say)


@pytest.mark.parametrize(
    "name", ["priority", "max_retries", "delay", "key", "parent", "tags", "depends_on", "group"]
)
def test_a_number_with_more_digits_than_python_shows_is_refused_like_any_other(name: str) -> None:
    for value in (10**5000, [10**5000], {"a": 10**5000}):

        async def say(scheduler: Scheduler, value: Any = value) -> None:
            with pytest.raises(TaskmillError) as caught:
                await scheduler.submit(Note(), **{name: value})
            check_error(caught.value)
            await scheduler.count(**{name: value})

        within(say)


def test_more_than_one_call_takes_is_refused_before_anything_is_done() -> None:
    async def say(scheduler: Scheduler) -> None:
        with pytest.raises(ConfigurationError, match=r"at most 100,000 at once, not 100,001"):
            await scheduler.submit_many([Note()] * (MAX_AT_ONCE + 1))
        ids: Any = range(1, MAX_AT_ONCE + 2)
        with pytest.raises(ConfigurationError, match=r"depends_on takes at most 100,000"):
            await scheduler.submit(Note(), depends_on=ids)
        assert await scheduler.count() == 0

    within(say)


def test_a_progress_message_is_cut_where_it_is_too_long() -> None:
    async def main() -> None:
        domain = Domain(Post, handlers=[Note.handler(note)])
        scheduler = Scheduler(":memory:", domains=[domain], loop_limit=None)
        async with scheduler, scheduler.events() as events:
            await scheduler.submit(Note(text="\x1b" * 5000))
            async for event in events:
                if event.to_dict()["event"] == "Progress":
                    assert event.to_dict()["message"] == "\x1b" * MAX_PROGRESS_TEXT
                    break

    anyio.run(main)
