"""A submit inside the application's own transaction commits with it, or not at all."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import aiosqlite
import anyio
import pytest

from taskmill import (
    ConfigurationError,
    InvalidDependency,
    InvalidState,
    OnDuplicate,
    StoreError,
    SubmitOutcome,
    TaskId,
    TaskStatus,
)
from tests.life.app import HOUR, MINUTE, Nap, open_app

pytestmark = pytest.mark.anyio


def connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("CREATE TABLE IF NOT EXISTS orders (name TEXT)")
    return db


async def test_both_commit_or_neither(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders VALUES ('a')")
        kept = await app.work.submit(Nap(name="kept"), connection=db)
        assert kept.outcome is SubmitOutcome.INSERTED
        db.execute("COMMIT")
        assert await app.work.result(kept) == "kept"
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO orders VALUES ('b')")
        await app.work.submit(Nap(name="dropped"), connection=db)
        db.execute("ROLLBACK")
        await app.scheduler.idle()
        assert app.diary.of("nap") == ["nap kept"]
        assert db.execute("SELECT name FROM orders").fetchall() == [("a",)]
        assert await app.work.count() == 0
        db.close()


async def test_an_aiosqlite_connection_does_as_well(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        async with aiosqlite.connect(path, isolation_level=None) as db:
            await db.execute("BEGIN IMMEDIATE")
            submitted = await app.work.submit_many([Nap(name="a"), Nap(name="b")], connection=db)
            await db.execute("COMMIT")
            for each in submitted:
                await app.work.wait(each.id)
        assert sorted(app.diary.lines) == ["nap a", "nap b"]


async def test_the_scheduler_notices_a_commit_within_20_ms(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        for number in range(20):
            db.execute("BEGIN IMMEDIATE")
            each = await app.work.submit(Nap(name=str(number)), connection=db)
            await anyio.sleep(0.0123)
            db.execute("COMMIT")
            committed = app.seconds()
            await app.work.wait(each.id)
            assert app.seconds() - committed < 0.02
        db.close()


async def test_nobody_else_writes_between_its_reading_and_its_writing(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        other = sqlite3.connect(path, isolation_level=None, timeout=0)
        refused: list[str] = []

        def write(statement: str) -> None:
            if statement.startswith("INSERT INTO taskmill_tasks"):
                try:
                    other.execute("INSERT INTO orders VALUES ('other')")
                except sqlite3.OperationalError as error:
                    refused.append(str(error))

        db.set_trace_callback(write)
        db.execute("BEGIN")
        submitted = await app.work.submit(Nap(name="a"), connection=db)
        db.execute("COMMIT")
        assert await app.work.result(submitted) == "a"
        assert refused == ["database is locked"]
        other.close()
        db.close()


async def test_a_transaction_that_read_what_is_outdated_is_told_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        db.execute("BEGIN")
        db.execute("SELECT * FROM orders").fetchall()
        await app.work.submit(Nap(name="first"))
        with pytest.raises(StoreError, match="begin it with BEGIN IMMEDIATE"):
            await app.work.submit(Nap(name="a"), connection=db)
        db.execute("ROLLBACK")
        await app.scheduler.idle()
        assert app.diary.of("nap") == ["nap first"]
        db.close()


async def test_a_taken_identity_is_judged_after_the_commit(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        standing = await app.work.submit(Nap(name="same", seconds=100), priority=100, delay=HOUR)
        db = connect(path)
        db.execute("BEGIN IMMEDIATE")
        again = await app.work.submit(Nap(name="same", seconds=100), connection=db, priority=1)
        assert (again.id, again.outcome) == (standing.id, SubmitOutcome.DUPLICATE)
        refused = await app.work.submit(
            Nap(name="same", seconds=100), connection=db, on_duplicate=OnDuplicate.REJECT
        )
        assert refused.outcome is SubmitOutcome.REJECTED
        db.execute("COMMIT")
        await anyio.sleep(0.02)
        assert (await app.work.get(standing.id)).priority == 1
        db.close()


async def test_dependencies_and_start_times_hold_for_enlisted_tasks(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        first = await app.work.submit(Nap(name="first", seconds=5))
        db = connect(path)
        db.execute("BEGIN IMMEDIATE")
        second = await app.work.submit(Nap(name="second"), connection=db, depends_on=[first.id])
        later = await app.work.submit(Nap(name="later"), connection=db, delay=MINUTE)
        with pytest.raises(InvalidDependency, match="no task 99"):
            await app.work.submit(Nap(name="x"), connection=db, depends_on=[TaskId(99)])
        db.execute("COMMIT")
        db.close()
        await app.work.wait(second.id)
        assert app.seconds() == pytest.approx(5, abs=0.1)
        record = await app.work.wait(later.id)
        assert app.seconds() == pytest.approx(60, abs=0.1)
        assert record.status is TaskStatus.COMPLETED


async def test_what_was_committed_when_the_scheduler_died_is_found_at_the_next_opening(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    db = connect(path)
    async with open_app(str(path)) as app:
        db.execute("BEGIN IMMEDIATE")
        each = await app.work.submit(Nap(name="late"), connection=db)
    db.execute("COMMIT")
    async with open_app(str(path)) as app:
        assert (await app.work.wait(each.id)).status is TaskStatus.COMPLETED
    db.close()


async def test_a_connection_needs_an_open_transaction_on_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        with pytest.raises(InvalidState, match="no open transaction"):
            await app.work.submit(Nap(name="a"), connection=db)
        other = connect(tmp_path / "other.db")
        other.execute("BEGIN")
        with pytest.raises(ConfigurationError, match="the scheduler's file is"):
            await app.work.submit(Nap(name="a"), connection=other)
        with pytest.raises(ConfigurationError, match="must be a sqlite3 or an aiosqlite"):
            await app.work.submit(Nap(name="a"), connection="app.db")
        db.close()
        other.close()
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="in memory"):
            await app.work.submit(Nap(name="a"), connection=sqlite3.connect(":memory:"))


async def test_a_plain_submit_inside_ones_own_transaction_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        db = connect(path)
        db.execute("BEGIN IMMEDIATE")
        await app.work.submit(Nap(name="a"), connection=db)
        with pytest.raises(InvalidState, match="commit first"):
            await app.work.submit(Nap(name="b"))
        db.execute("COMMIT")
        await app.work.submit(Nap(name="b"))
        await app.scheduler.idle()
        db.close()
