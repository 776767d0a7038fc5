"""A database for exploring: in memory, worked in the event loop, with faults, telling every move.

It outlives the stores that open it, as a file outlives processes. Its tables are looked at by SQL
of its own, so that what is checked by them does not stand on the code under test.
"""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import anyio

from taskmill.model.changes import Change, Settlement
from taskmill.model.effects import Effect
from taskmill.model.errors import StoreError
from taskmill.store.sqlite import batch, opening
from taskmill.store.sqlite.connection import Port, store_error
from taskmill.store.sqlite.store import SqliteStore

T = TypeVar("T")


class Trouble(enum.Enum):
    """What a statement meets instead of being carried out."""

    FULL = "the disk is full"
    FAILING = "the disk cannot be written"
    BUSY = "another process writes"
    REFUSED = "the database refuses the statement"
    CRASH = "the process dies"


class Move(NamedTuple):
    """One change of one row, as a trigger saw it; ``was`` is None where it was inserted."""

    id: int
    was: str | None
    now: str | None
    """None where it was deleted."""
    run_was: int | None
    run: int | None
    stage_was: int | None
    stage: int | None


class Row(NamedTuple):
    """What is looked at of a task's row."""

    id: int
    type: str
    domain: str
    group: str | None
    payload: str
    identity: bytes
    is_follow_up: int
    key: str | None
    status: str
    priority: int
    attempt: int
    run: int
    stage: int
    parent: int | None
    due_at_ms: int | None
    ready_at_ms: int
    expires_at_ms: int | None
    finished_at_ms: int | None
    stop_cause: str | None
    on_dependency_failure: str | None
    interruptions: int
    max_interruptions: int
    schedule: str | None
    scheduled_for_ms: int | None


class Commit(NamedTuple):
    """What one transaction changed."""

    moves: list[Move]
    rows: list[Row]
    """The rows that were touched, as they are now."""
    pauses: frozenset[tuple[str, str]]
    """The scopes and names that are paused."""
    ties: list[tuple[int, int]]
    """Of the rows that were touched: who depends on whom."""


class Surroundings(Protocol):
    """What the work on a database happens in."""

    async def before(self) -> None:
        """A call is on its way to the database."""
        ...

    async def after(self) -> None:
        """What it did is on its way back."""
        ...

    def applying(self, changes: Sequence[Change]) -> None:
        """A batch was cut and is handed over."""
        ...

    def committed(self, commit: Commit) -> None:
        """A transaction has committed that changed tasks."""
        ...

    def died(self) -> None:
        """The process dies here: nothing further of it runs."""
        ...


class Crash(BaseException):
    """The process is gone."""


_ERRORS = {
    Trouble.FULL: (sqlite3.SQLITE_FULL, "database or disk is full"),
    Trouble.FAILING: (sqlite3.SQLITE_IOERR, "disk I/O error"),
    Trouble.BUSY: (sqlite3.SQLITE_BUSY, "database is locked"),
    Trouble.REFUSED: (sqlite3.SQLITE_CONSTRAINT, "CHECK constraint failed"),
}

_JOURNAL = """
CREATE TEMP TABLE moves (
    number INTEGER PRIMARY KEY, id INTEGER, was TEXT, now TEXT, run_was INTEGER, run INTEGER,
    stage_was INTEGER, stage INTEGER
);
CREATE TEMP TRIGGER inserted AFTER INSERT ON main.taskmill_tasks BEGIN
    INSERT INTO moves VALUES (NULL, new.id, NULL, new.status, NULL, new.run, NULL, new.stage);
END;
CREATE TEMP TRIGGER updated AFTER UPDATE ON main.taskmill_tasks BEGIN
    INSERT INTO moves VALUES
        (NULL, new.id, old.status, new.status, old.run, new.run, old.stage, new.stage);
END;
CREATE TEMP TRIGGER deleted AFTER DELETE ON main.taskmill_tasks BEGIN
    INSERT INTO moves VALUES (NULL, old.id, old.status, NULL, old.run, NULL, old.stage, NULL);
END;
"""

_TOUCHED = """
SELECT id, type, domain, group_name, payload, identity, is_follow_up, key, status, priority,
    attempt, run, stage, parent, due_at_ms, ready_at_ms, expires_at_ms, finished_at_ms, stop_cause,
    on_dependency_failure, interruptions, max_interruptions, schedule, scheduled_for_ms
FROM main.taskmill_tasks WHERE id IN (SELECT id FROM moves)
"""
_TIES = """
SELECT task, waits_for FROM main.taskmill_edges
WHERE tie = 0 AND task IN (SELECT id FROM moves)
"""


