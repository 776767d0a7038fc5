"""What the machine allows without a scheduler: the same writes by hand, bare tasks, bare fsync."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

import aiosqlite
import anyio
import anyio.to_thread
import attrs

from benchmarks.setting import SETTLED, Sample, Setting, Unit, percentiles, rate

T = TypeVar("T")
Row = tuple[str, str, bytes, int]

SCHEMA = """
CREATE TABLE steps (
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, payload TEXT NOT NULL, identity BLOB NOT NULL,
    ready_at_ms INTEGER NOT NULL, status TEXT NOT NULL DEFAULT 'pending',
    started_at_ms INTEGER, finished_at_ms INTEGER
) STRICT;
CREATE INDEX ready ON steps (type, ready_at_ms, id) WHERE status = 'pending';
CREATE UNIQUE INDEX standing ON steps (identity) WHERE status IN ('pending', 'running');
"""
INSERT = "INSERT INTO steps (type, payload, identity, ready_at_ms) VALUES (?, ?, ?, ?)"
CLAIM = "UPDATE steps SET status = 'running', started_at_ms = 1 WHERE id = ? RETURNING *"
SETTLE = "UPDATE steps SET status = 'completed', finished_at_ms = 1 WHERE id = ?"
LEVELS = "SELECT type, count(*) FROM steps WHERE status = 'pending' GROUP BY type"
SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}
PATIENCE = 200
"""How many times a floor that is a latency is measured at most."""


@attrs.frozen(kw_only=True)
class Floor:
    """What a scenario is compared with: something it cannot do without, or the same elsewhere."""

    name: str
    description: str
    unit: Unit
    measure: Callable[[Setting], Awaitable[Sample]]


async def _awaited_inserts(setting: Setting) -> Sample:
    async with _table(setting) as db:
        start = perf_counter()
        for number in range(setting.n):
            await db.execute(INSERT, _row(number))
        return _rate(setting.n, start)


async def _inserts_by_50(setting: Setting) -> Sample:
    async with _table(setting) as db:
        start = perf_counter()
        for first in range(0, setting.n, 50):
            await _in_one_hop(db, _insert_each, range(first, min(first + 50, setting.n)))
        return _rate(setting.n, start)


async def _inserts_by_1000(setting: Setting) -> Sample:
    async with _table(setting) as db:
        start = perf_counter()
        await _insert(db, setting.n)
        return _rate(setting.n, start)


async def _claims_and_settlements(setting: Setting) -> Sample:
    async with _table(setting) as db:
        await _insert(db, setting.n)
        start = perf_counter()
        await _claim_and_settle(db, setting)
        return _rate(setting.n, start)


async def _whole_lives(setting: Setting) -> Sample:
    async with _table(setting) as db:
        start = perf_counter()
        await _insert(db, setting.n)
        await _claim_and_settle(db, setting)
        return _rate(setting.n, start)


async def _two_commits(setting: Setting) -> Sample:
    taken: list[float] = []
    async with _table(setting) as db:
        for number in range(min(setting.n, PATIENCE)):
            await anyio.sleep(SETTLED)
            start = perf_counter()
            await _in_one_hop(db, _insert_each, range(number, number + 1))
            await _in_one_hop(db, _turn_over, (range(0), range(number + 1, number + 2)))
            taken.append(perf_counter() - start)
    median, late = percentiles(taken)
    return Sample(n=len(taken), value=median, p99=late)


async def _connect_and_count(setting: Setting) -> Sample:
    async with _table(setting) as db:
        await _insert(db, setting.n)
    start = perf_counter()
    async with aiosqlite.connect(setting.database) as db:
        await db.execute_fetchall(LEVELS)
        taken = perf_counter() - start
    return Sample(n=setting.n, value=taken * 1e3)


async def _bare_tasks(setting: Setting) -> Sample:
    async def nothing() -> None:
        pass

    async def in_a_scope() -> None:
        with anyio.CancelScope():
            await nothing()

    start = perf_counter()
    for first in range(0, setting.n, setting.concurrency):
        async with anyio.create_task_group() as group:
            for _ in range(first, min(first + setting.concurrency, setting.n)):
                group.start_soon(in_a_scope)
    return _rate(setting.n, start)


async def _fsyncs(setting: Setting) -> Sample:
    taken = await anyio.to_thread.run_sync(
        _time_fsyncs, setting.folder / "fsync.bin", min(setting.n, PATIENCE)
    )
    median, late = percentiles(taken)
    return Sample(n=len(taken), value=median, p99=late)


async def _calls_in_a_pool(setting: Setting) -> Sample:
    with pool_of_two() as pool:
        start = perf_counter()
        await anyio.to_thread.run_sync(list, pool.map(abs, range(setting.n)))
        taken = perf_counter() - start
    return Sample(n=setting.n, value=taken * 1e3 / setting.n)


@contextmanager
def pool_of_two() -> Generator[ProcessPoolExecutor]:
    """Two processes that are up, of the standard library's own executor."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for each in [pool.submit(os.getpid) for _ in range(2)]:
            each.result()
        yield pool


