"""What one batch does to the database: every change by its rule, in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar, assert_never

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    Effect,
    Placed,
    Promote,
    Promoted,
    Ready,
    Refill,
    Refilled,
    Refused,
    Settlement,
    Submit,
)
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId, TaskRecord
from taskmill.rules.dedup import place
from taskmill.rules.ending import cancel, end_run
from taskmill.rules.steps import (
    Answer,
    EndWaiting,
    FindActive,
    FindTask,
    Insert,
    RecordError,
    ReleaseFollowUp,
    RequestStop,
    Rule,
    Settle,
    SettleStopped,
    Step,
    Upgrade,
)
from taskmill.store.sqlite.rows import error_values, insert_values, record_of, settle_values
from taskmill.store.sqlite.statements import SQL

E = TypeVar("E")


def apply(db: sqlite3.Connection, changes: Sequence[Change]) -> list[Effect | StoreError]:
    """Apply ``changes`` in one transaction; where one fails, redo them one by one.

    Raises sqlite3.Error where the transaction itself cannot begin or commit.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        try:
            effects: list[Effect | StoreError] = [_apply_one(db, change) for change in changes]
        except sqlite3.Error:
            if not db.in_transaction:  # a full disk ends it: nobody's own fault
                raise
            db.execute("ROLLBACK")
            db.execute("BEGIN IMMEDIATE")
            effects = [_apply_alone(db, change) for change in changes]
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
    return effects


def _apply_alone(db: sqlite3.Connection, change: Change) -> Effect | StoreError:
    db.execute("SAVEPOINT one")
    try:
        effect = _apply_one(db, change)
    except sqlite3.Error as error:
        if not db.in_transaction:
            raise
        db.execute("ROLLBACK TO one")
        db.execute("RELEASE one")
        return StoreError(f"the database refused {type(change).__name__}: {error}")
    db.execute("RELEASE one")
    return effect


def _apply_one(db: sqlite3.Connection, change: Change) -> Effect:
    match change:
        case Claim():
            return _claim(db, change)
        case Settlement():
            return run_rule(db, end_run(change))
        case Submit():
            return _submit(db, change)
        case Refill():
            return _refill(db, change)
        case Promote():
            return _promote(db, change)
        case CancelTask():
            return run_rule(db, cancel(change))
        case _:
            assert_never(change)


def _submit(db: sqlite3.Connection, change: Submit) -> tuple[Placed, ...] | Refused:
    """All of the tasks or none: a refusal takes back what was inserted before it."""
    alone = len(change.tasks) == 1
    if not alone:
        db.execute("SAVEPOINT submit")
    placed: list[Placed] = []
    for index, task in enumerate(change.tasks):
        effect = run_rule(db, place(task))
        if isinstance(effect, Refused):
            if alone:
                return effect
            db.execute("ROLLBACK TO submit")
            db.execute("RELEASE submit")
            return Refused(f"task {index} of {len(change.tasks)}: {effect.reason}")
        placed.append(effect)
    if not alone:
        db.execute("RELEASE submit")
    return tuple(placed)


def _claim(db: sqlite3.Connection, change: Claim) -> TaskRecord | None:
    rows = db.execute(SQL["claim"], {"id": change.id, "now_ms": change.now_ms}).fetchall()
    return _with_errors(db, rows[0]) if rows else None


def _refill(db: sqlite3.Connection, change: Refill) -> Refilled:
    ready_at_ms, task = change.after
    rows = db.execute(
        SQL["refill"],
        {
            "type": change.type,
            "group": change.group,
            "priority": change.priority,
            "ready_at_ms": ready_at_ms,
            "id": task,
            "limit": change.limit,
        },
    ).fetchall()
    return Refilled(tuple(rows))


def _promote(db: sqlite3.Connection, change: Promote) -> Promoted:
    rows = db.execute(SQL["promote"], {"now_ms": change.now_ms, "limit": change.limit}).fetchall()
    return Promoted(
        ready=tuple(Ready(*row[:5]) for row in rows),
        retries=sum(1 for row in rows if row[5] > 0),
        next_due_ms=db.execute(SQL["next_due"]).fetchone()[0],
    )


def run_rule(db: sqlite3.Connection, rule: Rule[E]) -> E:
    """Carry out a rule's steps until it returns its effect."""
    answer: Answer = None
    try:
        step = next(rule)
        while True:
            answer = carry_out(db, step)
            step = rule.send(answer)
    except StopIteration as end:
        effect: E = end.value
        return effect


def carry_out(db: sqlite3.Connection, step: Step) -> Answer:
    """One step of a rule."""
    match step:
        case Insert(task=task, follow_up=follow_up):
            cursor = db.execute(SQL["insert"], insert_values(task, follow_up=follow_up))
            return TaskId(cursor.lastrowid or 0) if cursor.rowcount else None
        case Settle(settlement=settlement):
            return _if_changed(db, "settle", settle_values(settlement), settlement.id)
        case ReleaseFollowUp(id=task, now_ms=now_ms):
            return _one(db, "release_follow_up", {"id": task, "now_ms": now_ms})
        case FindTask(id=task):
            return find(db, task)
        case FindActive(identity=identity, follow_up=follow_up):
            return _one(db, "find_follow_up" if follow_up else "find_standing", (identity,))
        case Upgrade(id=task, priority=priority):
            db.execute(SQL["upgrade"], {"id": task, "priority": priority})
        case SettleStopped(settlement=settlement):
            return _if_changed(db, "settle_cancelled", settle_values(settlement), settlement.id)
        case RecordError(settlement=settlement):
            if settlement.error is not None:
                db.execute(SQL["record_error"], error_values(settlement, settlement.error))
                db.execute(SQL["trim_errors"], {"id": settlement.id})
        case EndWaiting(id=task, now_ms=now_ms, reason=reason):
            db.execute(SQL["cancel_waiting"], {"id": task, "now_ms": now_ms, "reason": reason})
        case RequestStop(id=task):
            db.execute(SQL["cancel_running"], {"id": task})
        case _:
            assert_never(step)
    return None


def find(db: sqlite3.Connection, task: TaskId) -> TaskRecord | None:
    """The task with this id, with its errors."""
    row = db.execute(SQL["get"], (task,)).fetchone()
    return None if row is None else _with_errors(db, row)


def _with_errors(db: sqlite3.Connection, row: Sequence[Any]) -> TaskRecord:
    record = record_of(row)
    if record.run == 0 or (record.run == 1 and not record.status.is_terminal):
        return record
    errors = db.execute(SQL["errors"], (record.id,)).fetchall()
    return record_of(row, errors) if errors else record


def _one(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...] | dict[str, object]
) -> TaskRecord | None:
    rows = db.execute(SQL[statement], values).fetchall()
    return record_of(rows[0]) if rows else None


def _if_changed(
    db: sqlite3.Connection, statement: str, values: dict[str, object], task: TaskId
) -> TaskId | None:
    return task if db.execute(SQL[statement], values).rowcount else None
