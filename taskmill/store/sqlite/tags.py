"""How the tags of tasks are kept in a table of their own, for finding tasks by them."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from taskmill.model.changes import NewTask
from taskmill.model.record import TaskId
from taskmill.store.sqlite.rows import tags_text
from taskmill.store.sqlite.statements import SQL

_LAST = "\U0010ffff"
_BEFORE_SURROGATES, _BEHIND_SURROGATES = "\ud7ff", "\ue000"


def insert(db: sqlite3.Connection, tasks: Iterable[tuple[TaskId, NewTask]]) -> None:
    """Make tasks that were just inserted found by their tags."""
    rows = [
        (task, key, value, new.domain) for task, new in tasks for key, value in new.tags.items()
    ]
    if rows:
        db.executemany(SQL["insert_tag"], rows)


def finished(db: sqlite3.Connection, tasks: Sequence[TaskId]) -> None:
    """Move the tags of those of ``tasks`` that have ended behind those of active tasks.

    A task that has no tags, or has not ended after all, is left alone. Where nobody uses tags,
    this costs one look for all of them: looking for the tags of each would take 1 us a task.
    """
    if tasks and db.execute(SQL["has_active_tags"]).fetchone() is not None:
        db.execute(SQL["end_tags"], {"ids": json.dumps(tasks)})


def revived(db: sqlite3.Connection, tasks: Sequence[TaskId]) -> None:
    """Undo `finished` for those of ``tasks`` that are active again."""
    if tasks:
        db.execute(SQL["revive_tags"], {"ids": json.dumps(tasks)})


def replace(db: sqlite3.Connection, task: TaskId, tags: Mapping[str, str]) -> None:
    """Give a task other tags, in its row and in the table; nothing where there is no such task."""
    db.execute(SQL["set_tags"], {"id": task, "tags": tags_text(tags)})
    db.execute(SQL["clear_tags"], (task,))
    db.executemany(SQL["add_tag"], [{"id": task, "key": key, "value": tags[key]} for key in tags])


def prefix_range(prefix: str) -> dict[str, object]:
    """The values of a statement that takes the texts that start with ``prefix``.

    They are those from the prefix to before the next text that does not start with it: UTF-8,
    by whose bytes SQLite compares, has the order of code points. Where no text follows, the end
    is a blob, which comes after every text.
    """
    end: str | bytes = _successor(prefix)
    return {"prefix": prefix, "prefix_end": end or b""}


def _successor(prefix: str) -> str:
    """The first text behind all that start with ``prefix``; empty where there is none."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return ""
    last = stem[-1]
    following = _BEHIND_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1)
    return stem[:-1] + following
