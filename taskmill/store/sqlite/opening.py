"""What happens between connecting and the first change: set-up, migration, recovery."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from taskmill.model.changes import Collect
from taskmill.model.effects import Holder, LevelCount, Opening
from taskmill.model.errors import StoreError, StoreInUse
from taskmill.model.pauses import PauseRecord
from taskmill.rules.ending import recover
from taskmill.store.sqlite import batch
from taskmill.store.sqlite.carrying import run_rule
from taskmill.store.sqlite.deleting import forget_pauses
from taskmill.store.sqlite.rows import pause_of, record_of
from taskmill.store.sqlite.statements import MIGRATIONS, SQL

CACHE_KIB = 8 * 1024
"""How much of the file is kept in memory. The system keeps the rest, and a commit that has split a
page looks through all that is kept: 0.2 ms with 32 MiB."""

PAGE = 2048
"""The bytes of a page of a new file. What starts in the order of shares is on pages far apart, and
a page is written as a whole: with twice as large ones twice as much."""


def configure(db: sqlite3.Connection, *, durability: str) -> None:
    """Settings of the writing connection; StoreError, and nothing is changed, for a bad file."""
    _check_file(db)
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute(f"PRAGMA synchronous = {durability}")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def configure_reader(db: sqlite3.Connection) -> None:
    """Settings of a connection that only reads."""
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("PRAGMA query_only = ON")


def migrate(db: sqlite3.Connection) -> None:
    """Bring the file to this version, in one transaction; refuse one from a newer version."""
    db.execute("BEGIN IMMEDIATE")
    try:
        if not _check_file(db):
            for script in MIGRATIONS[_version(db) :]:
                for statement in statements(script):
                    db.execute(statement)
            write_meta(db, "version", str(len(MIGRATIONS)))
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one."""
    text = ""
    for line in script.splitlines(keepends=True):
        text += line
        if sqlite3.complete_statement(text):
            yield text
            text = ""
    if text.strip():
        yield text


def take_over(db: sqlite3.Connection, *, now_ms: int, holder: dict[str, object]) -> Opening:
    """Recover what the last process left, and begin a new epoch, in one transaction."""
    db.execute("BEGIN IMMEDIATE")
    try:
        epoch = int(read_meta(db, "epoch") or 0) + 1
        write_meta(db, "epoch", str(epoch))
        write_meta(db, "dispatcher", json.dumps({**holder, "epoch": epoch}))
        suspects = [record_of(row) for row in db.execute(SQL["suspects"])]
        stopping = [record_of(row) for row in db.execute(SQL["stopping"])]
        recovered = len(suspects) + db.execute(SQL["recover_running"]).rowcount
        db.execute(SQL["release_unreadable"])
        run_rule(db, recover(stopping, suspects, now_ms=now_ms))
        while batch.collect(db, Collect(now_ms=now_ms, limit=1000)).has_more:
            pass
        opening = Opening(
            epoch=epoch,
            levels=levels(db),
            next_due_ms=db.execute(SQL["next_due"]).fetchone()[0],
            next_fire_ms=db.execute(SQL["next_fire"]).fetchone()[0],
            next_expiry_ms=db.execute(SQL["next_expiry"]).fetchone()[0],
            retries=Counter(kind for (kind,) in db.execute(SQL["retries"])),
            recovered=recovered,
            pauses=_pauses(db, now_ms),
        )
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return opening


def _pauses(db: sqlite3.Connection, now_ms: int) -> tuple[PauseRecord, ...]:
    db.execute(SQL["end_due_pauses"], {"now_ms": now_ms})
    forget_pauses(db)
    return pauses(db)


def pauses(db: sqlite3.Connection) -> tuple[PauseRecord, ...]:
    """What is paused, and the closed pauses that are remembered."""
    return tuple(pause_of(row) for row in db.execute(SQL["pauses"]))


def is_up_to_date(db: sqlite3.Connection) -> bool:
    """Whether the file has this version's schema; StoreError for one from a newer version."""
    version = _version(db)
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{_name(db)} has schema version {version} and this taskmill knows {len(MIGRATIONS)}: "
            "it was written by a newer taskmill; upgrade this one"
        )
    return version == len(MIGRATIONS)


def _version(db: sqlite3.Connection) -> int:
    """The version of the schema, 0 where there is none yet; StoreError where it makes no sense."""
    try:
        return int(read_meta(db, "version") or 0)
    except ValueError as error:
        raise StoreError(
            f"{_name(db)}: the schema version is no number ({error}): something else has written "
            "to taskmill's tables; restore them from a backup"
        ) from None
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
            raise
        raise _taken(db, "taskmill_meta") from error


def _check_file(db: sqlite3.Connection) -> bool:
    """As `is_up_to_date`; StoreError also for a file without our schema that has names of it."""
    is_ours = is_up_to_date(db)
    if _version(db) == 0:
        found = db.execute(SQL["has_names"]).fetchone()
        if found is not None:
            raise _taken(db, str(found[0]))
    return is_ours


def _taken(db: sqlite3.Connection, name: str) -> StoreError:
    return StoreError(
        f"{_name(db)} has a {name} that taskmill did not make; names that begin with taskmill_ "
        "are taskmill's: name another file, or rename it"
    )


def _name(db: sqlite3.Connection) -> str:
    return str(db.execute("PRAGMA database_list").fetchone()[2])


def levels(db: sqlite3.Connection) -> tuple[LevelCount, ...]:
    """How many ready tasks each level of each lane holds."""
    return tuple(LevelCount(*row) for row in db.execute(SQL["levels"]))


def check_epoch(db: sqlite3.Connection, epoch: int) -> None:
    """StoreInUse where another process has become the dispatcher since."""
    if db.execute(SQL["read_meta"], ("epoch",)).fetchone()[0] != str(epoch):
        raise StoreInUse(
            "another process dispatches from the file by now: the file of the lock was removed "
            "while this one was open; leave it in place"
        )


def holder_of(db: sqlite3.Connection) -> Holder | None:
    """Who opened the file last for dispatching, as it wrote down; None where nobody did."""
    stored = read_meta(db, "dispatcher")
    if stored is None:
        return None
    fields: dict[str, Any] = json.loads(stored)
    fields["since"] = datetime.fromisoformat(fields["since"])
    return Holder(**fields)


def read_meta(db: sqlite3.Connection, name: str) -> str | None:
    """One fact about the file; None where it has none, or no tables yet."""
    if db.execute(SQL["has_meta"]).fetchone() is None:
        return None
    row = db.execute(SQL["read_meta"], (name,)).fetchone()
    return None if row is None else str(row[0])


def write_meta(db: sqlite3.Connection, name: str, value: str) -> None:
    """Note one fact about the file."""
    db.execute(SQL["write_meta"], {"name": name, "value": value})
