"""The SQL itself: every file is used, every plan has its index, and nonsense is refused."""

from __future__ import annotations

import ast
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Generator, Mapping
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

import taskmill.store.sqlite
from taskmill.model.changes import CancelTask, Claim, Pause, Resume, Submit
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.rules.settle import Returned, settle
from taskmill.store.base import Selection
from taskmill.store.sqlite import batch, opening
from taskmill.store.sqlite.connection import run_on
from taskmill.store.sqlite.rows import selection_values
from taskmill.store.sqlite.statements import MIGRATIONS, SQL

from .conformance import T0, new_task, raised

SOURCES = sorted(Path(taskmill.store.sqlite.__file__).parent.glob("*.py"))


@pytest.fixture
def db() -> Generator[sqlite3.Connection]:
    """An empty database of this version."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        opening.configure(db, durability="FULL")
        opening.migrate(db)
        yield db


# --- files and their use -------------------------------------------------------------------------


def test_every_statement_is_used_and_every_one_used_exists() -> None:
    used: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "SQL":
                used |= texts(node.slice)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("_one", "_if_changed"):
                used |= texts(node.args[1])
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "statement":
                used |= texts(node.value)
    assert used == SQL.keys()


def texts(tree: ast.AST) -> set[str]:
    """The texts that an expression can be."""
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_statement_is_one_statement_under_a_comment() -> None:
    folder = SOURCES[0].parent / "sql"
    assert {path.stem for path in folder.iterdir()} == SQL.keys()
    for path in folder.iterdir():
        assert path.read_text(encoding="utf-8").startswith("-- "), path
        assert len(list(opening.statements(SQL[path.stem] + ";"))) == 1, path


# --- plans ---------------------------------------------------------------------------------------

PLANS: dict[str, set[str]] = {
    "cancel_running": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "cancel_waiting": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "claim": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
    },
    "end_due_pauses": {"SCAN taskmill_pauses USING INDEX taskmill_held"},
    "errors": {"SEARCH taskmill_errors USING PRIMARY KEY (task=?)"},
    "find_follow_up": {"SEARCH taskmill_tasks USING INDEX taskmill_follow_up (identity=?)"},
    "find_standing": {"SEARCH taskmill_tasks USING INDEX taskmill_standing (identity=?)"},
    "forget_pauses": {
        "SCAN taskmill_pauses",
        "SEARCH taskmill_tasks USING INDEX taskmill_standing",
        "SEARCH taskmill_tasks USING INDEX taskmill_follow_up",
    },
    "get": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "has_meta": {"SCAN sqlite_schema"},
    "has_old_pauses": {"SCAN taskmill_pauses"},
    "insert": set(),
    "levels": {"SCAN taskmill_tasks USING INDEX taskmill_ready"},
    "next_due": {"SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)"},
    "pause": set(),
    "pauses": {"SCAN taskmill_pauses"},
    "promote": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>? AND due_at_ms<?)",
    },
    "read_meta": {"SEARCH taskmill_meta USING PRIMARY KEY (name=?)"},
    "record_error": set(),
    "recover_cancelled": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "recover_running": {"SCAN taskmill_tasks USING INDEX taskmill_running"},
    "refill": {
        (
            "SEARCH taskmill_tasks USING INDEX taskmill_ready (type=? AND group_name=? "
            "AND priority=? AND ready_at_ms>?)"
        ),
    },
    "release_follow_up": {
        "SEARCH taskmill_tasks USING INDEX taskmill_follow_up (identity=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "resume": {"SEARCH taskmill_pauses USING INDEX taskmill_held (scope=? AND name=?)"},
    "retries": {"SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)"},
    "settle": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "settle_cancelled": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "stopping": {"SCAN taskmill_tasks USING INDEX taskmill_running"},
    "trim_errors": {
        "SEARCH taskmill_errors USING PRIMARY KEY (task=? AND run<?)",
        "SEARCH taskmill_errors USING PRIMARY KEY (task=?)",
    },
    "upgrade": {"SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)"},
    "write_meta": set(),
}


def test_every_statement_has_a_plan_to_keep_to() -> None:
    assert SQL.keys() - PLANS.keys() == {"count"}, "a count may read all rows: it takes any filter"


@pytest.mark.parametrize("is_analysed", [False, True], ids=["as it is", "after ANALYZE"])
@pytest.mark.parametrize("name", PLANS)
def test_a_statement_finds_its_rows_by_an_index(
    db: sqlite3.Connection, name: str, is_analysed: bool
) -> None:
    populate(db)
    if is_analysed:
        db.execute("ANALYZE")
    found = plan(db, SQL[name])
    accesses = {
        step.replace("COVERING ", "") for step in found if step.startswith(("SCAN", "SEARCH"))
    }
    assert accesses == PLANS[name]
    is_sorted_here = name == "pauses"  # once for each opening, and not by the tasks
    assert is_sorted_here == any("TEMP B-TREE" in step for step in found), found


@pytest.mark.parametrize("is_analysed", [False, True], ids=["as it is", "after ANALYZE"])
@pytest.mark.parametrize("status", [TaskStatus.PAUSED, TaskStatus.PENDING])
def test_a_count_costs_as_much_under_a_hundred_pauses_as_under_one(
    db: sqlite3.Connection, status: TaskStatus, is_analysed: bool
) -> None:
    populate(db)
    values = selection_values(Selection(statuses=frozenset({status})))
    costs: list[int] = []
    for names in (["g0"], [f"none {n}" for n in range(100)]):
        batch.apply(db, [Pause(scope=PauseScope.GROUP, name=name, now_ms=T0) for name in names])
        if is_analysed:
            db.execute("ANALYZE")
        costs.append(instructions(db, SQL["count"], values))
    assert costs[1] < 2 * costs[0]


def instructions(db: sqlite3.Connection, statement: str, values: Mapping[str, object]) -> int:
    """How many of its own instructions SQLite needs for ``statement``, to the next hundred."""
    hundreds = 0

    def count() -> None:
        nonlocal hundreds
        hundreds += 1

    db.set_progress_handler(count, 100)
    db.execute(statement, values).fetchall()
    db.set_progress_handler(None, 0)
    return 100 * hundreds


@pytest.mark.parametrize("scope", PauseScope)
def test_a_pause_and_its_resume_write_one_row_however_many_tasks_wait(
    db: sqlite3.Connection, scope: PauseScope
) -> None:
    populate(db)
    name = {PauseScope.SCHEDULER: "", PauseScope.DOMAIN: "work", PauseScope.GROUP: "g1"}[scope]
    for change in (
        Pause(scope=scope, name=name, now_ms=T0),
        Pause(scope=scope, name=name, now_ms=T0, until_ms=T0 + 1),
        Resume(scope=scope, name=name, now_ms=T0),
    ):
        before = db.total_changes
        batch.apply(db, [change])
        assert db.total_changes == before + 1


def plan(db: sqlite3.Connection, statement: str) -> list[str]:
    """The steps by which SQLite carries out ``statement``; some versions word a range otherwise."""
    values: defaultdict[str, None] | list[None] = (
        [None] * statement.count("?") if "?" in statement else defaultdict(lambda: None)
    )
    rows = db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    return [row[3].replace("(ready_at_ms,id)>(?,?)", "ready_at_ms>?") for row in rows]


def populate(db: sqlite3.Connection) -> None:
    """A thousand tasks in many states."""
    batch.apply(
        db,
        [
            Submit(
                tuple(
                    new_task(f"{n}", group=f"g{n % 7}" if n % 3 else None, priority=n % 5)
                    for n in range(900)
                )
            ),
            Submit(tuple(new_task(f"late {n}", due_at_ms=T0 + n + 1) for n in range(100))),
        ],
    )
    for n in range(1, 201):
        task = TaskId(n)
        batch.apply(db, [Claim(task, T0), Submit((new_task(f"{n - 1}"),))])
        record = batch.find(db, task)
        assert record is not None
        result = raised(1, delay_ms=5) if n % 2 else Returned("1")
        if n % 4:
            batch.apply(db, [settle(record, result, now_ms=T0)])
        else:
            batch.apply(db, [CancelTask(id=task, domain=None, reason=None, now_ms=T0)])


# --- migrations ----------------------------------------------------------------------------------


def schema(db: sqlite3.Connection) -> list[tuple[object, ...]]:
    return db.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    ).fetchall()


@pytest.mark.parametrize("version", range(len(MIGRATIONS) + 1))
def test_a_file_of_any_version_becomes_as_a_new_one(db: sqlite3.Connection, version: int) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as old:
        for script in MIGRATIONS[:version]:
            old.executescript(script)
        if version:
            opening.write_meta(old, "version", str(version))
        opening.migrate(old)
        assert schema(old) == schema(db)
        assert opening.read_meta(old, "version") == str(len(MIGRATIONS))


def test_a_migration_that_fails_changes_nothing(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = schema(db)
    broken = "CREATE TABLE taskmill_new (x TEXT);\nCREATE TABLE taskmill_tasks (x TEXT);\n"
    monkeypatch.setattr(opening, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        opening.migrate(db)
    assert schema(db) == before
    assert opening.read_meta(db, "version") == str(len(MIGRATIONS))


def test_every_table_is_strict(db: sqlite3.Connection) -> None:
    tables = db.execute("PRAGMA table_list").fetchall()
    ours = {row[1]: row[5] for row in tables if row[1].startswith("taskmill_")}
    names = ("taskmill_meta", "taskmill_tasks", "taskmill_errors", "taskmill_pauses")
    assert ours == dict.fromkeys(names, 1)


# --- what the database refuses -------------------------------------------------------------------

ROW: dict[str, object] = {
    "type": "work::job",
    "domain": "work",
    "payload": "{}",
    "identity": b"0123456789abcdef",
    "status": "pending",
    "priority": 100,
    "created_at_ms": T0,
    "ready_at_ms": T0,
}
RAN: dict[str, object] = {"run": 1, "attempt": 1, "started_at_ms": T0}
STORED = sorted(set(TaskStatus) - {TaskStatus.PAUSED})
REASONED = TERMINAL - {TaskStatus.COMPLETED}


def sensible(status: TaskStatus) -> dict[str, object]:
    """A row that makes sense in ``status``."""
    row = {**ROW, **RAN, "status": status.value}
    if status in TERMINAL:
        row["finished_at_ms"] = T0
    if status in REASONED:
        row["reason"] = "why"
    return row


def insert(db: sqlite3.Connection, row: dict[str, object]) -> None:
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    db.execute(f"INSERT INTO taskmill_tasks ({names}) VALUES ({marks})", [*row.values()])  # noqa: S608 - names from this file


@pytest.mark.parametrize("status", STORED)
def test_every_stored_status_has_a_row_that_makes_sense(
    db: sqlite3.Connection, status: TaskStatus
) -> None:
    insert(db, sensible(status))


NONSENSE: list[tuple[TaskStatus, Mapping[str, object]]] = [
    *((status, {"finished_at_ms": T0}) for status in STORED if status not in TERMINAL),
    *((status, {"finished_at_ms": None}) for status in STORED if status in TERMINAL),
    *((status, {"due_at_ms": T0}) for status in STORED if status is not TaskStatus.PENDING),
    *((status, {"result": "1"}) for status in STORED if status is not TaskStatus.COMPLETED),
    *((status, {"reason": "why"}) for status in STORED if status not in REASONED),
    *((status, {"reason": None}) for status in REASONED),
    *(
        (status, {"stop_cause": "cancelled"})
        for status in STORED
        if status not in (TaskStatus.RUNNING, TaskStatus.WAITING, TaskStatus.CANCELLED)
    ),
    *(
        (status, {"is_follow_up": 1})
        for status in STORED
        if status
        not in (TaskStatus.BLOCKED, TaskStatus.CANCELLED, TaskStatus.SUPERSEDED, TaskStatus.EXPIRED)
    ),
    (TaskStatus.RUNNING, {"started_at_ms": None}),
    (TaskStatus.RUNNING, {"run": 0, "attempt": 0}),
    *(
        (TaskStatus.PENDING, change)
        for change in (
            {"status": "paused"},
            {"status": "Pending"},
            {"status": None},
            {"identity": b"short"},
            {"identity": None},
            {"is_follow_up": 2},
            {"group_name": ""},
            {"priority": -1},
            {"priority": 256},
            {"priority": "high"},
            {"attempt": -1},
            {"attempt": 2},
            {"max_retries": -1},
            {"preemptions": -1},
            {"preemptions": 2},
            {"preemptions": None},
            {"parent": 1_000_000},
            {"payload": b"{}"},
            {"payload": None},
            {"type": None},
            {"domain": None},
            {"created_at_ms": None},
            {"ready_at_ms": 1.5},
        )
    ),
    (TaskStatus.RUNNING, {"stop_cause": "timeout"}),
]


@pytest.mark.parametrize(
    ("status", "change"), NONSENSE, ids=[f"{status}-{change}" for status, change in NONSENSE]
)
def test_a_row_that_makes_no_sense_is_refused(
    db: sqlite3.Connection, status: TaskStatus, change: Mapping[str, object]
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, {**sensible(status), **change})


@pytest.mark.parametrize("status", ["pending", "blocked", "running", "waiting"])
def test_one_active_task_stands_for_an_identity(db: sqlite3.Connection, status: str) -> None:
    insert(db, sensible(TaskStatus(status)))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(db, ROW)
    follow_up = {**sensible(TaskStatus.BLOCKED), "is_follow_up": 1}
    insert(db, follow_up)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(db, follow_up)


def test_ended_tasks_do_not_hold_their_identity(db: sqlite3.Connection) -> None:
    for status in TERMINAL:
        insert(db, sensible(status))
    insert(db, ROW)


HELD: dict[str, object] = {"scope": "group", "name": "g", "since_ms": T0}


def insert_pause(db: sqlite3.Connection, row: Mapping[str, object]) -> None:
    values = {"until_ms": None, "ended_ms": None, **row}
    db.execute(
        "INSERT INTO taskmill_pauses VALUES (:scope, :name, :since_ms, :until_ms, :ended_ms)",
        values,
    )


@pytest.mark.parametrize(
    "change",
    [
        {"scope": "type"},
        {"scope": "Group"},
        {"scope": None},
        {"name": ""},
        {"name": None},
        {"scope": "domain", "name": ""},
        {"scope": "scheduler"},
        {"since_ms": None},
        {"since_ms": 1.5},
        {"until_ms": "soon"},
        {"ended_ms": T0 - 1},
    ],
    ids=str,
)
def test_a_pause_that_makes_no_sense_is_refused(
    db: sqlite3.Connection, change: Mapping[str, object]
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert_pause(db, {**HELD, **change})


def test_a_scope_is_held_once_and_was_held_any_number_of_times(db: sqlite3.Connection) -> None:
    for row in (HELD, {**HELD, "name": "h"}, {**HELD, "scope": "domain"}):
        insert_pause(db, row)
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            insert_pause(db, {**row, "since_ms": T0 + 1})
        for _ in range(2):
            insert_pause(db, {**row, "ended_ms": T0})


def test_errors_go_with_their_task_and_ids_are_not_used_again(db: sqlite3.Connection) -> None:
    insert(db, sensible(TaskStatus.FAILED))
    [last] = db.execute("SELECT id FROM taskmill_tasks").fetchone()
    error = "INSERT INTO taskmill_errors VALUES (?, 1, 0, 'OSError', 'broken', '')"
    db.execute(error, (last,))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        db.execute(error, (last,))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        db.execute(error, (last + 1,))
    db.execute("DELETE FROM taskmill_tasks")
    assert db.execute("SELECT count(*) FROM taskmill_errors").fetchone() == (0,)
    insert(db, ROW)
    assert db.execute("SELECT id FROM taskmill_tasks").fetchone() == (last + 1,)


# --- the port ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_function_runs_on_the_connections_own_thread() -> None:
    """Pins ``_execute`` and ``_conn``, the private parts of aiosqlite that `run_on` stands on."""

    def fail(_: sqlite3.Connection) -> None:
        raise LookupError("of ours")

    def thread_of(db: sqlite3.Connection) -> int:
        assert db.execute("SELECT 1").fetchone() == (1,)
        return threading.get_ident()

    async with aiosqlite.connect(":memory:") as connection:
        threads = {await run_on(connection, thread_of) for _ in range(3)}
        assert len(threads) == 1
        assert threads != {threading.get_ident()}
        assert await run_on(connection, type) is sqlite3.Connection
        with pytest.raises(LookupError, match="of ours"):
            await run_on(connection, fail)
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            await run_on(connection, lambda db: db.execute("SELECT * FROM missing"))
        assert await run_on(connection, thread_of) in threads
