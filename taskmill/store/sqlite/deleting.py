"""Which tasks are deleted for good, and everything that belongs to them with them."""

from __future__ import annotations

import json
import sqlite3

from taskmill.model.changes import Delete, Prune
from taskmill.model.effects import Deleted
from taskmill.model.record import TaskId
from taskmill.store.sqlite.reading import ids as select_ids
from taskmill.store.sqlite.statements import SQL


def delete(db: sqlite3.Connection, change: Delete | Prune) -> Deleted:
    """Delete what a change names and nothing needs; errors, tags and edges go with it.

    What is no longer needed of pauses goes too, whenever it is looked at what has been outlived.
    """
    forgotten_ms: int | None = None
    if isinstance(change, Delete):
        chosen = list(select_ids(db, change.selection))
    else:
        chosen = _outlived(db, change)
        forgotten_ms = forget_pauses(db)
    ids = json.dumps([task for task in chosen if task not in change.keep])
    values = {"ids": ids, "now_ms": change.now_ms}
    return Deleted(db.execute(SQL["delete"], values).rowcount, forgotten_ms)


def forget_pauses(db: sqlite3.Connection) -> int | None:
    """Delete the pauses that no active task has waited through; when the last of them ended."""
    if db.execute(SQL["has_old_pauses"]).fetchone() is None:
        return None
    return max((ended for (ended,) in db.execute(SQL["forget_pauses"]).fetchall()), default=None)


def _outlived(db: sqlite3.Connection, change: Prune) -> list[TaskId]:
    """The oldest of each state beyond the number that is kept."""
    chosen: list[TaskId] = []
    for status, kept in change.counts.items():
        if kept is None:
            continue
        values = {
            "status": status.value,
            "kept": kept,
            "before_ms": change.before_ms,
            "limit": change.limit - len(chosen),
            "keep": json.dumps(sorted(change.keep)),
            "now_ms": change.now_ms,
        }
        chosen += [task for (task,) in db.execute(SQL["outlived"], values)]
    return chosen
