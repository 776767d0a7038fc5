"""The SQL itself: every file is used, every plan has its index, and the thread it runs on."""

from __future__ import annotations

import ast
import functools
import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiosqlite
import pytest

import taskmill.store.sqlite
from taskmill.model.changes import CancelTask, Claim, Pause, Resume, Submit
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus
from taskmill.rules.settle import Returned, settle
from taskmill.store.sqlite import batch, opening, reading
from taskmill.store.sqlite.carrying import find
from taskmill.store.sqlite.connection import Port, run_on
from taskmill.store.sqlite.statements import SQL

from .conformance import T0, new_task, raised

SOURCES = sorted(Path(taskmill.store.sqlite.__file__).parent.glob("*.py"))


# --- files and their use -------------------------------------------------------------------------


FINDERS = ("_one", "_records", "_ids", "_states")
"""The functions that take the name of a statement for their second argument."""


def test_every_statement_is_used_and_every_one_used_exists() -> None:
    used: set[str] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "SQL":
                used |= texts(node.slice)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in FINDERS:
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
    "add_tag": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "among_blocked": {
        "SCAN taskmill_tasks USING INDEX taskmill_blocked",
    },
    "among_children": {
        "SEARCH taskmill_tasks USING INDEX taskmill_children (parent=?)",
    },
    "among_waiting": {
        "SCAN taskmill_tasks USING INDEX taskmill_with_children",
    },
    "among_finished": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INDEX taskmill_finished (status=? AND finished_at_ms>?)",
    },
    "among_ids": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "among_keyed": {
        "SEARCH taskmill_tasks USING INDEX taskmill_keyed (key=?)",
    },
    "among_pending": {
        "SCAN taskmill_tasks USING INDEX taskmill_ready",
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)",
    },
    "among_prefixed": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        (
            "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? "
            "AND key>? AND key<?)"
        ),
    },
    "among_running": {
        "SCAN taskmill_tasks USING INDEX taskmill_running",
    },
    "among_tagged": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        (
            "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? "
            "AND key=? AND value=?)"
        ),
    },
    "announce": set(),
    "answer": {
        "SEARCH taskmill_inbox USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "ask": set(),
    "backlog": {
        "SCAN taskmill_tasks USING INDEX taskmill_blocked",
        "SCAN taskmill_tasks USING INDEX taskmill_with_children",
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)",
    },
    "children": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INDEX taskmill_children (parent=? AND finished_at_ms=?)",
    },
    "claim": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "clear_tags": {
        "SEARCH taskmill_tags USING PRIMARY KEY (task=?)",
    },
    "complete": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "declared": {
        "SEARCH taskmill_schedules USING PRIMARY KEY (domain=?)",
    },
    "delete": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH above USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH child USING INDEX taskmill_children (parent=? AND finished_at_ms=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=?)",
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_errors USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tags USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH waiter USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "depends_on": {
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
    },
    "disown": {
        "SCAN sqlite_sequence",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "drop_timetable": {
        "SEARCH taskmill_schedules USING PRIMARY KEY (domain=? AND name=?)",
    },
    "due_timetables": {
        "SEARCH taskmill_schedules USING INDEX taskmill_firing (next_ms>? AND next_ms<?)",
    },
    "end_due_pauses": {
        "SCAN taskmill_pauses USING INDEX taskmill_held",
    },
    "end_tags": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tags USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "end_unreadable": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "end_window": {
        ("SEARCH taskmill_tasks USING INDEX taskmill_windows (identity=? AND unique_until_ms>?)"),
    },
    "errors": {
        "SEARCH taskmill_errors USING PRIMARY KEY (task=?)",
    },
    "errors_of_all": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_errors USING PRIMARY KEY (task=?)",
    },
    "expired": {
        (
            "SEARCH taskmill_tasks USING INDEX taskmill_expiring (expires_at_ms>? AND "
            "expires_at_ms<?)"
        ),
    },
    "failed_child": {
        "SEARCH child USING INDEX taskmill_children (parent=? AND finished_at_ms>?)",
        "SEARCH other USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "family": {
        "SEARCH child USING INDEX taskmill_children (parent=?)",
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "find_follow_up": {
        "SEARCH taskmill_tasks USING INDEX taskmill_follow_up (identity=?)",
    },
    "find_standing": {
        "SEARCH taskmill_tasks USING INDEX taskmill_standing (identity=?)",
    },
    "ends_of_type": {
        "SCAN taskmill_tasks USING INDEX taskmill_finished",
    },
    "last_of_type": {
        "SEARCH taskmill_tasks USING INDEX taskmill_finished (status=? AND finished_at_ms>?)",
    },
    "follow_ups": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH stood USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH taskmill_tasks USING INDEX taskmill_follow_up (identity=?)",
    },
    "forget_announced": {
        "SEARCH taskmill_inbox USING INDEX taskmill_unanswered (id<?)",
    },
    "find_answer": {
        "SEARCH taskmill_inbox USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "forget_answer": {
        "SEARCH taskmill_inbox USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "forget_answered": {
        "SEARCH taskmill_inbox USING INDEX taskmill_answered (asked_ms<?)",
    },
    "forget_edges": {
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=? AND is_met=?)",
    },
    "forget_pauses": {
        "SCAN taskmill_pauses",
        "SEARCH (subquery-5)",
        "SEARCH taskmill_tasks USING INDEX taskmill_blocked",
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)",
        "SEARCH taskmill_tasks USING INDEX taskmill_ready",
        "SEARCH taskmill_tasks USING INDEX taskmill_running",
        "SEARCH taskmill_tasks USING INDEX taskmill_with_children",
    },
    "get": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "has_active_tags": {
        "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=?)",
    },
    "has_meta": {
        "SCAN sqlite_schema",
    },
    "has_names": {
        "SCAN sqlite_schema",
    },
    "has_old_pauses": {
        "SCAN taskmill_pauses",
    },
    "has_undo": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "has_windows": {
        "SCAN taskmill_tasks USING INDEX taskmill_windows",
    },
    "held_up": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH ahead USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH behind USING INDEX taskmill_follow_up (identity=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=? AND is_met=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "holder": {
        "SEARCH done USING INDEX taskmill_windows (identity=? AND unique_until_ms>?)",
        "SEARCH standing USING INDEX taskmill_standing (identity=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "in_window": {
        ("SEARCH taskmill_tasks USING INDEX taskmill_windows (identity=? AND unique_until_ms>?)"),
    },
    "insert": set(),
    "insert_plain": set(),
    "insert_tag": set(),
    "is_any_paused": {
        "SCAN taskmill_pauses USING INDEX taskmill_held",
    },
    "last_id": {
        "SEARCH sqlite_sequence",
    },
    "levels": {
        "SCAN taskmill_tasks USING INDEX taskmill_ready",
    },
    "link": set(),
    "make_way": {
        "SEARCH taskmill_tasks USING INDEX taskmill_standing (identity=?)",
    },
    "make_way_for": {
        "SEARCH taskmill_tasks USING INDEX taskmill_standing (identity=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "place": {
        "SEARCH taskmill_tasks USING INDEX taskmill_standing (identity=?)",
    },
    "mark": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "meet": {
        (
            "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=? AND is_met=? "
            "AND task=?)"
        ),
    },
    "needs": {
        "SEARCH other USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_unmet (task=?)",
    },
    "needs_of_all": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
    },
    "next_due": {
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)",
    },
    "next_expiry": {
        "SEARCH taskmill_tasks USING INDEX taskmill_expiring (expires_at_ms>?)",
    },
    "next_fire": {
        "SEARCH taskmill_schedules USING INDEX taskmill_firing (next_ms>?)",
    },
    "open": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_edges USING INDEX taskmill_unmet (task=?)",
        "SEARCH taskmill_tasks USING INDEX taskmill_children (parent=? AND finished_at_ms=?)",
    },
    "outlived": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH above USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH child USING INDEX taskmill_children (parent=? AND finished_at_ms=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=?)",
        (
            "SEARCH taskmill_tasks USING INDEX taskmill_finished (status=? AND "
            "finished_at_ms>? AND finished_at_ms<?)"
        ),
        "SEARCH taskmill_tasks USING INDEX taskmill_finished (status=? AND finished_at_ms>?)",
        "SEARCH waiter USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "pause": set(),
    "pauses": {
        "SCAN taskmill_pauses",
    },
    "promote": {
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>? AND due_at_ms<?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "put": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "put_timetable": set(),
    "read_meta": {
        "SEARCH taskmill_meta USING PRIMARY KEY (name=?)",
    },
    "record_error": set(),
    "records": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "recover_running": {
        "SCAN taskmill_tasks USING INDEX taskmill_running",
    },
    "redirect": {
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=? AND is_met=?)",
    },
    "refill": {
        (
            "SEARCH taskmill_tasks USING INDEX taskmill_ready (type=? AND group_name=? AND "
            "stage=? AND priority=? AND ready_at_ms>?)"
        ),
    },
    "release_unreadable": {
        "SCAN taskmill_tasks USING INDEX taskmill_unreadable",
    },
    "renew": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "resume": {
        "SEARCH taskmill_pauses USING INDEX taskmill_held (scope=? AND name=?)",
    },
    "retries": {
        "SEARCH taskmill_tasks USING INDEX taskmill_due (due_at_ms>?)",
    },
    "revive_tags": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tags USING PRIMARY KEY (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "set_tags": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "settle": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "stand_in": {
        "SEARCH above USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH old USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "states": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "stopping": {
        "SCAN taskmill_tasks USING INDEX taskmill_running",
    },
    "suspects": {
        "SCAN taskmill_tasks USING INDEX taskmill_running",
    },
    "tag_domains": {
        "SCAN domains",
        "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain>?)",
        "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=?)",
    },
    "tag_keys": {
        "SCAN keys",
        (
            "SEARCH tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? AND "
            "key>? AND key<?)"
        ),
        (
            "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? "
            "AND key>? AND key<?)"
        ),
    },
    "tag_values": {
        (
            "SEARCH taskmill_tags USING INDEX taskmill_tags_by_key (is_active=? AND domain=? "
            "AND key=?)"
        ),
    },
    "tasks": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "timetable": {
        "SEARCH taskmill_schedules USING PRIMARY KEY (domain=? AND name=?)",
    },
    "timetables": {
        "SCAN taskmill_schedules",
    },
    "trim_errors": {
        "SEARCH taskmill_errors USING PRIMARY KEY (task=? AND run<?)",
        "SEARCH taskmill_errors USING PRIMARY KEY (task=?)",
    },
    "unmet": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH other USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_unmet (task=?)",
    },
    "untie": {
        "SEARCH taskmill_edges USING PRIMARY KEY (task=?)",
    },
    "waiters": {
        "SCAN json_each VIRTUAL TABLE INDEX 1:",
        "SEARCH taskmill_edges USING INDEX taskmill_waiters (waits_for=? AND is_met=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "waits_for": {
        "SEARCH ahead USING INDEX taskmill_standing (identity=?)",
        "SEARCH behind USING INTEGER PRIMARY KEY (rowid=?)",
        "SEARCH child USING INDEX taskmill_children (parent=? AND finished_at_ms=?)",
        "SEARCH taskmill_edges USING INDEX taskmill_unmet (task=?)",
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "wait_to_write": {
        "SEARCH taskmill_tasks USING INTEGER PRIMARY KEY (rowid=?)",
    },
    "unanswered": {
        "SCAN taskmill_inbox USING INDEX taskmill_unanswered",
    },
    "window": {
        ("SEARCH taskmill_tasks USING INDEX taskmill_windows (identity=? AND unique_until_ms>?)"),
    },
    "write_meta": set(),
}

