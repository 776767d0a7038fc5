"""What one batch does to the database: every change by its rule, in one transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, TypeVar, assert_never

import attrs

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    Effect,
    Ended,
    NewTask,
    Pause,
    Placed,
    Promote,
    Promoted,
    Ready,
    Refill,
    Refilled,
    Refused,
    Resume,
    Settled,
    Settlement,
    Submit,
)
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.rules.dedup import inserted, place
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
from taskmill.store.sqlite import tags
from taskmill.store.sqlite.rows import (
    error_values,
    insert_values,
    pause_of,
    record_of,
    settle_values,
)
from taskmill.store.sqlite.statements import SQL

log = logging.getLogger("taskmill.store")

E = TypeVar("E")

REFUSALS = (sqlite3.Error, OverflowError, UnicodeError)
"""What the driver raises for a statement: a number or a text may be none that SQLite can hold."""
MAX_ID = 2**63 - 1


def apply(db: sqlite3.Connection, changes: Sequence[Change]) -> list[Effect | StoreError]:
    """Apply ``changes`` in one transaction; where one fails, redo them one by one.

    Whatever a change raises is its own: the others are not lost for it. Raises sqlite3.Error
    where the transaction itself cannot begin or commit.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        try:
            effects: list[Effect | StoreError] = [*_apply_all(db, changes)]
        except Exception:
            if not db.in_transaction:  # a full disk ends it: nobody's own fault
                raise
            db.execute("ROLLBACK")
            db.execute("BEGIN IMMEDIATE")
            effects = [_apply_alone(db, change) for change in changes]
        tags.finished(db, [*_ended(changes, effects)])
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise
    return effects


def _ended(changes: Sequence[Change], effects: Sequence[Effect | StoreError]) -> Iterator[TaskId]:
    """The tasks that these changes ended."""
    for change, effect in zip(changes, effects, strict=True):
        if isinstance(effect, Settled):
            if effect.status in TERMINAL and isinstance(change, Settlement):
                yield change.id
        elif isinstance(effect, Ended):
            yield effect.record.id


def _apply_alone(db: sqlite3.Connection, change: Change) -> Effect | StoreError:
    db.execute("SAVEPOINT one")
    try:
        effect = _apply_one(db, change)
    except Exception as error:
        if not db.in_transaction:
            raise
        db.execute("ROLLBACK TO one")
        db.execute("RELEASE one")
        if isinstance(change, Claim) and not isinstance(error, sqlite3.Error):
            _end_unreadable(db, change, error)
            return None
        if not isinstance(error, REFUSALS):
            log.exception("%s failed, which is a bug", type(change).__name__)
            return StoreError(f"{type(change).__name__} failed: {error!r}")
        return StoreError(f"the database refused {type(change).__name__}: {error}")
    db.execute("RELEASE one")
    return effect


def _end_unreadable(db: sqlite3.Connection, claim: Claim, error: Exception) -> None:
    """Take a row that is no task any more out of the queue, or it would be claimed for ever.

    A follow-up of it, which only a retried task can have here, runs after the next opening.
    """
    log.error("task %d cannot be read, and is cancelled", claim.id, exc_info=error)
    reason = f"what is stored of this task cannot be read: {error!r:.300}"
    for step in (
        EndWaiting(id=claim.id, now_ms=claim.now_ms, reason=reason),
        ReleaseFollowUp(id=claim.id, now_ms=claim.now_ms),
    ):
        carry_out(db, step)
    tags.finished(db, [claim.id])


def _apply_all(db: sqlite3.Connection, changes: Sequence[Change]) -> Iterator[Effect]:
    """Apply ``changes`` in order; claims that follow each other are one statement."""
    claims: list[Claim] = []
    for change in changes:
        if claims and not (isinstance(change, Claim) and change.now_ms == claims[0].now_ms):
            yield from _claim(db, claims)
            claims = []
        if isinstance(change, Claim):
            claims.append(change)
        else:
            yield _apply_one(db, change)
    if claims:
        yield from _claim(db, claims)


def _apply_one(db: sqlite3.Connection, change: Change) -> Effect:
    match change:
        case Claim():
            [record] = _claim(db, [change])
            return record
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
        case Pause() | Resume():
            return _hold(db, change)
        case _:
            assert_never(change)


def _submit(db: sqlite3.Connection, change: Submit) -> tuple[Placed, ...] | Refused:
    """All of the tasks or none: a refusal takes back what was inserted before it."""
    alone = len(change.tasks) == 1
    if not alone:
        db.execute("SAVEPOINT submit")
        at_once = _insert_all(db, change.tasks)
        if at_once is not None:
            db.execute("RELEASE submit")
            return at_once
        db.execute("ROLLBACK TO submit")
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


def _insert_all(db: sqlite3.Connection, tasks: Sequence[NewTask]) -> tuple[Placed, ...] | None:
    """Insert tasks that nothing stands in the way of; None, and a roll-back due, if something does.

    Nobody else writes meanwhile, so that the ids AUTOINCREMENT gives follow each other.
    """
    if any(task.parent is not None for task in tasks):
        return None
    rows = [insert_values(task, follow_up=False) for task in tasks]
    if db.executemany(SQL["insert"], rows).rowcount != len(tasks):
        return None
    last = int(db.execute("SELECT last_insert_rowid()").fetchone()[0])
    first = last - len(tasks) + 1
    tags.insert(db, ((TaskId(first + n), task) for n, task in enumerate(tasks) if task.tags))
    return tuple(inserted(task, TaskId(first + index)) for index, task in enumerate(tasks))


def _claim(db: sqlite3.Connection, claims: Sequence[Claim]) -> list[TaskRecord | None]:
    """Make claims of one time; a statement each would cost twice as much."""
    ids = json.dumps([claim.id for claim in claims])
    rows = db.execute(SQL["claim"], {"ids": ids, "now_ms": claims[0].now_ms}).fetchall()
    claimed = {record.id: record for record in (_with_errors(db, row) for row in rows)}
    return [claimed.pop(claim.id, None) for claim in claims]


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
        retries=Counter(row[0] for row in rows if row[5] > 0),
        next_due_ms=db.execute(SQL["next_due"]).fetchone()[0],
    )


def _hold(db: sqlite3.Connection, change: Pause | Resume) -> PauseRecord | None:
    values = attrs.asdict(change)
    statement = "pause" if isinstance(change, Pause) else "resume"
    rows = db.execute(SQL[statement], {**values, "scope": change.scope.value}).fetchall()
    return pause_of(rows[0]) if rows else None


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
            return _insert(db, task, follow_up=follow_up)
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


def _insert(db: sqlite3.Connection, task: NewTask, *, follow_up: bool) -> TaskId | None:
    cursor = db.execute(SQL["insert"], insert_values(task, follow_up=follow_up))
    if not cursor.rowcount:
        return None
    new = TaskId(cursor.lastrowid or 0)
    if task.tags:
        tags.insert(db, [(new, task)])
    return new


def find(db: sqlite3.Connection, task: TaskId) -> TaskRecord | None:
    """The task with this id, with its errors."""
    if not 0 < task <= MAX_ID:
        return None
    row = db.execute(SQL["get"], (task,)).fetchone()
    return None if row is None else _with_errors(db, row)


def _with_errors(db: sqlite3.Connection, row: Sequence[Any]) -> TaskRecord:
    record = record_of(row)
    if record.run == 0 or (record.run == 1 and record.status is TaskStatus.RUNNING):
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