class Disk:
    """The database, and what is wrong with it."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self._db = sqlite3.connect(":memory:", isolation_level=None, factory=_Connection)
        self._db.disk = self
        self._countdown: int | None = None
        self._next: Trouble | None = None
        self.lasting: Trouble | None = None
        """FULL: nothing can be committed. FAILING: no statement is carried out. BUSY: no
        transaction begins. For as long as it is set."""
        self._has_journal = False
        self._is_writing = False

    def store(self) -> InlineStore:
        """The store of one process that opens it."""
        return InlineStore(self)

    def meet(self, trouble: Trouble, *, statements: int) -> None:
        """Have the ``statements``-th statement from now on, counted from 1, meet ``trouble``."""
        self._countdown, self._next = statements, trouble

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self._countdown = self._next = self.lasting = None

    def recover(self) -> None:
        """The process died: what it had not committed is gone."""
        self.heal()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    @property
    def is_in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._db.in_transaction

    def ties(self) -> list[tuple[int, int]]:
        """Who still waits for whom: dependents, and parents for what they joined."""
        unmet = "SELECT task, waits_for FROM main.taskmill_edges WHERE is_met = 0"
        return [(task, on) for task, on in self._db.look(unmet)]

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    async def work(self, name: str, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `Port.run` does, in the event loop."""
        await self.surroundings.before()
        try:
            made = work(self._db)
        except Crash:
            self.surroundings.died()
            await anyio.sleep_forever()
            raise
        except sqlite3.Error as error:
            raise store_error(name, error) from error
        except (OverflowError, UnicodeError) as error:
            raise StoreError(f"{name}: no value that SQLite can hold: {error}") from error
        finally:
            self._tell()
        await self.surroundings.after()
        return made

    def settle_late(self, settlement: Settlement) -> str:
        """Write what a process that is gone had to say of a run, past all that runs now."""
        trouble = self._countdown, self._next, self.lasting
        self.heal()
        try:
            batch.apply(self._db, [settlement])
        finally:
            self._countdown, self._next, self.lasting = trouble
            self._tell()
        return "delivered"

    def statement(self, sql: str) -> None:
        """A statement is about to be carried out; raises what it meets instead."""
        if sql.startswith("BEGIN"):
            self._is_writing = "IMMEDIATE" in sql
        if sql.startswith(("ROLLBACK", "PRAGMA")) or not self._is_writing:
            return
        if self.lasting is not None and _concerns(self.lasting, sql):
            raise _error(self.lasting)
        if self._countdown is None or self._next is None or not _concerns(self._next, sql):
            return
        self._countdown -= 1
        if self._countdown <= 0:
            trouble, self._next, self._countdown = self._next, None, None
            if trouble is Trouble.CRASH:
                raise Crash
            raise _error(trouble)

    def _tell(self) -> None:
        if self._db.in_transaction:
            return
        if not self._has_journal:
            self._begin_journal()
            return
        moves = [Move(*row[1:]) for row in self._db.look("SELECT * FROM moves ORDER BY number")]
        paused = "SELECT scope, name FROM main.taskmill_pauses WHERE ended_ms IS NULL"
        pauses = frozenset(cast("Iterator[tuple[str, str]]", self._db.look(paused)))
        if moves:
            rows = [Row(*row) for row in self._db.look(_TOUCHED)]
            ties = [(task, on) for task, on in self._db.look(_TIES)]
            self._db.look("DELETE FROM moves")
        else:
            rows, ties = [], []
        self.surroundings.committed(Commit(moves, rows, pauses, ties))

    def _begin_journal(self) -> None:
        there = "SELECT 1 FROM main.sqlite_schema WHERE name = 'taskmill_pauses'"
        if [*self._db.look(there)]:
            for statement in opening.statements(_JOURNAL):
                self._db.look(statement)
            self._has_journal = True


class InlineStore(SqliteStore):
    """A SQLite store on a `Disk`: its work is done in the event loop, in no thread."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(":memory:")
        self._disk = disk

    async def _connect(self) -> Port:
        return _InlinePort(self._disk)

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        """Apply ``changes`` in order, in one transaction."""
        self._disk.surroundings.applying(changes)
        return await super().apply(changes)


class _InlinePort(Port):
    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._disk.work(":memory:", work)

    async def interrupt(self) -> None:
        """Nothing runs beside the caller."""

    async def close(self) -> None:
        """The database stays."""


class _Connection(sqlite3.Connection):
    disk: Disk

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.disk.statement(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        self.disk.statement(sql)
        return super().executemany(sql, parameters)

    def look(self, sql: str) -> sqlite3.Cursor:
        """Carry a statement out whatever is wrong."""
        return super().execute(sql)


_BOUNDS = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE")


def _concerns(trouble: Trouble, sql: str) -> bool:
    match trouble:
        case Trouble.FULL:
            return sql.startswith("COMMIT")
        case Trouble.BUSY:
            return sql.startswith("BEGIN")
        case Trouble.REFUSED:
            return not sql.startswith(_BOUNDS)
        case _:
            return True


def _error(trouble: Trouble) -> sqlite3.Error:
    code, message = _ERRORS[trouble]
    kind = sqlite3.IntegrityError if trouble is Trouble.REFUSED else sqlite3.OperationalError
    error = kind(message)
    error.sqlite_errorcode = code
    return error
