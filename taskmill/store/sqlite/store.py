"""The SQLite store: a writing connection, a reading one, and the lock on the file."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from time import sleep
from typing import Literal, TypeVar

import anyio

from taskmill.model.changes import Change, NewTask, Request, Timetable
from taskmill.model.effects import (
    Answer,
    Asked,
    Backlog,
    Effect,
    Ends,
    Holder,
    LevelCount,
    Opening,
    Placed,
    Refused,
)
from taskmill.model.errors import ConfigurationError, InvalidState, StoreError, StoreInUse
from taskmill.model.pauses import PauseRecord
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.showing import shown
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.store.sqlite import batch, enlisting, inbox, opening, reading, timetables, visiting
from taskmill.store.sqlite.carrying import find
from taskmill.store.sqlite.connection import BUSY_SECONDS, Port
from taskmill.store.sqlite.files import FileLock, identity_of, lock_of, prepare, stamp_of
from taskmill.store.sqlite.rows import record_of
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.use import describe_settling, describe_use

T = TypeVar("T")

Durability = Literal["power", "process"]
_SYNCHRONOUS = {"power": "FULL", "process": "NORMAL"}

_TRIES = 100
_PAUSE = 0.05
"""How often, and in which steps of seconds, a file is looked at that is being migrated."""

WAL_LIMIT = 8 * 1024 * 1024
"""The size in bytes at which the write-ahead log is first brought into the database."""


class SqliteStore:
    """Tasks in a SQLite file, or in memory with ``":memory:"``.

    ``durability="power"`` keeps what was accepted through a power cut; ``"process"`` is faster
    and keeps it through a killed process, but may lose the last moments before a power cut.
    """

    def __init__(self, path: str | os.PathLike[str], *, durability: Durability = "power") -> None:
        if durability not in _SYNCHRONOUS:
            raise ConfigurationError(f"durability is 'power' or 'process', not {durability!r}")
        self._path = _checked(path)
        self._name = ":memory:" if self._path is None else str(self._path)
        self._synchronous = _SYNCHRONOUS[durability]
        self._lock: FileLock | None = None
        self._writer: Port | None = None
        self._reader: Port | None = None
        self._wal_limit = WAL_LIMIT
        self._epoch = 0
        self._identity: tuple[int, int] | None = None

    def __repr__(self) -> str:
        return f"SqliteStore({self._name!r})"

    async def open(self, *, now: datetime) -> Opening:
        """Become the one dispatcher of this database, after recovery in one transaction."""
        if self._writer is not None:
            raise InvalidState(f"{self!r} is open already")
        try:
            if self._path is not None:
                prepare(self._path)
                await self._take_lock(self._path)
            self._wal_limit = WAL_LIMIT
            self._writer = self._reader = await self._connect()
            await self._writer.run(partial(opening.configure, durability=self._synchronous))
            await self._writer.run(opening.migrate)
            holder: dict[str, object] = {
                "pid": os.getpid(),
                "host": platform.node(),
                "since": now.isoformat(timespec="seconds"),
            }
            found = await self._writer.run(
                partial(opening.take_over, now_ms=to_ms(now), holder=holder)
            )
            if self._path is not None:
                self._reader = await Port.open(self._name, self._name)
                await self._reader.run(opening.configure_reader)
                self._identity = identity_of(self._path)
            self._epoch = found.epoch
        except BaseException:
            await self.close()
            raise
        return found

    async def _connect(self) -> Port:
        return await Port.open(self._name, self._name)

    async def visit(self) -> None:
        """Open without becoming the dispatcher: for `request`, and for what reads."""
        if self._writer is not None:
            raise InvalidState(f"{self!r} is open already")
        if self._path is None:
            raise ConfigurationError(
                "a database in memory is its own process's alone; without dispatching, open the "
                "file that another process dispatches from"
            )
        try:
            prepare(self._path)
            self._writer = await Port.open(self._name, self._name)
            await self._writer.run(partial(opening.configure, durability=self._synchronous))
            await self._bring_up_to_date(self._path, self._writer)
            self._reader = await Port.open(self._name, self._name)
            await self._reader.run(opening.configure_reader)
            self._identity = identity_of(self._path)
        except BaseException:
            await self.close()
            raise

    async def request(self, changes: Sequence[Request], *, now: datetime) -> Asked:
        """Make the submits whose work nobody does yet, and ask for the rest."""
        self._check_file()
        return await _open(self._writer).run(
            partial(visiting.request, changes=changes, now_ms=to_ms(now))
        )

    async def answer(self, request: int) -> Answer | None:
        """What came of a request, once; None while nothing has."""
        found = await _open(self._reader).run(partial(inbox.find_answer, number=request))
        if found is not None:
            with suppress(StoreError):  # then it is forgotten with time
                await _open(self._writer).run(partial(inbox.forget_answer, number=request))
        return found

    async def stand_in(self, *, now: datetime) -> bool:
        """Answer what was asked for where nobody dispatches; False where somebody does."""
        writer = _open(self._writer)
        lock = None if self._path is None else lock_of(self._path)
        if lock is None or not lock.borrow():
            return False
        try:
            with anyio.CancelScope(shield=True):
                await writer.run(partial(visiting.settle, now_ms=to_ms(now)))
        finally:
            lock.release()
        return True

    async def holder(self) -> Holder | None:
        """Who dispatches now; None where nobody does."""
        if self._path is None or lock_of(self._path).is_free():
            return None
        return await _open(self._reader).run(opening.holder_of)

    async def pauses(self) -> tuple[PauseRecord, ...]:
        """What is paused, and the closed pauses that tasks have waited through."""
        return await _open(self._reader).run(opening.pauses)

    async def levels(self) -> tuple[LevelCount, ...]:
        """How many ready tasks each level of each lane holds."""
        return await _open(self._reader).run(opening.levels)

    async def close(self) -> None:
        """Bring the log into the file, close the connections and let go of the lock."""
        with anyio.CancelScope(shield=True):
            await self._close()

    async def _close(self) -> None:
        writer, reader = self._writer, self._reader
        self._writer = self._reader = None
        if reader is not None and reader is not writer:
            await reader.close()
        if writer is not None:
            try:
                if self._lock is not None:
                    await writer.run(_checkpoint)
            except StoreError:
                pass  # a log that cannot be brought in now is read at the next opening
            finally:
                await writer.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        """Apply ``changes`` in order, in one transaction."""
        return await _open(self._writer).run(partial(self._apply, changes))

    async def submit_on(
        self, connection: object, tasks: Sequence[NewTask]
    ) -> tuple[Placed, ...] | Refused:
        """Submit in the open transaction of a sqlite3 or aiosqlite connection to this file."""
        _open(self._writer)
        return await enlisting.submit_on(connection, self._path, tasks)

    def is_in_transaction(self, connection: object) -> bool:
        """Whether a connection that was submitted on still has its transaction open."""
        return enlisting.is_in_transaction(connection)

    def home(self) -> Path | None:
        """The database file; None for one in memory."""
        return self._path

    def stamp(self) -> tuple[int, int] | None:
        """When the log was written last, if that is so long ago that it would be another now."""
        return None if self._path is None else stamp_of(Path(f"{self._path}-wal"))

    async def version(self) -> int:
        """A number that changes when another connection has committed."""
        return await _open(self._writer).run(
            lambda db: int(db.execute("PRAGMA data_version").fetchone()[0])
        )

    async def get(self, task: TaskId) -> TaskRecord | None:
        """The task with this id, as last committed."""
        return await self._read(lambda db: find(db, task))

    async def tasks(
        self, selection: Selection, *, limit: int, after: TaskId | None = None
    ) -> list[TaskRecord]:
        """The first tasks that ``selection`` names, by id, from behind ``after`` on."""
        return await self._read(
            partial(reading.tasks, selection=selection, limit=limit, after=after)
        )

    async def ended(
        self, selection: Selection, *, limit: int, after: tuple[int, TaskId] | None = None
    ) -> list[TaskRecord]:
        """The last tasks to end of those that ``selection`` names, before ``after``."""
        return await self._read(
            partial(reading.ended, selection=selection, limit=limit, after=after)
        )

    async def ids(self, selection: Selection) -> list[TaskId]:
        """The ids of all tasks that ``selection`` names, in order."""
        return await self._read(lambda db: reading.ids(db, selection))

    async def ends(self, task_type: str, *, recent: int) -> Ends:
        """How the tasks of a type have ended that are kept."""
        return await self._read(partial(reading.ends, task_type=task_type, recent=recent))

    async def backlog(self) -> list[Backlog]:
        """How many active tasks wait for a time, for another task, or for their children."""
        return await self._read(
            lambda db: [
                Backlog(domain, group, TaskStatus(status), count)
                for domain, group, status, count in db.execute(SQL["backlog"])
            ]
        )

    async def children(self, task: TaskId) -> list[TaskRecord]:
        """The children of a task, and what it joined, by id, as last committed."""
        return await _open(self._reader).run(
            lambda db: [record_of(row) for row in db.execute(SQL["family"], {"id": task})]
        )

    async def timetables(self, domain: str | None) -> list[Timetable]:
        """The schedules of a domain, or of all, by name."""
        return await _open(self._reader).run(
            lambda db: list(timetables.find(db, SQL["timetables"], (domain,)))
        )

    async def waits_for(self, task: TaskId, *, limit: int) -> list[TaskRecord]:
        """What has to end before a blocked or waiting task can go on, by id."""
        values = {"id": task, "limit": limit}
        return await _open(self._reader).run(
            lambda db: [record_of(row) for row in db.execute(SQL["waits_for"], values)]
        )

    async def count(self, selection: Selection) -> int:
        """How many tasks ``selection`` names."""
        return await self._read(lambda db: reading.count(db, selection))

    async def count_by_tag(self, selection: Selection, key: str) -> dict[str, int]:
        """How many tasks that ``selection`` names have each value of a tag."""
        return await self._read(lambda db: reading.count_by_tag(db, selection, key))

    async def tag_keys(self, domain: str | None, prefix: str) -> list[str]:
        """The tag keys with this prefix that active tasks have."""
        return await self._read(lambda db: reading.tag_keys(db, domain, prefix))

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Read as of one commit."""
        return await _open(self._reader).run(lambda db: reading.in_one_view(db, read))

    def _apply(
        self, changes: Sequence[Change], db: sqlite3.Connection
    ) -> list[Effect | StoreError]:
        if self._path is None:
            return batch.apply(db, changes)
        self._check_file()
        self._keep_log_short(db, self._path)
        return batch.apply(db, changes, check=partial(opening.check_epoch, epoch=self._epoch))

    def _check_file(self) -> None:
        """What is written to a file without a name is lost when the last process closes it."""
        if self._path is not None and identity_of(self._path) != self._identity:
            raise StoreError(
                f"{self._path} was removed or replaced while it was open, and what is written "
                "now would be lost: put it back, or open the scheduler again"
            )

    def _keep_log_short(self, db: sqlite3.Connection, path: Path) -> None:
        """Bring the log in when it has grown; a reader in the way postpones it."""
        try:
            size = os.stat(f"{path}-wal").st_size  # noqa: PTH116 - a Path costs more than the call
        except OSError:
            return
        if size > self._wal_limit:
            self._wal_limit = _bring_in(db, size)

    async def _take_lock(self, path: Path) -> None:
        lock = lock_of(path)
        if not await anyio.to_thread.run_sync(lock.acquire):
            raise StoreInUse(
                await describe_use(path) if lock.is_kept() else describe_settling(path)
            )
        self._lock = lock

    async def _bring_up_to_date(self, path: Path, writer: Port) -> None:
        """Migrate where nobody dispatches, or wait for the dispatcher that does it just now."""
        for _ in range(_TRIES):
            if await writer.run(opening.is_up_to_date):
                return
            lock = lock_of(path)
            if lock.borrow():
                try:
                    await writer.run(opening.migrate)
                finally:
                    lock.release()
            else:
                await anyio.to_thread.run_sync(sleep, _PAUSE)
        raise StoreError(
            f"{path} has an older schema, and a process with an older taskmill dispatches from "
            "it; upgrade that one first"
        )


