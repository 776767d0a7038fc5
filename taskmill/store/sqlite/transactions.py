"""What happens together or not at all: a transaction, and one change within it."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TypeVar

from taskmill.model.errors import StoreError

log = logging.getLogger("taskmill.store")

C = TypeVar("C")
E = TypeVar("E")

REFUSALS = (sqlite3.Error, OverflowError, UnicodeError)
"""What the driver raises for a statement: a number or a text may be none that SQLite can hold."""


@contextmanager
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """A transaction that writes: it commits at the end of the block, or leaves nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


def alone(
    db: sqlite3.Connection, work: Callable[[sqlite3.Connection, C], E], change: C
) -> E | StoreError:
    """Do the work of one change, or none of it and say why; what hits all of them is raised."""
    db.execute("SAVEPOINT one")
    try:
        effect = work(db, change)
    except Exception as error:
        if not db.in_transaction or is_of_the_disk(error):
            raise
        db.execute("ROLLBACK TO one")
        db.execute("RELEASE one")
        if not isinstance(error, REFUSALS):
            log.exception("%s failed, which is a bug", type(change).__name__)
            return StoreError(f"{type(change).__name__} failed: {error!r}")
        return StoreError(f"the database refused {type(change).__name__}: {error}")
    db.execute("RELEASE one")
    return effect


def is_of_the_disk(error: Exception) -> bool:
    """Whether it is nobody's own fault, and would hit every other change as well."""
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