AWAITED_INSERT = Floor(
    name="awaited insert",
    description="aiosqlite, one awaited insert into an indexed table at a time, each committed",
    unit=Unit.RATE,
    measure=_awaited_inserts,
)
GROUP_COMMIT = Floor(
    name="group commit",
    description="50 inserts a transaction, each transaction one call in aiosqlite's thread",
    unit=Unit.RATE,
    measure=_inserts_by_50,
)
EXECUTEMANY = Floor(
    name="executemany",
    description="executemany of 1,000 rows a transaction",
    unit=Unit.RATE,
    measure=_inserts_by_1000,
)
CLAIM_AND_SETTLE = Floor(
    name="claim and settle",
    description="transactions that settle as many rows as there are slots and claim as many",
    unit=Unit.RATE,
    measure=_claims_and_settlements,
)
WHOLE_LIFE = Floor(
    name="insert to settle",
    description="executemany of 1,000 rows a transaction, then claim and settle, in one time",
    unit=Unit.RATE,
    measure=_whole_lives,
)
TWO_COMMITS = Floor(
    name="two commits",
    description="an insert and a claim, each awaited in a transaction of its own",
    unit=Unit.MS,
    measure=_two_commits,
)
CONNECT = Floor(
    name="connect and count",
    description="connecting to a file of as many rows, and counting the pending ones",
    unit=Unit.MS,
    measure=_connect_and_count,
)
BARE_TASK = Floor(
    name="bare task",
    description="anyio's start_soon of a task that enters a CancelScope, by as many as slots",
    unit=Unit.RATE,
    measure=_bare_tasks,
)
FSYNC = Floor(
    name="fsync",
    description="fsync after appending 4 KiB to a file",
    unit=Unit.MS,
    measure=_fsyncs,
)
PROCESS_POOL = Floor(
    name="process pool",
    description="calls of abs by a ProcessPoolExecutor of two",
    unit=Unit.MS,
    measure=_calls_in_a_pool,
)


@asynccontextmanager
async def _table(setting: Setting) -> AsyncGenerator[aiosqlite.Connection]:
    async with aiosqlite.connect(setting.database, isolation_level=None) as db:
        await db.execute("PRAGMA journal_mode = WAL")
        await db.execute(f"PRAGMA synchronous = {SYNCHRONOUS[setting.durability]}")
        await db.executescript(SCHEMA)
        yield db


async def _in_one_hop(
    db: aiosqlite.Connection, work: Callable[[sqlite3.Connection, T], None], given: T
) -> None:
    """Run ``work`` as one call in the thread of ``db``; aiosqlite has no public way."""
    untyped: Any = db
    await untyped._execute(work, untyped._conn, given)  # noqa: SLF001 - as above


async def _insert(db: aiosqlite.Connection, n: int) -> None:
    for first in range(0, n, 1000):
        await _in_one_hop(db, _insert_at_once, range(first, min(first + 1000, n)))


async def _claim_and_settle(db: aiosqlite.Connection, setting: Setting) -> None:
    running = range(0)
    for first in range(1, setting.n + 1, setting.concurrency):
        claimed = range(first, min(first + setting.concurrency, setting.n + 1))
        await _in_one_hop(db, _turn_over, (running, claimed))
        running = claimed
    await _in_one_hop(db, _turn_over, (running, range(0)))


def _insert_at_once(db: sqlite3.Connection, numbers: range) -> None:
    db.execute("BEGIN IMMEDIATE")
    db.executemany(INSERT, map(_row, numbers))
    db.execute("COMMIT")


def _insert_each(db: sqlite3.Connection, numbers: range) -> None:
    db.execute("BEGIN IMMEDIATE")
    for number in numbers:
        db.execute(INSERT, _row(number))
    db.execute("COMMIT")


def _turn_over(db: sqlite3.Connection, ids: tuple[range, range]) -> None:
    settled, claimed = ids
    db.execute("BEGIN IMMEDIATE")
    for row in settled:
        db.execute(SETTLE, (row,))
    for row in claimed:
        db.execute(CLAIM, (row,)).fetchall()
    db.execute("COMMIT")


def _row(number: int) -> Row:
    return ("bench::step", f'{{"number":{number}}}', number.to_bytes(16, "big"), 1)


def _time_fsyncs(path: Path, times: int) -> list[float]:
    page = os.urandom(4096)
    taken: list[float] = []
    with path.open("ab", buffering=0) as file:
        for _ in range(times):
            file.write(page)
            start = perf_counter()
            os.fsync(file.fileno())
            taken.append(perf_counter() - start)
    return taken


def _rate(n: int, start: float) -> Sample:
    return Sample(n=n, value=rate(n, perf_counter() - start))
