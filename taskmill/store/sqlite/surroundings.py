"""How the files of a database stand on their disk: mode, owner, filesystem, space, log size."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from taskmill.store.sqlite.files import NETWORK_FILESYSTEMS, filesystem_of
from taskmill.store.sqlite.findings import Finding, fine, problem, warning
from taskmill.store.sqlite.store import WAL_LIMIT

LONG_LOG = 8 * WAL_LIMIT
"""A log that the dispatcher has not brought in for so many bytes is held by a reader."""
LITTLE_SPACE = 256 * 1024 * 1024
"""Free bytes below which the log, or a sort on disk, may soon not fit."""
NO_SPACE = 16 * 1024 * 1024
_SUFFIXES = ("", "-wal", "-shm", ".lock", ".sock", ".workers")


def examine_files(path: Path) -> Iterator[Finding]:
    """What is to be said of a database file without opening it as a database."""
    yield from _modes(path)
    yield _filesystem(path)
    yield _space(path)
    yield _log(path)


def _modes(path: Path) -> Iterator[Finding]:
    """Who may read the files, and whether one belongs to somebody else."""
    found = dict(_statuses(path))
    main = found[path.name]
    open_to_others = [name for name, status in found.items() if status.st_mode & 0o077]
    if open_to_others:
        yield warning(
            "permissions",
            f"others than the owner may open {_names(open_to_others)}",
            f"chmod 600 {_names(open_to_others)}, unless that is meant",
        )
    foreign = [name for name, status in found.items() if status.st_uid != main.st_uid]
    if foreign:
        yield problem(
            "permissions",
            f"{_names(foreign)} belong to another user than {path.name} does",
            "let one user run everything that opens the database, and chown these files",
        )
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        yield warning(
            "permissions",
            f"this user may not write to {path.name} or to its directory",
            "a scheduler has to run as a user who may",
        )
    if not open_to_others and not foreign:
        yield fine("permissions", "only the owner may open the files")


def _statuses(path: Path) -> Iterator[tuple[str, os.stat_result]]:
    for suffix in _SUFFIXES:
        file = path.with_name(path.name + suffix)
        try:
            status = file.stat()
        except OSError:
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield file.name, status


def _filesystem(path: Path) -> Finding:
    kind = filesystem_of(path.parent)
    if kind in NETWORK_FILESYSTEMS:
        return problem(
            "filesystem",
            f"it is on a network filesystem ({kind}), where SQLite's locks do not hold",
            "move it to a local disk",
        )
    if kind is None:
        return fine("filesystem", "this system does not say which filesystem it is on")
    return fine("filesystem", f"it is on a local filesystem ({kind})")


def _space(path: Path) -> Finding:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        return warning("disk", f"its free space is not known: {error.strerror}", "look at the disk")
    text = f"{megabytes(free)} are free"
    if free < NO_SPACE:
        return problem("disk", text, "free some space: tasks cannot be written for much longer")
    if free < max(LITTLE_SPACE, 2 * _size(path.with_name(f"{path.name}-wal"))):
        return warning("disk", text, "free some space before it runs out")
    return fine("disk", text)


def _log(path: Path) -> Finding:
    size = _size(path.with_name(f"{path.name}-wal"))
    if size > LONG_LOG:
        return warning(
            "log",
            f"the write-ahead log has grown to {megabytes(size)}",
            "find the program that keeps a read transaction open on this file, and end it; a log "
            "that no reader holds is brought in by the dispatcher, or by the next one that opens",
        )
    return fine("log", f"the write-ahead log has {megabytes(size)}")


def megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1_000_000:,.1f} MB"


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _names(names: list[str]) -> str:
    return " ".join(names)