SORTED = {
    "backlog",
    "children",
    "family",
    "follow_ups",
    "held_up",
    "needs",
    "pauses",
    "waiters",
    "waits_for",
}
"""Those that sort what they found: some tasks, never all of them."""


def test_every_statement_has_a_plan_to_keep_to() -> None:
    assert SQL.keys() == PLANS.keys()


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
    assert (name in SORTED) == any("TEMP B-TREE" in step for step in found), found
    assert not accesses & {"SCAN taskmill_tasks", "SCAN taskmill_edges"}


@pytest.mark.parametrize("is_analysed", [False, True], ids=["as it is", "after ANALYZE"])
@pytest.mark.parametrize("status", [TaskStatus.PAUSED, TaskStatus.PENDING])
def test_a_count_costs_as_much_under_a_hundred_pauses_as_under_one(
    db: sqlite3.Connection, status: TaskStatus, is_analysed: bool
) -> None:
    populate(db)
    pending = Selection(statuses=frozenset({status}))
    costs: list[int] = []
    for names in (["g0"], [f"none {n}" for n in range(100)]):
        batch.apply(db, [Pause(scope=PauseScope.GROUP, name=name, now_ms=T0) for name in names])
        if is_analysed:
            db.execute("ANALYZE")
        costs.append(instructions(db, lambda: reading.count(db, pending)))
    assert costs[1] < 2 * costs[0]


