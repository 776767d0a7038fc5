"""What is known about files: the demo's own table, beside the task database; all its SQL is here.

A row outlives the run that wrote it, and with it the file's digest, as long as size and
modification time stay the same. Each run has an id of its own and marks what it sees with it: an
answer is made from the rows that bear the run's mark and from nothing else.
"""

from __future__ import annotations

import itertools
import sqlite3
import threading
from typing import TYPE_CHECKING, Self, final

import attrs

from taskmill.demo.paths import inside
from taskmill.demo.values import Counts, DuplicateGroup, Problem, SeenFile

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable
    from pathlib import Path

    from taskmill.demo.values import Listing, Run, Subtree

SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    run INTEGER NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns TEXT NOT NULL,  -- text, because a time after the year 2262 does not fit 64 bits
    inode TEXT NOT NULL,     -- device:number
    digest BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS listings (
    run INTEGER PRIMARY KEY,
    directories INTEGER NOT NULL,
    symlinks INTEGER NOT NULL,
    specials INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS problems (
    path BLOB PRIMARY KEY,
    run INTEGER NOT NULL,
    problem TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""
SEE_FILE = """
INSERT INTO files (run, path, size, mtime_ns, inode) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (path) DO UPDATE SET
    run = excluded.run, size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode,
    digest = CASE WHEN size = excluded.size AND mtime_ns = excluded.mtime_ns THEN digest END
"""
SEE_PROBLEM = "INSERT OR REPLACE INTO problems (run, path, problem) VALUES (?, ?, ?)"
FORGET_FILES = "DELETE FROM files WHERE path >= :first AND path < :after AND run <> :run"
FORGET_LISTINGS = "DELETE FROM listings"
SAVE_LISTING = """
INSERT INTO listings (run, directories, symlinks, specials)
VALUES (:run, :directories, :symlinks, :specials)
"""
FORGET_PROBLEMS = "DELETE FROM problems WHERE run <> :run"
HAS_DIGEST = """
SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime_ns = ? AND digest IS NOT NULL
"""
SAVE_DIGEST = "UPDATE files SET digest = ? WHERE path = ? AND size = ? AND mtime_ns = ?"
CANDIDATES = """
SELECT path, size, mtime_ns, inode FROM files
WHERE run = :run AND digest IS NULL AND size IN (
    SELECT size FROM files WHERE run = :run AND size > 0 GROUP BY size HAVING count(*) > 1)
ORDER BY path
"""
DUPLICATES = """
SELECT digest, size, path, inode FROM files
WHERE run = :run AND size > 0 AND digest IN (
    SELECT digest FROM files WHERE run = :run AND digest IS NOT NULL
    GROUP BY digest HAVING count(*) > 1)
ORDER BY digest, path
"""
PROBLEMS = "SELECT path, problem FROM problems WHERE run = :run ORDER BY path"
FILE_TOTALS = """
SELECT count(*), coalesce(sum(size), 0), count(*) - count(DISTINCT inode)
FROM files WHERE run = :run
"""
LISTING_TOTALS = "SELECT directories, symlinks, specials FROM listings WHERE run = :run"


@final
class Catalogue:
    """The table, behind one connection and a lock, so that every thread may use it.

    Each call is one transaction. A call that returned survives the death of the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection = _connect(path)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.executescript(SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def record_listing(self, run: Run, listing: Listing) -> None:
        """Mark what a directory holds as seen; a changed file loses its digest."""
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                SEE_FILE,
                (
                    (run.id, path, size, str(mtime_ns), inode)
                    for path, size, mtime_ns, inode in listing.files
                ),
            )
            connection.executemany(SEE_PROBLEM, ((run.id, *each) for each in listing.problems))

    def record_problem(self, run: Run, problem: Problem) -> None:
        """Note that a file could not be read."""
        with self._lock:
            self._connection.execute(SEE_PROBLEM, (run.id, *problem))

    def end_listing(self, run: Run, below: Subtree) -> None:
        """Note that the listing is whole: files below its root that it has not seen are dropped."""
        first = inside(run.root)
        bounds = {"run": run.id, "first": first, "after": first[:-1] + b"0"}  # "0" follows "/"
        with self._lock, self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(FORGET_FILES, bounds)
            connection.execute(FORGET_PROBLEMS, bounds)
            connection.execute(FORGET_LISTINGS)
            connection.execute(SAVE_LISTING, {**attrs.asdict(below), "run": run.id})

    def has_digest(self, path: bytes, size: int, mtime_ns: int) -> bool:
        """Whether the content of this version of the file is known."""
        with self._lock:
            row = self._connection.execute(HAS_DIGEST, (path, size, str(mtime_ns))).fetchone()
        return row is not None

    def save_digest(self, path: bytes, size: int, mtime_ns: int, digest: bytes) -> None:
        """Note the content of this version; nothing happens if another one was seen meanwhile."""
        with self._lock:
            self._connection.execute(SAVE_DIGEST, (digest, path, size, str(mtime_ns)))

    def candidates(self, run: Run, count: int) -> Generator[list[SeenFile]]:
        """Files whose content must be read because another has their size, ``count`` at a time."""
        reader = _connect(self._path)  # its own snapshot: digests are written while this goes on
        try:
            rows = reader.execute(CANDIDATES, {"run": run.id})
            while chunk := rows.fetchmany(count):
                yield [SeenFile(path, size, int(time), inode) for path, size, time, inode in chunk]
        finally:
            reader.close()

    def duplicates(self, run: Run) -> list[DuplicateGroup]:
        """The answer: biggest waste first, and in an order that is the same each time."""
        with self._lock:
            rows = self._connection.execute(DUPLICATES, {"run": run.id}).fetchall()
        groups = [_group(digest, rows) for digest, rows in itertools.groupby(rows, lambda r: r[0])]
        return sorted(groups, key=lambda group: (-group.wasted, -group.size, group.sha256))

    def problems(self, run: Run) -> list[Problem]:
        """What could not be read, by path."""
        with self._lock:
            rows = self._connection.execute(PROBLEMS, {"run": run.id}).fetchall()
        return [Problem(*row) for row in rows]

    def counts(self, run: Run) -> Counts:
        """How much the run has seen; call when its listing is whole."""
        with self._lock:
            files, size, hard_links = self._connection.execute(
                FILE_TOTALS, {"run": run.id}
            ).fetchone()
            directories, symlinks, specials = self._connection.execute(
                LISTING_TOTALS, {"run": run.id}
            ).fetchone()
        return Counts(
            files=files,
            bytes=size,
            hard_links=hard_links,
            directories=directories + 1,  # the root
            symlinks=symlinks,
            specials=specials,
        )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _group(digest: bytes, rows: Iterable[tuple[bytes, int, bytes, str]]) -> DuplicateGroup:
    members = list(rows)
    return DuplicateGroup(
        sha256=digest.hex(),
        size=members[0][1],
        paths=[path for _, _, path, _ in members],
        inodes=len({inode for _, _, _, inode in members}),
    )
