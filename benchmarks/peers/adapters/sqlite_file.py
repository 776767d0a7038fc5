"""How a SQLite file is made ready for a library that takes it as it finds it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def write_ahead(path: Path) -> str:
    """Make a database whose journal is WAL, and return what any connection to it has then.

    The mode stays with the file. By default a library has a rollback journal there, which needs
    two or three syncs a commit; FULL, the default of a connection, is as durable with WAL.
    """
    with closing(sqlite3.connect(path)) as connection:
        [journal] = connection.execute("pragma journal_mode = wal").fetchone()
        [synchronous] = connection.execute("pragma synchronous").fetchone()
    return f"journal {journal}, synchronous {synchronous}"
