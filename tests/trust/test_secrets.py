"""A Secret is stored, compared and handed to its handler, and shown nowhere."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill import (
    Completed,
    ConfigurationError,
    Context,
    Domain,
    Every,
    PayloadError,
    ProcessExecutor,
    Route,
    Routing,
    Scheduler,
    Secret,
    SubmitOutcome,
    Task,
)
from taskmill.define.codec import Codec
from taskmill.executors.process.references import dumps
from taskmill.link.values import to_json
from taskmill.model.secret import redacted
from taskmill.testing import virtual_time
from tests.cli.live import called
from tests.trust.vault import HIDDEN, Nested, Sign, Vault, sign

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


@attrs.frozen(kw_only=True)
class Login:
    user: str
    password: Secret[str]


class Fetch(Task[Vault, Secret[str]], name="fetch"):
    token: Secret[str] = Secret(HIDDEN)
    logins: list[Login] = attrs.field(factory=list)
    key: Secret[bytes] | None = None


async def fetch(task: Fetch, ctx: Context[Vault]) -> Secret[str]:
    ctx.log.warning("fetching %s with %r", task, task.token)
    assert task.token.reveal() == HIDDEN
    return task.token


async def fail(task: Nested, ctx: Context[Vault]) -> None:
    raise ValueError(f"no luck with {task} and {task.token}")


def vault() -> Domain[Vault]:
    handlers = [Fetch.handler(fetch), Nested.handler(fail), Sign.handler(sign)]
    return Domain(Vault, handlers=handlers)


def nested(secret: object) -> str:
    return f"{[secret]} { ({'k': secret}) }"


def as_logs_have_it(secret: object) -> str:
    return "%s %r" % (secret, secret)  # noqa: UP031


def in_a_task(secret: Secret[str]) -> str:
    return repr(Fetch(token=secret))


def taken_apart(secret: Secret[str]) -> str:
    task: Any = Fetch(token=secret)
    return repr(attrs.asdict(task)) + json.dumps(attrs.asdict(task), default=str)


def copied(secret: Secret[str]) -> str:
    return repr(copy.deepcopy(Fetch(token=secret)))


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        "{!r}".format,
        "{:>40}".format,
        nested,
        as_logs_have_it,
        in_a_task,
        taken_apart,
        copied,
    ],
)
def test_whatever_shows_a_secret_shows_stars(show: Callable[[Any], str]) -> None:
    text = show(Secret(HIDDEN))
    assert HIDDEN not in text
    assert "***" in text


def test_a_secret_is_revealed_equal_and_hashed_by_its_value() -> None:
    assert Secret("a").reveal() == "a"
    assert Secret(b"a").reveal() == b"a"
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert {Secret("a"), Secret("a")} == {Secret("a")}
    assert len(f"{Secret('a'):>10}") == 10


def test_a_secret_is_not_pickled_but_on_the_way_to_our_own_workers() -> None:
    with pytest.raises(TypeError, match="reveal"):
        pickle.dumps(Secret(HIDDEN))
    back = pickle.loads(dumps(Sign()))  # noqa: S301 - just made
    assert back == Sign()
    assert HIDDEN not in repr(back)


@pytest.mark.parametrize("wrong", [5, None, ["a"], Secret("a")])
def test_a_secret_holds_text_or_bytes(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="a Secret holds a str or bytes"):
        Secret(wrong)


def test_an_annotation_that_no_secret_has_is_refused() -> None:
    class Number(Task[Vault], name="number"):
        token: Secret[int]  # type: ignore[type-var] # what an untyped caller may write  # pyright: ignore[reportInvalidTypeArguments]

    class Keyed(Task[Vault], name="keyed"):
        tokens: dict[Secret[str], int]

    with pytest.raises(ConfigurationError, match=r"Number.token: a Secret holds str or bytes"):
        Codec(Number)
    with pytest.raises(ConfigurationError, match=r"Keyed.tokens: a Secret is no key"):
        Codec(Keyed)


@given(st.text(), st.binary())
def test_secrets_come_back_and_their_json_is_shown_without_them(token: str, key: bytes) -> None:
    codec = Codec(Fetch)
    text = codec.encode(task := Fetch(token=Secret(token), key=Secret(key)))
    assert codec.decode(text) == task
    shown = json.loads(redacted(text))
    assert (shown["token"], shown["key"]) == ("***", "***")


@pytest.mark.parametrize("wrong", [HIDDEN, HIDDEN.encode(), [HIDDEN], Secret(HIDDEN.encode())])
def test_a_message_about_a_secret_does_not_show_it(wrong: Any) -> None:
    codec = Codec(Nested)
    with pytest.raises(PayloadError, match=r"Nested.token: expects a Secret\[str\]") as caught:
        codec.encode(Nested(token=wrong))
    assert HIDDEN not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("stored", ['{"token":["%s"]}', '{"token":{"$secret":["%s"]}}'])
def test_neither_does_one_about_what_is_stored(stored: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Codec(Nested).decode(stored % HIDDEN)
    assert HIDDEN not in "".join(traceback.format_exception(caught.value))


def test_a_field_becomes_a_secret_and_one_that_was_is_not_shown_where_it_does_not_fit() -> None:
    class Plain(Task[Vault], name="nested"):
        token: str
        note: str = ""

    secret = Codec(Nested).encode(Nested(token=Secret(HIDDEN)))
    plain = Codec(Plain).encode(Plain(token=HIDDEN))
    assert Codec(Nested).decode(plain) == Nested(token=Secret(HIDDEN))
    with pytest.raises(PayloadError, match=r"Plain.token: expects str, got \*\*\*") as caught:
        Codec(Plain).decode(secret)
    assert HIDDEN not in str(caught.value)


async def test_a_secret_reaches_its_handler_and_no_log_event_record_or_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "app.db"
    caplog.set_level(logging.DEBUG)
    seen: list[object] = []
    async with virtual_time() as clock:
        scheduler = Scheduler(path, domains=[vault()], clock=clock, loop_limit=None)
        async with scheduler, scheduler.events() as events:
            login = Login(user="u", password=Secret(HIDDEN))
            first = await scheduler.submit(Fetch(logins=[login], key=Secret(b"k")))
            assert (await scheduler.result(first)).reveal() == HIDDEN
            bad = await scheduler.submit(Nested(token=Secret(HIDDEN)), max_retries=0)
            seen.append(await scheduler.wait(bad.id))
            waits = await scheduler.submit(Fetch(), delay=DAY, label="later", tags={"a": "b"})
            again = await scheduler.submit(Fetch(token=Secret(HIDDEN)), delay=DAY)
            assert (again.id, again.outcome) == (waits.id, SubmitOutcome.DUPLICATE)
            await scheduler.domain(Vault).schedule(Fetch(), Every(30 * DAY), name="monthly")
            seen += await scheduler.schedules()
            seen += [await scheduler.get(first.id), await scheduler.explain(waits.id)]
            seen += [str(await scheduler.explain(bad.id)), to_json(scheduler.metrics())]
            async for event in events:
                seen += [event, event.to_dict()]
                if isinstance(event, Completed):
                    break
            for command in (
                ("list",),
                ("list", "--json"),
                ("show", str(first.id)),
                ("show", str(first.id), "--full"),
                ("show", str(first.id), "--json"),
                ("show", str(bad.id), "--full", "--json"),
                ("explain", str(bad.id)),
                ("dead", "--json"),
                ("stats",),
                ("schedules", "--json"),
                ("schedules",),
                ("top", "--once", "--json"),
                ("top", "--once"),
            ):
                result = await called(path, *command)
                assert result.exit_code == 0, result.output
                seen.append(result.output)
    assert HIDDEN not in "\n".join(map(repr, seen))
    assert HIDDEN not in "\n".join(map(str, seen))
    assert HIDDEN not in caplog.text
    assert "***" in caplog.text
    assert HIDDEN.encode() in path.read_bytes()  # in clear, as its page says


async def test_a_secret_goes_to_a_worker_process_and_comes_back_in_a_task_of_its_own() -> None:
    seen: list[Nested] = []

    async def note(task: Nested, ctx: Context[Vault]) -> None:
        seen.append(task)

    handlers = [Sign.handler(sign), Nested.handler(note)]
    async with Scheduler(
        ":memory:",
        domains=[Domain(Vault, handlers=handlers)],
        executors={"process": ProcessExecutor(1)},
        routing=Routing(rules=[Route("vault::sign", "process")]),
        loop_limit=None,
    ) as scheduler:
        assert await scheduler.result(await scheduler.submit(Sign())) == "17 letters, ***"
    assert seen == [Nested(token=Secret(HIDDEN), note="from elsewhere")]
