"""How each step that a rule asks for is carried out, on the connection's thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, assert_never

from taskmill.model.changes import NewTask
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.rules.steps import (
    Announce,
    AnyStep,
    DropTimetable,
    EndWindow,
    FindActive,
    FindChildren,
    FindDeclared,
    FindDueTimetables,
    FindExpired,
    FindFailedChild,
    FindFollowUps,
    FindHeldUp,
    FindHolder,
    FindLastId,
    FindNeeds,
    FindNextExpiry,
    FindNextFire,
    FindOpen,
    FindStates,
    FindTask,
    FindTasks,
    FindTimetable,
    FindUnmet,
    FindWaiters,
    FindWindow,
    Insert,
    Link,
    Mark,
    Meet,
    Put,
    PutTags,
    PutTimetable,
    Reading,
    RecordError,
    Redirect,
    Renew,
    Rule,
    Select,
    Settle,
    Tie,
    Untie,
    Waiter,
)
from taskmill.store.sqlite import tags, timetables
from taskmill.store.sqlite.reading import ids as select_ids
from taskmill.store.sqlite.rows import (
    error_values,
    insert_values,
    is_linked,
    is_plain,
    plain_values,
    put_values,
    record_of,
    settle_values,
)
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.texts import task_json

E = TypeVar("E")

MAX_ID = 2**63 - 1


def run_rule(db: sqlite3.Connection, rule: Rule[E]) -> E:
    """Carry out a rule's steps until it returns its effect."""
    try:
        step = next(rule)
        while True:
            step = rule.send(carry_out(db, step))
    except StopIteration as end:
        effect: E = end.value
        return effect


def carry_out(db: sqlite3.Connection, step: AnyStep) -> Any:  # noqa: C901 - a case each
    """The answer to one step of a rule, as its class says."""
    match step:
        case Settle(settlement=settlement):
            return bool(db.execute(SQL["settle"], settle_values(settlement)).rowcount)
        case Insert(task=task, follow_up=follow_up):
            return _insert(db, step) if follow_up or _is_free(db, task) else None
        case Put(records=records):
            _put(db, records)
        case PutTags(record=record):
            tags.replace(db, record.id, record.tags)
        case RecordError(settlement=settlement):
            if settlement.error is not None:
                db.execute(SQL["record_error"], error_values(settlement, settlement.error))
                db.execute(SQL["trim_errors"], {"id": settlement.id})
        case Link(id=task, waits_for=others, tie=tie, met=met):
            rows = [(task, other, tie, int(met)) for other in others]
            db.executemany(SQL["link"], rows)
        case Meet(pairs=pairs):
            db.executemany(SQL["meet"], pairs)
        case Redirect(old=old, new=new):
            db.execute(SQL["redirect"], {"old": old, "new": new})
            db.execute(SQL["stand_in"], {"old": old, "new": new})
            db.execute(SQL["forget_edges"], (old,))
        case Untie(id=task):
            db.execute(SQL["untie"], (task,))
            db.execute(SQL["disown"], (task,))
        case Mark(ids=ids):
            db.execute(SQL["mark"], (_json(ids),))
        case Announce(task=new, id=task):
            db.execute(SQL["announce"], (task, task_json(new)))
        case PutTimetable(timetable=timetable):
            timetables.put(db, timetable)
        case DropTimetable(domain=domain, name=name):
            db.execute(SQL["drop_timetable"], (domain, name))
        case EndWindow(identity=identity):
            db.execute(SQL["end_window"], (identity,))
        case Renew(id=task, now_ms=now_ms):
            [expires] = db.execute(SQL["renew"], {"id": task, "now_ms": now_ms}).fetchone()
            return expires
        case _:
            return _find(db, step)
    return None


def _find(db: sqlite3.Connection, step: Reading) -> Any:  # noqa: C901 - a case each
    match step:
        case FindTask(id=task):
            return find(db, task)
        case FindTasks(ids=ids):
            return _records(db, "tasks", (_json(ids),))
        case FindStates(ids=ids):
            return _states(db, "states", _json(ids))
        case FindLastId():
            row = db.execute(SQL["last_id"]).fetchone()
            return 0 if row is None else row[0]
        case FindActive(identity=identity, follow_up=follow_up):
            return _one(db, "find_follow_up" if follow_up else "find_standing", (identity,))
        case FindHolder(id=task, now_ms=now_ms):
            return _one(db, "holder", {"id": task, "now_ms": now_ms})
        case FindWindow(identity=identity, now_ms=now_ms):
            return _one(db, "window", (identity, now_ms))
        case FindChildren(ids=ids):
            return _records(db, "children", (_json(ids),))
        case FindOpen(ids=ids):
            return _ids(db, "open", (_json(ids),))
        case FindFailedChild(id=task):
            return _one(db, "failed_child", {"id": task})
        case FindFollowUps(ids=ids):
            return _records(db, "follow_ups", (_json(ids),))
        case FindWaiters(ids=ids):
            rows = db.execute(SQL["waiters"], (_json(ids),)).fetchall()
            return tuple(Waiter(record_of(row[2:]), row[0], Tie(row[1])) for row in rows)
        case FindHeldUp(ids=ids):
            return _ids(db, "held_up", {"ids": _json(ids)})
        case FindNeeds(id=task):
            return _states(db, "needs", task)
        case FindUnmet(ids=ids):
            return _ids(db, "unmet", (_json(ids),))
        case Select(selection=selection):
            return tuple(select_ids(db, selection))
        case FindExpired(now_ms=now_ms, limit=limit):
            return _records(db, "expired", (now_ms, limit))
        case FindNextExpiry():
            return db.execute(SQL["next_expiry"]).fetchone()[0]
        case FindTimetable(domain=domain, name=name):
            return next(iter(timetables.find(db, SQL["timetable"], (domain, name))), None)
        case FindDueTimetables(now_ms=now_ms, limit=limit):
            return timetables.find(db, SQL["due_timetables"], (now_ms, limit))
        case FindDeclared(domain=domain):
            return timetables.find(db, SQL["declared"], (domain,))
        case FindNextFire():
            return db.execute(SQL["next_fire"]).fetchone()[0]
        case _:
            assert_never(step)


