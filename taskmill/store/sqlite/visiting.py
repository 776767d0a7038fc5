"""What a process does with the file that does not dispatch from it: it submits, and it asks."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from time import sleep

from taskmill.model.changes import Collect, Request, Submit
from taskmill.model.effects import Asked, Placed, Refused, Requested
from taskmill.model.outcomes import SubmitOutcome
from taskmill.store.sqlite import batch, inbox
from taskmill.store.sqlite.enlisting import enlist_all
from taskmill.store.sqlite.opening import pauses
from taskmill.store.sqlite.transactions import alone, transaction

LIMIT = 250
"""How many submits and requests are settled in one transaction."""
PAUSE = 0.01
"""For how many seconds others can write in between: SQLite lets nobody queue for the lock."""


def request(db: sqlite3.Connection, changes: Sequence[Request], *, now_ms: int) -> Asked:
    """Make the submits whose work nobody does yet, and ask for everything else; as one."""
    make = partial(_request, now_ms=now_ms)
    with transaction(db):
        effects = tuple(alone(db, make, change) for change in changes)
        return Asked(effects, pauses(db))


def settle(db: sqlite3.Connection, *, now_ms: int) -> None:
    """Answer everything that is in the inbox, in place of a dispatcher; others write in between."""
    has_more = True
    while has_more:
        with transaction(db):
            has_more = batch.collect(db, Collect(now_ms=now_ms, limit=LIMIT)).has_more
        if has_more:
            sleep(PAUSE)


def _request(
    db: sqlite3.Connection, change: Request, *, now_ms: int
) -> tuple[Placed, ...] | Refused | Requested:
    if isinstance(change, Submit):
        db.execute("SAVEPOINT submit")
        effect = enlist_all(db, change.tasks)
        is_taken = not isinstance(effect, Refused) and any(
            placed.outcome is not SubmitOutcome.INSERTED for placed in effect
        )
        if is_taken:
            db.execute("ROLLBACK TO submit")
        db.execute("RELEASE submit")
        if not is_taken:
            return effect
    return Requested(inbox.ask(db, change, now_ms))