def _checked(path: str | os.PathLike[str]) -> Path | None:
    """The file's place; None for a database in memory."""
    given: object = path
    with suppress(TypeError):
        given = os.fspath(path)
    if not isinstance(given, str) or not given or "\0" in given:
        raise ConfigurationError(
            f"the path of a database is a str or a Path such as 'app.db', not {shown(path, 200)}"
        )
    try:
        return None if given == ":memory:" else Path(given).resolve()
    except (OSError, RuntimeError) as error:
        raise ConfigurationError(f"the path {shown(given, 200)} leads nowhere: {error}") from error


def _open(port: Port | None) -> Port:
    if port is None:
        raise InvalidState("the store is not open; work inside `async with Scheduler(...)`")
    return port


def _bring_in(db: sqlite3.Connection, size: int) -> int:
    """Bring in a log of ``size`` bytes; return the size at which that is due again.

    The log then starts over in the file it has, which is a third faster to sync than one that
    grows. It is used up when the file grows after all; a file that did so often is cut.
    """
    if size >= 2 * WAL_LIMIT:
        return WAL_LIMIT if _checkpoint(db) else size + WAL_LIMIT
    return size if _has_brought_in(db, "PRAGMA wal_checkpoint(RESTART)") else size + WAL_LIMIT


def _checkpoint(db: sqlite3.Connection) -> bool:
    """Bring the whole log into the database and empty it; False where a reader is in the way."""
    return _has_brought_in(db, "PRAGMA wal_checkpoint(TRUNCATE)")


def _has_brought_in(db: sqlite3.Connection, checkpoint: str) -> bool:
    db.execute("PRAGMA busy_timeout = 0")
    try:
        busy = db.execute(checkpoint).fetchone()[0]
    finally:
        db.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    return not busy
