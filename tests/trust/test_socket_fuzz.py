"""Whatever is said at the socket beside the file, the dispatcher goes on."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmill import Scheduler
from taskmill.link.address import address_of
from taskmill.link.frames import MAX_QUESTION
from tests.engine.app import Board, Errand, domains

SLOW = (
    HealthCheck.too_slow,
    HealthCheck.function_scoped_fixture,
    HealthCheck.data_too_large,
    HealthCheck.large_base_example,
)
VERBS = st.sampled_from(["look", "snapshot", "explain", "end", "events", "explode", ""])
NUMBERS = st.integers() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 0, 1])
PLAIN = st.none() | st.booleans() | NUMBERS | st.floats() | st.text(max_size=5)
MESSAGES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {"verb": VERBS | PLAIN, "id": NUMBERS | PLAIN},
    optional={"task": NUMBERS | PLAIN, "more": st.lists(PLAIN, max_size=3)},
)
LINES = (
    MESSAGES.map(lambda message: json.dumps(message).encode())
    | st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3)).map(
        lambda value: json.dumps(value).encode()
    )
    | st.binary(max_size=50)
    | st.sampled_from(
        [
            b"[" * 20_000,
            b'{"verb": "look", "id": ' + b"9" * 5000 + b"}",
            b'{"a":' * 2000,
            b"\0" * 100,
            b"x" * (MAX_QUESTION + 10),
            b'{"verb": "end", "id": 1, "task": true}',
            b"\xed\xa0\x80",
        ]
    )
)


@asynccontextmanager
async def _listening(path: Path) -> AsyncGenerator[Scheduler]:
    """A scheduler that can be reached: another process has had an answer from it."""
    async with (
        Scheduler(path, domains=domains(Board()), loop_limit=None) as scheduler,
        Scheduler(path, domains=domains(Board()), dispatch=False) as other,
    ):
        await other.idle()
        yield scheduler


async def _say(path: Path, lines: list[bytes]) -> None:
    async with await anyio.connect_unix(str(address_of(path))) as stream:
        try:
            await stream.send(b"\n".join(lines) + b"\n")
            await stream.send_eof()
            with anyio.move_on_after(0.05):  # an answer that never comes is one, too
                while True:
                    await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


def check(conversations: list[list[bytes]]) -> None:
    async def main(path: Path) -> None:
        async with _listening(path) as scheduler:
            for lines in conversations:
                await _say(path, lines)
            assert await scheduler.result(await scheduler.submit(Errand(number=7))) == 7

    with TemporaryDirectory() as folder:
        anyio.run(main, Path(folder) / "app.db")


SOME = st.lists(st.lists(LINES, min_size=1, max_size=6), min_size=1, max_size=8)


@given(SOME)
@settings(deadline=None, max_examples=15, suppress_health_check=[*SLOW])
def test_whatever_is_said_the_dispatcher_goes_on_and_meets_no_bug(
    caplog: pytest.LogCaptureFixture, conversations: list[list[bytes]]
) -> None:
    caplog.set_level(logging.ERROR)
    check(conversations)
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


@pytest.mark.nightly
@given(SOME)
@settings(deadline=None, max_examples=150, suppress_health_check=[*SLOW])
def test_the_same_for_many_more(
    caplog: pytest.LogCaptureFixture, conversations: list[list[bytes]]
) -> None:
    caplog.set_level(logging.ERROR)
    check(conversations)
    assert not [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]


def test_somebody_who_says_nothing_or_never_ends_a_line_holds_nobody_up() -> None:
    async def main(path: Path) -> None:
        async with _listening(path) as scheduler:
            idlers = [socket.socket(socket.AF_UNIX) for _ in range(20)]
            try:
                for idler in idlers:
                    idler.connect(str(address_of(path)))
                    idler.sendall(b'{"verb": "lo')
                assert await scheduler.result(await scheduler.submit(Errand(number=7))) == 7
            finally:
                for idler in idlers:
                    idler.close()

    with TemporaryDirectory() as folder:
        anyio.run(main, Path(folder) / "app.db")
