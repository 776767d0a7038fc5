"""The tables: every version of them becomes the newest, and what makes no sense is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing

import pytest

from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.store.sqlite import opening
from taskmill.store.sqlite.statements import MIGRATIONS, SQL

from .conformance import T0

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
    assert "taskmill_tasks" in ours
    assert set(ours.values()) == {1}


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


FOLLOWING = {
    TaskStatus.BLOCKED,
    TaskStatus.CANCELLED,
    TaskStatus.SUPERSEDED,
    TaskStatus.EXPIRED,
    TaskStatus.DEPENDENCY_FAILED,
}
"""Where a follow-up can be without having been released."""

STOPPED = {TaskStatus.RUNNING, TaskStatus.CANCELLED, TaskStatus.SUPERSEDED, TaskStatus.FAILED}

NONSENSE: list[tuple[TaskStatus, Mapping[str, object]]] = [
    *((status, {"finished_at_ms": T0}) for status in STORED if status not in TERMINAL),
    *((status, {"finished_at_ms": None}) for status in STORED if status in TERMINAL),
    *((status, {"due_at_ms": T0}) for status in STORED if status is not TaskStatus.PENDING),
    *((status, {"result": "1"}) for status in STORED if status is not TaskStatus.COMPLETED),
    *((status, {"reason": "why"}) for status in STORED if status not in REASONED),
    *((status, {"reason": None}) for status in sorted(REASONED)),
    *(
        (status, {"stop_cause": "cancelled"})
        for status in STORED
        if status is not TaskStatus.CANCELLED
    ),
    *(
        (status, {"stop_cause": status.value, "reason": "why"})
        for status in STORED
        if status not in STOPPED
    ),
    *((status, {"unique_until_ms": T0}) for status in STORED if status is not TaskStatus.COMPLETED),
    *((status, {"is_follow_up": 1}) for status in STORED if status not in FOLLOWING),
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
            {"is_replaced": 1},
            {"is_replaced": 2},
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
            {"stage": 2},
            {"stage": 3},
            {"stage": 2, "stop_cause": "cancelled", "reason": "why"},
            {"stage": 2, "stop_cause": "cancelled", "has_undo": 1},
            {"stage": 2, "reason": "why", "has_undo": 1},
            {"stage": 7},
            {"stage": None},
            {"stop_cause": "cancelled", "reason": "why"},
            {"has_undo": 2},
            {"fail_fast": 2},
            {"is_linked": 2},
            {"ttl_from_start": 2},
            {"interruptions": -1},
            {"max_interruptions": 0},
            {"on_dependency_failure": "cancel"},
            {"expires_at_ms": "soon"},
            {"payload": b"{}"},
            {"payload": None},
            {"type": None},
            {"domain": None},
            {"created_at_ms": None},
            {"ready_at_ms": 1.5},
        )
    ),
    (TaskStatus.RUNNING, {"stop_cause": "timeout", "reason": "why"}),
    (TaskStatus.RUNNING, {"stop_cause": "cancelled"}),
    (TaskStatus.FAILED, {"stop_cause": "superseded"}),
    (TaskStatus.SUPERSEDED, {"stop_cause": "failed"}),
]


@pytest.mark.parametrize(
    ("status", "change"), NONSENSE, ids=[f"{status}-{change}" for status, change in NONSENSE]
)
def test_a_row_that_makes_no_sense_is_refused(
    db: sqlite3.Connection, status: TaskStatus, change: Mapping[str, object]
) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        insert(db, {**sensible(status), **change})


@pytest.mark.parametrize("stage", [2, 6])
def test_a_task_that_owes_its_on_cancel_waits_or_runs_with_what_it_ends_as(
    db: sqlite3.Connection, stage: int
) -> None:
    owed = {"stage": stage, "stop_cause": "failed", "reason": "why", "has_undo": 1}
    insert(db, {**sensible(TaskStatus.PENDING), **owed})
    insert(db, {**sensible(TaskStatus.RUNNING), **owed, "identity": b"another identity"})


@pytest.mark.parametrize("status", sorted(FOLLOWING))
def test_a_follow_up_may_end_before_it_is_released(
    db: sqlite3.Connection, status: TaskStatus
) -> None:
    insert(db, {**sensible(status), "is_follow_up": 1})


def test_a_parent_may_have_been_deleted(db: sqlite3.Connection) -> None:
    insert(db, {**sensible(TaskStatus.COMPLETED), "parent": 1_000_000})


EDGE: dict[str, object] = {"task": 1, "waits_for": 7, "tie": 0, "is_met": 0}


def link(db: sqlite3.Connection, row: Mapping[str, object]) -> None:
    db.execute("INSERT INTO taskmill_edges VALUES (:task, :waits_for, :tie, :is_met)", row)


@pytest.mark.parametrize(
    "change",
    [
        {"task": 2},
        {"task": None},
        {"waits_for": None},
        {"tie": 2},
        {"tie": None},
        {"is_met": 2},
        {"is_met": None},
    ],
    ids=str,
)
def test_an_edge_that_makes_no_sense_is_refused(
    db: sqlite3.Connection, change: Mapping[str, object]
) -> None:
    insert(db, ROW)
    with pytest.raises(sqlite3.IntegrityError):
        link(db, {**EDGE, **change})


def test_edges_go_with_the_task_that_waits_and_stay_with_the_one_waited_for(
    db: sqlite3.Connection,
) -> None:
    insert(db, sensible(TaskStatus.FAILED))
    link(db, EDGE)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        link(db, {**EDGE, "is_met": 1})
    link(db, {**EDGE, "tie": 1})
    db.execute("DELETE FROM taskmill_tasks")
    assert db.execute("SELECT count(*) FROM taskmill_edges").fetchone() == (0,)


@pytest.mark.parametrize("status", ["pending", "blocked", "running", "waiting"])
def test_one_active_task_stands_for_an_identity(db: sqlite3.Connection, status: str) -> None:
    insert(db, sensible(TaskStatus(status)))
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(db, ROW)
    follow_up = {**sensible(TaskStatus.BLOCKED), "is_follow_up": 1}
    insert(db, follow_up)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        insert(db, follow_up)


def test_a_task_that_has_ended_gives_its_identity_up_when_another_needs_it(
    db: sqlite3.Connection,
) -> None:
    for status in TERMINAL:
        insert(db, sensible(status))
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            insert(db, ROW)
        assert db.execute(SQL["make_way"], (ROW["identity"],)).rowcount == 1
    insert(db, ROW)
    assert db.execute(SQL["make_way"], (ROW["identity"],)).rowcount == 0


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
