"""How the SQLite store writes: its settings, its log, and what it does when it cannot write."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest

from taskmill.model.changes import CancelTask, Claim, Submit
from taskmill.model.effects import Placed
from taskmill.model.errors import ConfigurationError, StoreError
from taskmill.store.sqlite import SqliteStore
from taskmill.store.sqlite.store import WAL_LIMIT, Durability

from .conformance import (
    ANY,
    NOW,
    T0,
    claim,
    new_task,
    record_of,
    sqlite_store,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

T = TypeVar("T")

MEGABYTE = "x" * 1024 * 1024


async def on_writer(store: SqliteStore, work: Callable[[sqlite3.Connection], T]) -> T:
    """What ``work`` finds on the writing connection."""
    writer = store._writer  # pyright: ignore[reportPrivateUsage] - its settings show nowhere else
    assert writer is not None
    return await writer.run(work)


async def pragma(store: SqliteStore, text: str) -> int | str:
    [value] = await on_writer(store, lambda db: db.execute(f"PRAGMA {text}").fetchone())
    assert isinstance(value, int | str)
    return value


def log_size(path: Path) -> int:
    log = Path(f"{path}-wal")
    return log.stat().st_size if log.exists() else 0


# --- settings, and the log -----------------------------------------------------------------------


@pytest.mark.parametrize(("durability", "synchronous"), [("power", 2), ("process", 1)])
async def test_the_writing_connection_is_as_durable_as_asked(
    path: Path, durability: Durability, synchronous: int
) -> None:
    store = sqlite_store(path, durability=durability)
    await store.open(now=NOW)
    assert await pragma(store, "synchronous") == synchronous
    assert await pragma(store, "wal_autocheckpoint") == 0
    assert await pragma(store, "journal_mode") == "wal"
    assert await pragma(store, "foreign_keys") == 1
    await store.close()


async def test_a_change_that_raises_what_nobody_expects_fails_alone(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    no_id: Any = "1"
    cancel = CancelTask(id=no_id, domain=None, reason=None, now_ms=T0)
    with caplog.at_level(logging.ERROR):
        before, failed, after = await store.apply(
            [Submit((new_task("a"),)), cancel, Submit((new_task("b"),))]
        )
    assert isinstance(failed, StoreError)
    assert "CancelTask failed: TypeError" in str(failed)
    assert caplog.records[0].exc_info is not None
    for effect in (before, after):
        assert isinstance(effect, tuple)
        assert isinstance(effect[0], Placed)
    await store.close()


@pytest.mark.parametrize("wrong", ["", 5, None, b"app.db"])
def test_a_path_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="the path of a database is a str or a Path"):
        SqliteStore(wrong)


def test_a_durability_that_is_none_is_refused() -> None:
    wrong: Durability = "power"
    with pytest.raises(ConfigurationError, match="durability is 'power' or 'process', not 'POWER'"):
        SqliteStore(":memory:", durability=wrong.upper())  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] # on purpose


async def test_the_log_is_brought_in_whenever_it_is_full_and_empty_after_close(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    for number in range(60):
        await submit(store, new_task(f"{number}", payload=MEGABYTE))
        assert log_size(path) < 3 * WAL_LIMIT
    count = await store.count(ANY)
    await submit(store, new_task("after"))
    assert path.stat().st_size > 4 * WAL_LIMIT
    await store.close()
    assert log_size(path) == 0
    await store.open(now=NOW)
    assert await store.count(ANY) == count + 1
    await store.close()


async def test_a_reader_postpones_bringing_the_log_in_and_nothing_fails(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit(store, new_task("first"))
    number = 0
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM taskmill_tasks").fetchone() == (1,)
        while log_size(path) <= WAL_LIMIT + 2 * len(MEGABYTE):
            number += 1
            await submit(store, new_task(f"{number}", payload=MEGABYTE))
        assert reader.execute("SELECT count(*) FROM taskmill_tasks").fetchone() == (1,)
        reader.execute("COMMIT")
    grown = log_size(path)
    while log_size(path) >= grown:
        number += 1
        await submit(store, new_task(f"{number}", payload=MEGABYTE))
        assert log_size(path) < 3 * WAL_LIMIT
    assert await store.count(ANY) == number + 1
    await store.close()
    assert log_size(path) == 0


async def test_a_reader_does_not_make_closing_fail(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    task = await submit_one(store, new_task("a"))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM taskmill_tasks").fetchone()
        await submit(store, new_task("b"))
        await store.close()
    await store.open(now=NOW)
    assert await store.get(task) is not None
    assert await store.count(ANY) == 2
    await store.close()


# --- full and busy --------------------------------------------------------------------------------


async def test_a_full_database_loses_nothing_and_heals(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    accepted = [await submit_one(store, new_task("a"))]
    limit = await pragma(store, "max_page_count")
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    with pytest.raises(StoreError, match="the disk is full; free some space"):
        await submit(store, new_task("big", payload=MEGABYTE))
    assert await store.count(ANY) == 1
    running = await claim(store, accepted[0])
    assert await store.get(running.id) == running
    await pragma(store, f"max_page_count = {limit}")
    accepted.append(await submit_one(store, new_task("big", payload=MEGABYTE)))
    await store.close()
    await store.open(now=NOW)
    assert [(await record_of(store, task)).id for task in accepted] == accepted
    await store.close()


async def test_a_batch_that_fills_the_database_changes_nothing(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    task = await submit_one(store, new_task("a"))
    before = await store.get(task)
    await pragma(store, f"max_page_count = {await pragma(store, 'page_count')}")
    big = Submit((new_task("b"), new_task("big", payload=MEGABYTE)))
    with pytest.raises(StoreError, match="the disk is full"):
        await store.apply([Claim(task, T0), big])
    assert await store.get(task) == before
    assert await store.count(ANY) == 1
    await store.close()


async def test_another_writer_that_holds_on_is_named_and_nothing_is_lost(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    task = await submit_one(store, new_task("a"))
    await pragma(store, "busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process has been writing for over"):
            await submit(store, new_task("b"))
        assert await store.count(ANY) == 1
        other.execute("ROLLBACK")
    assert (await claim(store, task)).run == 1
    await submit(store, new_task("b"))
    assert await store.count(ANY) == 2
    await store.close()


async def test_another_writer_that_ends_in_time_is_waited_for(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    has_begun = threading.Event()
    await on_writer(store, lambda db: db.set_trace_callback(lambda _: has_begun.set()))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with anyio.create_task_group() as group:
            group.start_soon(submit, store, new_task("a"))
            await anyio.to_thread.run_sync(has_begun.wait)
            await anyio.sleep(0.02)  # who does not wait has failed by now
            other.execute("COMMIT")
    assert await store.count(ANY) == 1
    await store.close()