def instructions(db: sqlite3.Connection, work: Callable[[], object]) -> int:
    """How many of its own instructions SQLite needs for ``work``, to the next hundred."""
    hundreds = 0

    def count() -> None:
        nonlocal hundreds
        hundreds += 1

    db.set_progress_handler(count, 100)
    work()
    db.set_progress_handler(None, 0)
    return 100 * hundreds


def test_a_row_keeps_its_length_while_its_task_runs_and_completes() -> None:
    """One that grew would split its page, and most pages are full."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        opening.configure(db, durability="FULL")
        opening.migrate(db)
        batch.apply(db, [Submit(tuple(new_task(f"{n}") for n in range(800)))])
        before = pages_in_use(db)
        for first in range(1, 801, 16):
            tasks = [TaskId(first + n) for n in range(16)]
            batch.apply(db, [Claim(task, T0) for task in tasks])
            records = [find(db, task) for task in tasks]
            ends = [settle(record, Returned(None), now_ms=T0) for record in records if record]
            batch.apply(db, ends)
        assert pages_in_use(db) <= before


def pages_in_use(db: sqlite3.Connection) -> int:
    [count], [free] = (
        db.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "freelist_count")
    )
    return int(count) - int(free)


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
    numbered = max((int(n) for n in re.findall(r"\?(\d+)", statement)), default=0)
    named: defaultdict[str, None] = defaultdict(lambda: None)
    values: defaultdict[str, None] | list[None] = (
        [None] * (numbered or statement.count("?")) if "?" in statement else named
    )
    rows = db.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    return [row[3].replace("(ready_at_ms,id)>(?,?)", "ready_at_ms>?") for row in rows]


def populate(db: sqlite3.Connection) -> None:
    """A thousand tasks in many states; written once, and copied for each test."""
    db.deserialize(populated())


@functools.cache
def populated() -> bytes:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        opening.configure(db, durability="FULL")
        opening.migrate(db)
        submit_and_run(db)
        return db.serialize()


def submit_and_run(db: sqlite3.Connection) -> None:
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
        record = find(db, task)
        assert record is not None
        result = raised(1, delay_ms=5) if n % 2 else Returned("1")
        if n % 4:
            batch.apply(db, [settle(record, result, now_ms=T0)])
        else:
            batch.apply(db, [CancelTask(id=task, domain=None, reason=None, now_ms=T0)])
    parent = TaskId(401)
    batch.apply(db, [Claim(parent, T0)])
    for n in range(202, 400):
        spawned = new_task(f"child {n}", parent=parent, expires_at_ms=T0 + n, unique_for_ms=n)
        needs = (TaskId(n), TaskId(n - 1))
        batch.apply(db, [Submit((spawned, new_task(f"dependent {n}", depends_on=needs)))])


# --- the port ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_connection_that_cannot_be_made_leaves_no_thread(tmp_path: Path) -> None:
    """Pins ``_thread``, the private part of aiosqlite that `thread_ended` stands on."""
    before = threading.active_count()
    for _ in range(5):
        with pytest.raises(StoreError, match="cannot be opened"):
            await Port.open(f"file:{tmp_path / 'gone.db'}?mode=ro", "gone.db", uri=True)
        workers = [each for each in threading.enumerate() if "worker_thread" in each.name]
        assert workers == []
    assert threading.active_count() <= before + 1  # the one that waited, which is kept for a while


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
