"""What is left for the dispatcher: strange rows harm nobody else, and answers wait long enough."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from taskmill import DomainHandle, StoreError, TaskId, TaskStatus
from taskmill.model.changes import CancelTask, Collect
from taskmill.model.effects import Answer, Requested
from taskmill.model.times import to_ms
from taskmill.store.sqlite import SqliteStore
from tests.client.test_client import both, client
from tests.life.app import HOUR, Nap, Work, open_app

pytestmark = pytest.mark.anyio

NOW = datetime(2030, 1, 2, tzinfo=UTC)

STRANGE: list[bytes] = [
    b"nonsense",
    b"[]",
    b"5",
    b"null",
    b"{}",
    b'{"request": "Explode", "why": "a newer version knows it"}',
    b'{"request": ["CancelTask"]}',
    b'{"request": "CancelTask", "id": "x"}',
    b"[" * 100_000,
    b"\xff\xfe",
]


def write(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute(statement, values).rowcount == 1


def left(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM taskmill_inbox").fetchone()[0])


@asynccontextmanager
async def visitor(path: Path) -> AsyncGenerator[DomainHandle[Work]]:
    async with client(path) as web:
        yield web.domain(Work)


@pytest.mark.parametrize("strange", STRANGE, ids=lambda body: repr(body[:30]))
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "opening"])
async def test_a_request_that_is_none_is_refused_and_holds_nobody_up(
    tmp_path: Path, strange: bytes, *, is_open: bool
) -> None:
    path = tmp_path / "app.db"
    ask = "INSERT INTO taskmill_inbox (body, asked_ms) VALUES (CAST(? AS TEXT), 0)"
    if is_open:
        async with both(path) as (_, work, _web):
            write(path, ask, strange)
            assert await work.cancel((await work.submit(Nap(name="a"), delay=HOUR)).id)
    else:
        async with visitor(path) as work:
            write(path, ask, strange)
            task = await work.submit(Nap(name="a"))
        async with open_app(str(path)) as app:
            assert await app.work.result(task) == "a"
    with closing(sqlite3.connect(path)) as db:
        [(answer,)] = db.execute("SELECT answer FROM taskmill_inbox").fetchall()
    assert "the dispatcher refuses it" in answer


@pytest.mark.parametrize("strange", STRANGE, ids=lambda body: repr(body[:30]))
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "opening"])
async def test_a_submit_that_cannot_be_read_is_cancelled_and_holds_nobody_up(
    tmp_path: Path, strange: bytes, *, is_open: bool
) -> None:
    path = tmp_path / "app.db"
    spoil = "UPDATE taskmill_inbox SET body = CAST(? AS TEXT)"
    if is_open:
        async with both(path) as (app, work, _):
            with closing(sqlite3.connect(path, isolation_level=None)) as db:
                db.execute("BEGIN")
                task = await app.work.submit(Nap(name="a"), connection=db)
                db.execute(spoil, (strange,))
                db.execute("COMMIT")
            record = await work.wait(task.id)
            assert await work.result(await work.submit(Nap(name="b"))) == "b"
    else:
        async with visitor(path) as work:
            task = await work.submit(Nap(name="a"))
            write(path, spoil, strange)
            other = await work.submit(Nap(name="b"))
        async with open_app(str(path)) as app:
            assert await app.work.result(other) == "b"
            record = await app.work.get(task.id)
    assert record.status is TaskStatus.CANCELLED
    assert record.reason is not None
    assert "cannot be carried out" in record.reason
    assert left(path) == 0


async def test_an_answer_waits_ten_minutes_from_when_it_was_given(tmp_path: Path) -> None:
    """The request may have waited for hours, while its dispatcher was stopped."""
    dispatcher, visitor = SqliteStore(tmp_path / "app.db"), SqliteStore(tmp_path / "app.db")
    await dispatcher.open(now=NOW)
    await visitor.visit()
    for hours in (-3, 3):
        asked = await visitor.request(
            [CancelTask(id=TaskId(1), domain=None, reason=None, now_ms=0)], now=NOW
        )
        [requested] = asked.effects
        assert isinstance(requested, Requested)
        assert await visitor.answer(requested.id) is None
        later_ms = to_ms(NOW + hours * HOUR)
        await dispatcher.apply([Collect(now_ms=later_ms, limit=10)])
        assert await visitor.answer(requested.id) == Answer(None)  # there is no task 1
        gone = await visitor.answer(requested.id)
        assert gone is not None
        assert isinstance(gone.effect, StoreError)
        assert "kept for 10 minutes" in str(gone.effect)
    await visitor.close()
    await dispatcher.close()
