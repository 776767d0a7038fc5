"""Tasks kept in SQLite, in a file or in memory."""

from taskmill.store.sqlite.store import SqliteStore as SqliteStore
