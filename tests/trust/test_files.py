"""Files that are no good: refused in words that say what to do, and left as they are."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from taskmill import Scheduler, StoreError
from tests.life.app import Diary, Nap, domains

pytestmark = pytest.mark.anyio


async def served(path: Path, count: int = 0) -> None:
    """Open the file, run some tasks, and close it."""
    async with Scheduler(path, domains=domains(Diary())) as scheduler:
        await scheduler.submit_many([Nap(name=f"{n:05}".ljust(500)) for n in range(count)])
        await scheduler.idle()


def overwritten(at: int, data: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(at)
            file.write(data)

    return damage


def random_bytes(path: Path) -> None:
    path.write_bytes(os.urandom(8192))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def executed(*statements: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with closing(sqlite3.connect(path)) as db, db:
            for statement in statements:
                db.execute(statement)

    return damage


def replaced(statement: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        executed(statement)(path)

    return damage


VERSION = "UPDATE taskmill_meta SET value = '{}' WHERE name = 'version'"
BAD: dict[str, tuple[Callable[[Path], None], str]] = {
    "header": (overwritten(0, b"no header at all"), "no SQLite database, or its beginning is dam"),
    "random": (random_bytes, "is no SQLite database"),
    "pages": (overwritten(4096, b"\xff" * 4096 * 30), "is damaged, or the disk cannot be read"),
    "cut": (cut, "is damaged, or the disk cannot be read"),
    "newer": (executed(VERSION.format(99)), "schema version 99 and this taskmill knows .* upgrade"),
    "odd": (executed(VERSION.format("x")), "the schema version is no number .* from a backup"),
    "meta": (
        replaced("CREATE TABLE taskmill_meta (a, b)"),
        "has a taskmill_meta that taskmill did not make.* name another file",
    ),
    "tasks": (
        replaced("CREATE TABLE taskmill_tasks (a, b)"),
        "has a taskmill_tasks that taskmill did not make.* name another file",
    ),
    "view": (
        replaced("CREATE VIEW taskmill_pauses AS SELECT 1 AS version"),
        "has a taskmill_pauses that taskmill did not make.* name another file",
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_file_that_is_no_good_is_refused_with_advice_and_left_alone(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "app.db"
    await served(path, 200)
    damage, words = BAD[kind]
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreError) as refused:
        await served(path)
    said = str(refused.value)
    assert str(path) in said
    assert re.search(words, said), said
    assert "\n" not in said
    assert len(said) < 300
    assert path.read_bytes() == before


async def test_what_refused_a_file_does_not_hold_it(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    await served(path, 3)
    executed(VERSION.format(99))(path)
    for _ in range(3):
        with pytest.raises(StoreError):
            await served(path)
    executed(VERSION.format(1))(path)
    await served(path, 3)


async def test_a_log_that_is_garbage_is_left_out_and_what_was_committed_is_there(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    await served(path, 3)
    path.with_name("app.db-wal").write_bytes(b"\x37\x7f\x06\x82" + os.urandom(10_000))
    async with Scheduler(path, domains=domains(Diary())) as scheduler:
        assert len(await scheduler.history()) == 3
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_database_of_another_application_is_shared(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    executed("CREATE TABLE tasks (title)", "INSERT INTO tasks VALUES ('water')")(path)
    await served(path, 3)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT title FROM tasks").fetchall() == [("water",)]
