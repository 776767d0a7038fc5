"""The parts of a handler fit each other, and what one returns for the next is stored as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.define.codec import MemoCodec
from taskmill.define.codec.codec import MAX_BYTES
from taskmill.define.context import Context
from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Handler, Task
from taskmill.model.errors import ConfigurationError, PayloadError, PayloadTooLarge


class Ingest(DomainKey, name="ingest"): ...


class Scan(Task[Ingest, int], name="scan"):
    root: str


@attrs.frozen
class Found:
    paths: list[str]
    at: datetime


class Pair(NamedTuple):
    left: int
    right: str | None


NOTHING = Found([], datetime(2030, 1, 1, tzinfo=UTC))


async def execute(task: Scan, ctx: Context[Ingest]) -> Found:
    return Found([task.root], datetime(2030, 1, 1, tzinfo=UTC))


async def finalize(task: Scan, found: Found, ctx: Context[Ingest]) -> int:
    return len(found.paths)


async def on_cancel(task: Scan, ctx: Context[Ingest]) -> None: ...


def plain_execute(task: Scan, ctx: Context[Ingest]) -> Found:
    return Found([], datetime(2030, 1, 1, tzinfo=UTC))


def plain_finalize(task: Scan, found: Found, ctx: Context[Ingest]) -> int:
    return 0


def plain_on_cancel(task: Scan, ctx: Context[Ingest]) -> None: ...


async def two(task: Any, ctx: Any) -> None: ...


async def four(task: Any, found: Any, ctx: Any, more: Any) -> None: ...


async def yields(task: Any, found: Any, ctx: Any) -> Any:
    yield 1


# --- what a handler is made of -------------------------------------------------------------------


def test_a_handler_may_have_a_finalize_and_an_on_cancel() -> None:
    handler = Scan.handler(execute, finalize=finalize, on_cancel=on_cancel)
    assert handler == Handler[Ingest](
        task=Scan, execute=execute, finalize=finalize, on_cancel=on_cancel
    )
    assert handler.is_async
    assert not Scan.handler(
        plain_execute, finalize=plain_finalize, on_cancel=plain_on_cancel
    ).is_async
    assert Scan.handler(wrong_kind(execute)).finalize is None


def wrong_kind(function: Callable[..., Any]) -> Any:
    """A function as an untyped caller could pass it."""
    return function


@pytest.mark.parametrize(
    "parts",
    [
        {"execute": execute, "finalize": plain_finalize},
        {"execute": execute, "on_cancel": plain_on_cancel},
        {"execute": plain_execute, "finalize": finalize},
        {"execute": plain_execute, "on_cancel": on_cancel},
        {"execute": execute, "finalize": finalize, "on_cancel": plain_on_cancel},
        {"execute": execute, "finalize": functools.partial(plain_finalize)},
    ],
)
def test_all_parts_run_in_the_same_place(parts: Mapping[str, Any]) -> None:
    with pytest.raises(
        ConfigurationError, match="of 'ingest::scan' run in different places: make both async def"
    ):
        Scan.handler(**parts)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"finalize": two},
            "finalize of 'ingest::scan' is called with the task, what the handler ",
        ),
        ({"finalize": four}, "finalize of 'ingest::scan' is called with .* missing .*'more'"),
        ({"finalize": 5}, "finalize of 'ingest::scan' must be a function of the task, what the"),
        ({"finalize": yields}, "finalize of 'ingest::scan' yields"),
        ({"on_cancel": finalize}, "on_cancel of 'ingest::scan' is called with the task and the "),
        ({"on_cancel": "undo"}, "on_cancel of 'ingest::scan' must be a function of the task and"),
    ],
)
def test_each_part_takes_what_it_is_called_with(parts: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        wrong_kind(Scan.handler)(execute, **parts)


def test_a_part_may_be_anything_that_can_be_called() -> None:
    class Undo:
        async def __call__(self, task: Scan, ctx: Context[Ingest]) -> None: ...

    parts: Any = {"finalize": functools.partial(four, more=1), "on_cancel": Undo()}
    assert Scan.handler(execute, **parts).is_async


def test_the_decorator_takes_a_function_alone() -> None:
    decorated = Scan.handler(wrong_kind(execute))
    assert (decorated.finalize, decorated.on_cancel) == (None, None)


# --- what is stored between execute and finalize -------------------------------------------------


def memo(handler: Any, last: Any) -> MemoCodec:
    return MemoCodec(Scan, handler, last)


def test_a_domain_has_a_codec_for_each_finalize() -> None:
    domain = Domain(Ingest, handlers=[Scan.handler(execute, finalize=finalize)])
    assert [*domain.memos] == [Scan]
    assert not Domain(Ingest, handlers=[Scan.handler(wrong_kind(execute))]).memos


def test_what_execute_returns_reaches_finalize_as_it_was() -> None:
    codec = memo(execute, finalize)
    found = Found(["a", "b"], datetime(2030, 1, 1, tzinfo=UTC))
    text = codec.encode(found)
    assert text == '{"at":"2030-01-01T00:00:00+00:00","paths":["a","b"]}'
    assert codec.decode(text) == found


def untyped(task, ctx): ...  # type: ignore[no-untyped-def] # as an untyped caller could


def untyped_finalize(task, found, ctx): ...  # type: ignore[no-untyped-def] # as above


def any_finalize(task: Scan, found: Any, ctx: Context[Ingest]) -> int:
    return 0


def with_rest(*everything: Any) -> int:
    return 0


@functools.wraps(plain_finalize)
def wrapped_finalize(*everything: Any) -> int:
    return plain_finalize(*everything)


class Parts:
    """A handler whose functions are methods."""

    def execute(self, task: Scan, ctx: Context[Ingest]) -> Pair:
        return Pair(len(task.root), ctx.record.reason)

    def finalize(self, task: Scan, found: Pair, ctx: Context[Ingest]) -> int:
        return found.left + len(task.root) + ctx.attempt


@pytest.mark.parametrize(
    ("handler", "last", "value"),
    [
        (execute, finalize, Found(["a"], datetime(2030, 1, 1, tzinfo=UTC))),
        (untyped, plain_finalize, NOTHING),
        (plain_execute, untyped_finalize, NOTHING),
        (untyped, wrapped_finalize, NOTHING),
        (plain_execute, functools.partial(plain_finalize), NOTHING),
        (plain_execute, with_rest, NOTHING),
        (Parts().execute, Parts().finalize, Pair(1, None)),
        (untyped, untyped_finalize, {"plain": [1, "json", None]}),
        (execute, any_finalize, [1, 2]),
        (on_cancel, untyped_finalize, None),
    ],
)
def test_its_type_is_that_of_finalize_else_what_execute_says(
    handler: Any, last: Any, value: object
) -> None:
    codec = memo(handler, last)
    back = codec.decode(codec.encode(value))
    assert back == value
    assert type(back) is type(value)


def test_none_is_a_value_like_any_other() -> None:
    assert memo(on_cancel, untyped_finalize).encode(None) == "null"
    assert memo(execute, finalize).decode(None) is None, "nothing was stored"


NAME = "what the handler of Scan returns for its finalize"


@pytest.mark.parametrize("value", [None, 5, {"paths": []}, Pair(1, None)])
def test_what_does_not_fit_is_refused_when_it_is_returned(value: object) -> None:
    with pytest.raises(PayloadError, match=f"^{NAME}: "):
        memo(execute, finalize).encode(value)


def test_the_path_to_what_does_not_fit_is_named() -> None:
    wrong = Found(["a", wrong_value()], datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(PayloadError, match=rf"^{NAME}\.paths\[1\]: "):
        memo(execute, finalize).encode(wrong)


def wrong_value() -> Any:
    return 5


def test_what_is_stored_and_does_not_fit_any_more_is_refused() -> None:
    for stored in ("5", '{"paths":[]}', "{", "NaN"):
        with pytest.raises(PayloadError, match=f"^{NAME}"):
            memo(execute, finalize).decode(stored)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(PayloadTooLarge, match=f"^{NAME}: is .* bytes as JSON"):
        memo(untyped, untyped_finalize).encode("x" * MAX_BYTES)


def test_without_types_only_plain_json_fits() -> None:
    for value in (object(), {1, 2}, float("nan"), datetime(2030, 1, 1, tzinfo=UTC)):
        with pytest.raises(PayloadError, match=f"^{NAME}"):
            memo(untyped, untyped_finalize).encode(value)


def test_a_type_that_cannot_be_stored_is_refused_by_the_domain() -> None:
    async def returns_socket(task: Scan, ctx: Context[Ingest]) -> object: ...

    async def takes_socket(task: Scan, sock: object, ctx: Context[Ingest]) -> int:
        return 0

    handler = Scan.handler(returns_socket, finalize=takes_socket)
    with pytest.raises(ConfigurationError, match=NAME):
        Domain(Ingest, handlers=[handler])


def test_a_type_that_cannot_be_found_is_refused_by_the_domain() -> None:
    class Local: ...

    async def returns_local(task: Scan, ctx: Context[Ingest]) -> Local:
        return Local()

    async def takes_local(task: Scan, found: Local, ctx: Context[Ingest]) -> int:
        return 0

    handler = Scan.handler(returns_local, finalize=takes_local)
    with pytest.raises(
        ConfigurationError, match=f"{NAME}: 'Local' in the annotations of .* cannot"
    ):
        Domain(Ingest, handlers=[handler])


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values)
@settings(deadline=None)
def test_any_plain_json_comes_back(value: object) -> None:
    codec = memo(untyped, untyped_finalize)
    assert codec.decode(codec.encode(value)) == value


@given(st.lists(st.text(st.characters(codec="utf-8"))), st.datetimes(timezones=st.just(UTC)))
@settings(deadline=None)
def test_any_typed_value_comes_back(paths: list[str], at: datetime) -> None:
    codec = memo(execute, finalize)
    assert codec.decode(codec.encode(Found(paths, at))) == Found(paths, at)
