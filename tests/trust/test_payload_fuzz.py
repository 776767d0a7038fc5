"""Whatever is submitted comes back as it was, or is refused in words; nothing else is lost."""

from __future__ import annotations

import gc
import math
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmill import (
    Context,
    Domain,
    DomainKey,
    PayloadError,
    PayloadTooLarge,
    Scheduler,
    Secret,
    Task,
    TaskmillError,
)
from taskmill.define.codec import Codec
from tests.trust.inputs import ANYTHING, check_error, nested


class Post(DomainKey, name="post"): ...


class Free(Task[Post, Any], name="free"):
    value: Any


@attrs.frozen
class Part:
    name: str
    size: float = 0.0


class Strict(Task[Post, dict[str, Any]], name="strict"):
    text: str = ""
    number: int = 0
    share: float = 0.0
    names: list[str] = attrs.field(factory=list)
    parts: dict[str, Part] = attrs.field(factory=dict)
    when: datetime | None = None
    price: Decimal | None = None
    place: Path | None = None
    both: int | str = 0
    token: Secret[str] | None = None


_STRICT: Any = Strict
FIELDS: list[str] = [field.name for field in attrs.fields(_STRICT)]


async def echo(task: Free, ctx: Context[Post]) -> Any:
    return task.value


def same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def check_round_trip(task: Task[Any, Any]) -> None:
    codec = Codec(type(task))
    try:
        text = codec.encode(task)
    except (PayloadError, PayloadTooLarge) as error:
        check_error(error)
        return
    assert len(text.encode()) <= 1_048_576
    assert codec.encode(codec.decode(text)) == text
    if isinstance(task, Free):
        assert same(codec.decode(text).value, task.value)


@given(ANYTHING)
@settings(deadline=None)
def test_any_value_comes_back_or_is_refused(value: Any) -> None:
    check_round_trip(Free(value=value))


@given(st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=4))
@settings(deadline=None)
def test_a_typed_field_takes_its_type_and_nothing_else(values: dict[str, Any]) -> None:
    check_round_trip(Strict(**values))


@pytest.mark.nightly
@given(ANYTHING, st.dictionaries(st.sampled_from(FIELDS), ANYTHING))
@settings(deadline=None, max_examples=20_000)
def test_the_same_for_many_more(value: Any, values: dict[str, Any]) -> None:
    check_round_trip(Free(value=value))
    check_round_trip(Strict(**values))


@given(st.text(max_size=200) | ANYTHING.map(repr))
@settings(deadline=None)
def test_whatever_is_stored_is_read_or_refused(text: str) -> None:
    for kind in (Free, Strict):
        try:
            Codec(kind).decode(text)
        except PayloadError as error:
            check_error(error)


@pytest.mark.parametrize(
    "value",
    [
        "x" * 10_000_000,
        ["x" * 100] * 100_000,
        {str(n): n for n in range(200_000)},
        nested(200_000),
        10 ** 100_000,
        math.nan,
        {"a": [{"b": math.inf}]},
        "\ud800" * 1000,
    ],
    ids=["text", "list", "dict", "deep", "huge", "nan", "inf", "surrogates"],
)  # fmt: skip
def test_what_is_far_too_much_is_refused_in_few_words(value: Any) -> None:
    with pytest.raises((PayloadError, PayloadTooLarge)) as caught:
        Codec(Free).encode(Free(value=value))
    check_error(caught.value)
    del caught, value
    gc.collect()


def test_a_value_that_contains_itself_is_refused() -> None:
    knot: list[Any] = []
    knot.append(knot)
    with pytest.raises(PayloadError, match="contains itself"):
        Codec(Free).encode(Free(value=knot))


@given(st.lists(ANYTHING, min_size=1, max_size=4))
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_a_scheduler_runs_what_it_took_and_one_bad_task_keeps_the_call_from_submitting(
    values: list[Any],
) -> None:
    async def main() -> None:
        domain = Domain(Post, handlers=[Free.handler(echo)])
        async with Scheduler(":memory:", domains=[domain], loop_limit=None) as scheduler:
            tasks = [Free(value=value) for value in values]
            before = await scheduler.submit(Free(value="before"), delay=timedelta(days=1))
            try:
                submitted = await scheduler.submit_many(tasks)
            except TaskmillError as error:
                check_error(error)
                assert await scheduler.count() == 1
            else:
                for value, each in zip(values, submitted, strict=True):
                    assert same(await scheduler.result(each), value)
            await scheduler.cancel(before.id)

    anyio.run(main)
