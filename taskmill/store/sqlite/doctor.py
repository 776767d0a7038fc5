"""Whether a database file is in order: its disk, its holder, its pages, its version, its rows."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from taskmill.model.effects import Holder
from taskmill.model.errors import StoreError
from taskmill.store.sqlite.connection import Port
from taskmill.store.sqlite.files import MAGIC, FileLock
from taskmill.store.sqlite.findings import Finding, Severity, fine, problem, warning
from taskmill.store.sqlite.inspecting import INSPECTION, inspecting
from taskmill.store.sqlite.opening import holder_of, read_meta
from taskmill.store.sqlite.rowchecks import ROWS, Holding
from taskmill.store.sqlite.statements import MIGRATIONS
from taskmill.store.sqlite.surroundings import examine_files

LAST_WITH_RESET_BUG = (3, 51, 2)
"""Up to this version a checkpoint by a second connection can, very rarely, damage the file."""
_RESTORE = "restore it from a backup; `.recover` of the sqlite3 program saves what can be read"


async def examine(path: Path, *, version: tuple[int, ...] | None = None) -> list[Finding]:
    """Everything that can be found out about a database file without changing it.

    It may have a dispatcher or not; neither is disturbed. ``version`` is that of SQLite, the one
    in use unless given.
    """
    findings = [_library(version or sqlite3.sqlite_version_info)]
    unusable = _not_a_database(path)
    if unusable is not None:
        return [*findings, unusable]
    findings += examine_files(path)
    try:
        async with inspecting(path) as port:
            findings += await _examine_inside(path, port)
    except StoreError as error:
        findings.append(problem("opening", _without(path, error), _RESTORE))
    return findings


def is_in_order(findings: Sequence[Finding]) -> bool:
    """Whether there is no problem among the findings; warnings may be."""
    return all(finding.severity is not Severity.PROBLEM for finding in findings)


def _library(version: tuple[int, ...]) -> Finding:
    text = ".".join(map(str, version))
    if version > LAST_WITH_RESET_BUG:
        return fine("SQLite", f"the linked SQLite is {text}")
    return warning(
        "SQLite",
        f"the linked SQLite is {text}; up to 3.51.2 a second connection that checkpoints at the "
        "wrong instant can damage the file (the WAL-reset bug)",
        "taskmill never checkpoints from a second connection; let no other program write to the "
        "file without PRAGMA wal_autocheckpoint = 0, or upgrade SQLite",
    )


def _not_a_database(path: Path) -> Finding | None:
    """Why there is nothing to open; None where there is."""
    name = "name the file that the scheduler was given"
    try:
        if not path.exists():
            return problem("file", f"{path} does not exist", name)
        if not path.is_file():
            return problem("file", f"{path} is no regular file", name)
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        return problem("file", f"{path} cannot be read: {error.strerror}", "look at its mode")
    if not start:
        return warning("file", f"{path} is empty", "a scheduler that opens it makes its tables")
    if start != MAGIC:
        return problem("file", f"{path} is no SQLite database", name)
    return None


async def _examine_inside(path: Path, port: Port) -> list[Finding]:
    try:
        is_ours = await port.run(_has_tables)
    except StoreError as error:
        return [problem("integrity", _without(path, error), _RESTORE)]
    if not is_ours:
        return [
            warning(
                "schema",
                "no scheduler has opened this database yet: it has no tables of taskmill's",
                "name the file that the scheduler was given, if it is another",
            )
        ]
    findings = await _asked(path, port, "schema", _schema)
    findings += await _asked(path, port, "journal", _journal)
    try:
        holder = await port.run(holder_of)
    except (StoreError, ValueError, TypeError, LookupError):
        holder = None  # then the findings say less
    holding, said = _lock(path, holder)
    findings.append(said)
    findings += await _asked(path, port, "integrity", _integrity)
    if any(f.subject == "schema" and f.severity is Severity.PROBLEM for f in findings):
        return findings  # tables of another version are not to be judged by this one's questions
    for subject, check in ROWS.items():
        findings += await _asked(path, port, subject, partial(check, holding))
    return findings


async def _asked(
    path: Path, port: Port, subject: str, check: Callable[[sqlite3.Connection], Iterator[Finding]]
) -> list[Finding]:
    """The findings of one check; that it could not be made is one too."""
    try:
        return await port.run(lambda db: list(check(db)))
    except StoreError as error:
        return [problem(subject, f"this could not be looked at: {_without(path, error)}", _RESTORE)]


def _without(path: Path, error: StoreError) -> str:
    return str(error).removeprefix(f"{path}: ")


# --- the file ---


def _has_tables(db: sqlite3.Connection) -> bool:
    return bool(db.execute(INSPECTION["tables"]).fetchone()[0])


def _schema(db: sqlite3.Connection) -> Iterator[Finding]:
    stored, known = read_meta(db, "version") or "none", len(MIGRATIONS)
    if not stored.isdecimal():
        yield problem("schema", f"its schema version is {stored!r}, which is no number", _RESTORE)
    elif int(stored) > known:
        yield problem(
            "schema",
            f"it has schema version {stored}, and this taskmill knows {known}",
            "it was written by a newer taskmill; upgrade this one",
        )
    elif int(stored) < known:
        yield warning(
            "schema",
            f"it has schema version {stored}, and this taskmill {known}",
            "the next scheduler that opens it brings it up to date; older ones cannot open it then",
        )
    else:
        yield fine("schema", f"it has schema version {stored}, as this taskmill")


def _journal(db: sqlite3.Connection) -> Iterator[Finding]:
    mode = str(db.execute("PRAGMA journal_mode").fetchone()[0])
    if mode == "wal":
        yield fine("journal", "the journal is a write-ahead log")
    else:
        yield warning(
            "journal",
            f"the journal mode is {mode}, not wal",
            "the next scheduler that opens it sets it; find out who changed it",
        )


def _integrity(db: sqlite3.Connection) -> Iterator[Finding]:
    found = [str(line) for (line,) in db.execute("PRAGMA integrity_check(5)")]
    if found == ["ok"]:
        yield fine("integrity", "every page and index is sound")
    else:
        lines = "; ".join(" ".join(line.split()) for line in found)
        yield problem("integrity", f"the file is damaged: {lines}", _RESTORE)


def _lock(path: Path, holder: Holder | None) -> tuple[Holding, Finding]:
    """Whether somebody holds the lock, and what is to be said of that."""
    place = path.with_name(f"{path.name}.lock")
    lock = FileLock(place)
    try:
        is_held = place.exists() and not lock.is_free()
    except StoreError as error:
        return Holding(is_held=False, holder=holder), warning(
            "lock", str(error), "whether somebody dispatches cannot be seen; look at its mode"
        )
    holding = Holding(is_held=is_held, holder=holder)
    if not is_held:
        last = "" if holder is None else f"; the last one was {holding.name}"
        return holding, fine("lock", f"nobody dispatches{last}")
    if holder is not None and holder.host == platform.node() and not _is_alive(holder.pid):
        return holding, warning(
            "lock",
            f"the lock is held, though {holding.name} is not among the processes seen from here",
            "it runs in another container, or left a child process that holds the file: "
            f"`fuser {place}` names it",
        )
    return holding, fine("lock", f"{holding.name} dispatches")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
