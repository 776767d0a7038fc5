"""Submits inside a transaction of the application, on its own connection to the same file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiosqlite

from taskmill.model.changes import NewTask
from taskmill.model.effects import Placed, Refused
from taskmill.model.errors import ConfigurationError, InvalidState, StoreError
from taskmill.model.showing import shown
from taskmill.rules.arrivals import enlist
from taskmill.store.sqlite.carrying import run_rule
from taskmill.store.sqlite.connection import run_on, store_error
from taskmill.store.sqlite.statements import SQL

_NOT_OUR_TURN = (
    "somebody else is writing, or has written since this transaction read; begin it with "
    "BEGIN IMMEDIATE, which waits, and keeps others from it"
)


async def submit_on(
    connection: object, path: Path | None, tasks: Sequence[NewTask]
) -> tuple[Placed, ...] | Refused:
    """Submit in the open transaction of ``connection``; all or none, and the rest of it stays."""
    if path is None:
        raise ConfigurationError(
            "connection= needs a database file that both can open, and this one is in memory"
        )
    try:
        match connection:
            case aiosqlite.Connection():
                return await run_on(connection, lambda db: _submit(db, path, tasks))
            case sqlite3.Connection():
                return _submit(connection, path, tasks)
            case _:
                raise ConfigurationError(
                    "connection= takes a sqlite3.Connection or an aiosqlite.Connection, "
                    f"not {shown(connection)}"
                )
    except sqlite3.ProgrammingError as error:
        raise InvalidState(f"connection= cannot be used here: {error}") from error
    except sqlite3.Error as error:
        code: int = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF == sqlite3.SQLITE_BUSY:
            raise StoreError(f"{path}: {_NOT_OUR_TURN} ({error})") from error
        raise store_error(str(path), error) from error


def is_in_transaction(connection: object) -> bool:
    """Whether a connection that was submitted on still has its transaction open."""
    try:
        return isinstance(connection, aiosqlite.Connection | sqlite3.Connection) and (
            connection.in_transaction
        )
    except (sqlite3.ProgrammingError, ValueError):
        return False  # it was closed, and its transaction rolled back


def _submit(
    db: sqlite3.Connection, path: Path, tasks: Sequence[NewTask]
) -> tuple[Placed, ...] | Refused:
    if not db.in_transaction:
        raise InvalidState(
            "connection= has no open transaction: begin one, submit, then commit, so that both "
            "happen or neither"
        )
    _check_file(db, path)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    factory: Any = db.row_factory
    db.row_factory = None
    try:
        db.execute(SQL["wait_to_write"])
        return enlist_all(db, tasks)
    finally:
        db.row_factory = factory


def enlist_all(db: sqlite3.Connection, tasks: Sequence[NewTask]) -> tuple[Placed, ...] | Refused:
    """Submit in the open transaction of ``db``; all or none, and the rest of it stays."""
    db.execute("SAVEPOINT taskmill_submit")
    try:
        placed: list[Placed] = []
        for index, task in enumerate(tasks):
            effect = run_rule(db, enlist(task))
            if isinstance(effect, Refused):
                db.execute("ROLLBACK TO taskmill_submit")
                where = f"task {index} of {len(tasks)}: " if len(tasks) > 1 else ""
                return Refused(f"{where}{effect.reason}", effect.fault)
            placed.append(effect)
        return tuple(placed)
    except BaseException:
        db.execute("ROLLBACK TO taskmill_submit")
        raise
    finally:
        db.execute("RELEASE taskmill_submit")


def _check_file(db: sqlite3.Connection, path: Path) -> None:
    """The connection must be to the scheduler's own file, or its submit would be lost."""
    name = next((row[2] for row in db.execute("PRAGMA database_list") if row[1] == "main"), "")
    if not name or not Path(name).samefile(path):
        raise ConfigurationError(
            f"connection= is to {name or 'a database in memory'}, and the scheduler's file is "
            f"{path}; connect to that one"
        )