def find(db: sqlite3.Connection, task: TaskId) -> TaskRecord | None:
    """The task with this id, with its errors and what it depends on."""
    if not 0 < task <= MAX_ID:
        return None
    row = db.execute(SQL["get"], (task,)).fetchone()
    return None if row is None else full_record(db, row)


def full_record(db: sqlite3.Connection, row: Sequence[Any]) -> TaskRecord:
    """The record of a row, with its errors and what it depends on."""
    record = record_of(row)
    errors: Sequence[Sequence[Any]] = ()
    needs: tuple[TaskId, ...] = ()
    if record.run > 1 or (record.run == 1 and record.status is not TaskStatus.RUNNING):
        errors = db.execute(SQL["errors"], (record.id,)).fetchall()
    if is_linked(row):
        needs = tuple(other for (other,) in db.execute(SQL["depends_on"], (record.id,)))
    return record_of(row, errors, needs) if errors or needs else record


def make_way(db: sqlite3.Connection, tasks: Iterable[NewTask]) -> bool:
    """Whether tasks that have ended stood where new ones are to; they do no more."""
    return db.executemany(SQL["make_way"], [(task.identity,) for task in tasks]).rowcount > 0


def _is_free(db: sqlite3.Connection, task: NewTask) -> bool:
    """Whether nothing stands for the identity of a new task; what has ended makes way for it.

    To try whether it can be inserted would use an id up where it cannot.
    """
    window = (task.identity, task.created_at_ms)
    if db.execute(SQL["in_window"], window).fetchone() is not None:
        return False
    for (has_ended,) in db.execute(SQL["place"], (task.identity,)).fetchall():
        if not has_ended:
            return False
        make_way(db, [task])
    return True


def _insert(db: sqlite3.Connection, step: Insert) -> TaskId | None:
    task, status = step.task, step.status
    is_new = status is TaskStatus.PENDING and not (step.follow_up or step.arriving)
    if is_new and is_plain(task):
        cursor = db.execute(SQL["insert_plain"], plain_values(task))
    else:
        values = insert_values(
            task, follow_up=step.follow_up, status=status, arriving=step.arriving
        )
        cursor = db.execute(SQL["insert"], values)
    if not cursor.rowcount:
        return None
    inserted = TaskId(cursor.lastrowid or 0)
    if task.tags:
        tags.insert(db, [(inserted, task)])
    return inserted


def _put(db: sqlite3.Connection, records: Sequence[TaskRecord]) -> None:
    rows = [put_values(record) for record in records]
    try:
        db.executemany(SQL["put"], rows)
    except sqlite3.IntegrityError:  # a task goes to where another stood that has ended
        db.executemany(SQL["make_way_for"], [(record.id,) for record in records])
        db.executemany(SQL["put"], rows)
    tagged = [record for record in records if record.tags]
    tags.finished(db, [record.id for record in tagged if record.status.is_terminal])
    tags.revived(db, [record.id for record in tagged if not record.status.is_terminal])


def _records(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...]
) -> tuple[TaskRecord, ...]:
    return tuple(record_of(row) for row in db.execute(SQL[statement], values).fetchall())


def _one(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...] | dict[str, object]
) -> TaskRecord | None:
    row = db.execute(SQL[statement], values).fetchone()
    return None if row is None else record_of(row)


def _ids(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...] | dict[str, object]
) -> frozenset[TaskId]:
    return frozenset(task for (task,) in db.execute(SQL[statement], values))


def _states(db: sqlite3.Connection, statement: str, value: object) -> dict[TaskId, TaskStatus]:
    rows = db.execute(SQL[statement], (value,))
    return {task: TaskStatus(status) for task, status in rows}


def _json(ids: Iterable[TaskId]) -> str:
    return json.dumps(list(ids))
