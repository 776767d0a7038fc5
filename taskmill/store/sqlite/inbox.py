"""What other transactions and processes have left for the dispatcher, and how it is dealt with."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import attrs

from taskmill.model.changes import CancelTask, Collect, Delete, Request, Submit
from taskmill.model.effects import Answer, Collected, Effect, Placed
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId
from taskmill.rules.arrivals import arrive
from taskmill.store.sqlite.carrying import run_rule
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.texts import answer_json, answer_of, request_json, request_of, task_of
from taskmill.store.sqlite.transactions import alone

log = logging.getLogger("taskmill.store")

KEPT_MS = 600_000
"""For how long an answer is kept that nobody has taken."""


def collect(
    db: sqlite3.Connection,
    change: Collect,
    obey: Callable[[sqlite3.Connection, Request], Effect | StoreError],
) -> Collected:
    """Settle what is in the inbox, in order; each request is applied and answered, or neither."""
    rows = db.execute(SQL["unanswered"], (change.limit,)).fetchall()
    done: list[tuple[Request, Effect]] = []
    for number, task, body, asked_ms in rows:
        if asked_ms is None:
            request, effect = _arrived(db, change, task, body, obey)
        else:
            request, effect = _obeyed(db, change, body, obey)
            answer = {"id": number, "answer": answer_json(effect), "now_ms": change.now_ms}
            db.execute(SQL["answer"], answer)
        if request is not None and effect is not None and not isinstance(effect, StoreError):
            done.append((request, effect))
    if rows:
        db.execute(SQL["forget_announced"], (rows[-1][0],))
        db.execute(SQL["forget_answered"], (change.now_ms - KEPT_MS,))
    return Collected(done=tuple(done), has_more=len(rows) == change.limit)


def _arrived(
    db: sqlite3.Connection,
    change: Collect,
    task: TaskId | None,
    body: bytes,
    obey: Callable[[sqlite3.Connection, Request], Effect | StoreError],
) -> tuple[Request | None, Effect | StoreError]:
    """Have a submit that was announced take its place; a task whose submit cannot is cancelled."""
    try:
        new = task_of(body)
    except ValueError as error:
        return _lost(db, change, task, str(error), obey)
    match alone(db, lambda db, new: run_rule(db, arrive(new, task, change.now_ms)), new):
        case Placed() as placed:
            return Submit((new,)), (placed,)
        case StoreError() as failed:
            return _lost(db, change, task, str(failed), obey)
        case _:
            return None, None


def _lost(
    db: sqlite3.Connection,
    change: Collect,
    task: TaskId | None,
    why: str,
    obey: Callable[[sqlite3.Connection, Request], Effect | StoreError],
) -> tuple[Request | None, Effect | StoreError]:
    about = {"task_id": task}
    log.error("a submit in another transaction, of task %s, is lost: %s", task, why, extra=about)
    if task is None:
        return None, None
    reason = f"its submit cannot be carried out: {why:.300}"
    end = CancelTask(id=task, domain=None, reason=reason, now_ms=change.now_ms)
    return end, obey(db, end)


def _obeyed(
    db: sqlite3.Connection,
    change: Collect,
    body: bytes,
    obey: Callable[[sqlite3.Connection, Request], Effect | StoreError],
) -> tuple[Request | None, Effect | StoreError]:
    try:
        request = request_of(body, now_ms=change.now_ms)
    except ValueError as error:
        log.error("a request is refused: %s", error)
        return None, StoreError(f"the dispatcher refuses it: {error}")
    if isinstance(request, Delete):
        request = attrs.evolve(request, keep=request.keep | change.keep)
    return request, obey(db, request)


def ask(db: sqlite3.Connection, request: Request, now_ms: int) -> int:
    """Leave a request; return the number under which it is answered."""
    number = db.execute(SQL["ask"], (request_json(request), now_ms)).lastrowid
    return number or 0


def find_answer(db: sqlite3.Connection, number: int) -> Answer | None:
    """The answer to a request; None while there is none, and an error once it was forgotten."""
    row = db.execute(SQL["find_answer"], (number,)).fetchone()
    if row is None:
        minutes = KEPT_MS // 60_000
        return Answer(StoreError(f"what came of it was kept for {minutes} minutes and is gone"))
    return None if row[0] is None else answer_of(row[0])


def forget_answer(db: sqlite3.Connection, number: int) -> None:
    """Whoever asked has the answer."""
    db.execute(SQL["forget_answer"], (number,))
