"""What other transactions and processes have left for the dispatcher, and how it is dealt with."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import attrs

from taskmill.model.changes import Collect, Delete, Request, Submit
from taskmill.model.effects import Answer, Collected, Effect, Placed
from taskmill.model.errors import StoreError
from taskmill.rules.arrivals import arrive
from taskmill.store.sqlite.carrying import run_rule
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.texts import answer_json, answer_of, request_json, request_of, task_of

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
            new = task_of(body)
            placed = run_rule(db, arrive(new, task, change.now_ms))
            if isinstance(placed, Placed):
                done.append((Submit((new,)), (placed,)))
            continue
        try:
            request = request_of(body, now_ms=change.now_ms)
        except ValueError as error:
            log.error("a request is refused: %s", error)
            effect: Effect | StoreError = StoreError(f"the dispatcher refuses it: {error}")
        else:
            if isinstance(request, Delete):
                request = attrs.evolve(request, keep=request.keep | change.keep)
            effect = obey(db, request)
            if not isinstance(effect, StoreError):
                done.append((request, effect))
        db.execute(SQL["answer"], (answer_json(effect), number))
    if rows:
        db.execute(SQL["forget_announced"], (rows[-1][0],))
        db.execute(SQL["forget_answered"], (change.now_ms - KEPT_MS,))
    return Collected(done=tuple(done), has_more=len(rows) == change.limit)


def ask(db: sqlite3.Connection, request: Request, now_ms: int) -> int:
    """Leave a request; return the number under which it is answered."""
    number = db.execute(SQL["ask"], (request_json(request), now_ms)).lastrowid
    return number or 0


def take_answer(db: sqlite3.Connection, number: int) -> Answer | None:
    """The answer to a request, which is forgotten with that; None while there is none."""
    row = db.execute(SQL["take_answer"], (number,)).fetchone()
    return None if row is None else answer_of(row[0])
