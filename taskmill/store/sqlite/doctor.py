"""Whether a database file is in order: its disk, its holder, its pages, its version, its rows."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import attrs

from taskmill.model.effects import Holder
from taskmill.model.errors import StoreError
from taskmill.model.wording import moment, plural
from taskmill.store.sqlite.connection import Port
from taskmill.store.sqlite.files import MAGIC, FileLock
from taskmill.store.sqlite.findings import Finding, Severity, fine, problem, warning
from taskmill.store.sqlite.inspecting import INSPECTION, inspecting
from taskmill.store.sqlite.opening import holder_of, read_meta
from taskmill.store.sqlite.statements import MIGRATIONS
from taskmill.store.sqlite.surroundings import examine_files

LAST_WITH_RESET_BUG = (3, 51, 2)
"""Up to this version a checkpoint by a second connection can, very rarely, damage the file."""
MANY_REQUESTS = 10_000
"""A dispatcher takes requests by the thousand: more than this do not wait while one is well."""

_RESTORE = "restore it from a backup; `.recover` of the sqlite3 program saves what can be read"


@attrs.frozen
class Holding:
    """Whether somebody dispatches, as the lock says, and who opened the file last."""

    is_held: bool
    holder: Holder | None

    @property
    def name(self) -> str:
        """Who it is, in words."""
        if self.holder is None:
            return "an unknown process"
        pid, host, since = self.holder.pid, self.holder.host, moment(self.holder.since)
        return f"process {pid} on {host} (since {since})"


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
    for subject, check in _ROWS.items():
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


# --- the rows ---


def _counts(_: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    counts = {str(status): int(count) for status, count in db.execute(INSPECTION["by_status"])}
    total = plural(sum(counts.values()), "task")
    each = ", ".join(f"{status} {count:,}" for status, count in counts.items())
    yield fine("tasks", f"{total} on record: {each}" if counts else "no task is on record")


def _orphans(_: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    found = {
        name: int(db.execute(INSPECTION[f"orphan_{name}"]).fetchone()[0])
        for name in ("tags", "errors", "edges")
    }
    left = {name: count for name, count in found.items() if count}
    if left:
        rows = ", ".join(f"{count:,} {name}" for name, count in left.items())
        yield problem(
            "orphans",
            f"there are rows of tasks that do not exist: {rows}",
            "something else than taskmill has deleted tasks; delete these rows as well, and turn "
            "PRAGMA foreign_keys on wherever else this file is written",
        )
    else:
        yield fine("orphans", "every tag, error and dependency belongs to a task")


def _running(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    count = int(db.execute(INSPECTION["running"]).fetchone()[0])
    tasks = plural(count, "task")
    if count and not holding.is_held:
        yield warning(
            "running",
            f"{tasks} on record as running, though nobody dispatches",
            "the process was killed; the next scheduler that opens the file takes them up again",
        )
    else:
        yield fine("running", f"{tasks} on record as running")


def _stuck(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    blocked = [str(task) for (task,) in db.execute(INSPECTION["stuck_blocked"])]
    waiting = [str(task) for (task,) in db.execute(INSPECTION["stuck_waiting"])]
    if blocked:
        yield problem(
            "stuck",
            f"blocked by nothing that could end: {', '.join(blocked)}",
            f"`taskmill retry {blocked[0]}` runs one anyway, `taskmill cancel` ends it",
        )
    if waiting and holding.is_held:
        yield problem(
            "stuck",
            f"waiting for children, of which none is left: {', '.join(waiting)}",
            f"restart the dispatcher, which wakes them, or end one with `taskmill cancel "
            f"{waiting[0]}`",
        )
    elif waiting:
        yield warning(
            "stuck",
            f"waiting for children, of which none is left: {', '.join(waiting)}",
            "the next scheduler that opens the file wakes them",
        )
    if not blocked and not waiting:
        yield fine("stuck", "whatever is blocked or waits has something to wait for")


def _inbox(holding: Holding, db: sqlite3.Connection) -> Iterator[Finding]:
    count = int(db.execute(INSPECTION["inbox"]).fetchone()[0])
    text = f"{plural(count, 'request')} of other processes unanswered"
    if count and not holding.is_held:
        yield warning(
            "inbox", text, "nobody dispatches; the next scheduler that opens the file answers them"
        )
    elif count > MANY_REQUESTS:
        yield warning("inbox", text, "the dispatcher does not keep up, or is stopped (SIGSTOP)")
    else:
        yield fine("inbox", text)


_ROWS: dict[str, Callable[[Holding, sqlite3.Connection], Iterator[Finding]]] = {
    "tasks": _counts,
    "orphans": _orphans,
    "running": _running,
    "stuck": _stuck,
    "inbox": _inbox,
}
