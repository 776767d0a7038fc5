"""What one batch does to the database: every change by its rule, in one transaction."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Literal, assert_never, cast

import attrs

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Change,
    Claim,
    ClaimNew,
    Collect,
    Delete,
    Expire,
    Fire,
    NewTask,
    Pause,
    PauseUndeclared,
    Promote,
    Prune,
    Ready,
    Refill,
    Reorder,
    Resume,
    Revive,
    ReviveWhere,
    SetSchedule,
    SetTags,
    Settlement,
    SteerSchedule,
    Submit,
)
from taskmill.model.effects import Collected, Effect, Placed, Promoted, Refilled, Refused, Settled
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.rules.dedup import inserted, place
from taskmill.rules.ending import cancel, cancel_where, end_run, expire
from taskmill.rules.reviving import reorder, revive, revive_where, set_tags
from taskmill.rules.schedules import fire, pause_undeclared, set_schedule, steer_schedule
from taskmill.store.sqlite import inbox, tags
from taskmill.store.sqlite.carrying import full_record, make_way, run_rule
from taskmill.store.sqlite.deleting import delete
from taskmill.store.sqlite.rows import insert_values, is_plain, is_root, pause_of, plain_values
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.transactions import alone, is_of_the_disk, transaction

log = logging.getLogger("taskmill.store")

COMPLETED = TaskStatus.COMPLETED
_NOBODY = TaskId(0)
"""An id that no task has."""
_DONE = Settled(status=COMPLETED)
_SHORT = 4096
"""Characters of a result; a longer one is not worth being copied into a list of them."""


def apply(
    db: sqlite3.Connection,
    changes: Sequence[Change],
    *,
    check: Callable[[sqlite3.Connection], None] | None = None,
) -> list[Effect | StoreError]:
    """Apply ``changes`` in one transaction; where one fails, redo them one by one.

    What ``check`` raises in it before the first change is raised, and nothing is applied.
    Whatever a change raises is its own: the others are not lost for it. Raises sqlite3.Error
    where the transaction itself cannot begin or commit.
    """
    with transaction(db):
        if check is not None:
            check(db)
        try:
            effects: list[Effect | StoreError] = []
            _apply_all(db, changes, effects)
        except Exception as error:
            if not db.in_transaction or is_of_the_disk(error):
                raise
            db.execute("ROLLBACK")
            db.execute("BEGIN IMMEDIATE")
            effects = []
            for change in changes:
                effects.append(_apply_alone(db, _told_by(change, effects)))
        tags.finished(db, [*_ended_alone(changes, effects)])
    return effects


def _ended_alone(
    changes: Sequence[Change], effects: Sequence[Effect | StoreError]
) -> Iterator[TaskId]:
    """The tagged tasks whose end concerned nobody else, so that nothing was put."""
    for change, effect in zip(changes, effects, strict=True):
        if not isinstance(change, Settlement) or not change.has_tags:
            continue
        if isinstance(effect, Settled) and effect.after is None and effect.status in TERMINAL:
            yield change.id


def _apply_alone(db: sqlite3.Connection, change: Change) -> Effect | StoreError:
    if isinstance(change, Claim):
        return alone(db, _claim_alone, change)
    return alone(db, _apply_one, change)


def _claim_alone(db: sqlite3.Connection, claim: Claim) -> TaskRecord | Refused | None:
    made: TaskRecord | Refused | None
    db.execute("SAVEPOINT claim")
    try:
        [made] = _claim(db, [claim])
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a row that is no task makes of itself
        db.execute("ROLLBACK TO claim")
        made = Refused(_end_unreadable(db, claim, error))
    db.execute("RELEASE claim")
    return made


def _end_unreadable(db: sqlite3.Connection, claim: Claim, error: Exception) -> str:
    """Take a row that is no task any more out of the queue, or it would be claimed for ever.

    Returns the reason that it ends with. A follow-up of it, which only a retried task can have
    here, runs after the next opening.
    """
    about = {"task_id": claim.id}  # what else its row says may be what cannot be read
    log.error("task %d cannot be read, and is cancelled", claim.id, exc_info=error, extra=about)
    reason = f"what is stored of this task cannot be read: {error!r:.300}"
    db.execute(SQL["end_unreadable"], {"id": claim.id, "now_ms": claim.now_ms, "reason": reason})
    tags.finished(db, [claim.id])
    return reason


def _apply_all(
    db: sqlite3.Connection, changes: Sequence[Change], effects: list[Effect | StoreError]
) -> None:
    """Apply ``changes`` in order; those alike that follow each other are one statement.

    A statement each would cost twice as much, and each time wait for a busy event loop to let
    this thread go on.
    """
    for likeness, group in groupby(changes, _likeness):
        alike = [_told_by(change, effects) for change in group]
        match likeness:
            case (_, _):
                effects += _claim(db, cast("list[Claim]", alike))
            case "settle":
                effects += _complete(db, cast("list[Settlement]", alike))
            case "submit":
                effects += _arrive(db, cast("list[Submit]", alike))
            case None:
                effects += (_apply_one(db, change) for change in alike)
            case _:
                assert_never(likeness)


def _likeness(change: Change) -> tuple[Literal["claim"], int] | Literal["settle", "submit"] | None:
    """What changes that can be one statement have in common: the time of claims, a run that has
    just returned, the submit of one task that comes from no other; None for the rest."""
    if isinstance(change, Claim | ClaimNew):
        return "claim", change.now_ms
    if isinstance(change, Submit) and len(change.tasks) == 1 and is_root(change.tasks[0]):
        return "submit"
    if isinstance(change, Settlement) and change.status is COMPLETED:
        is_short = change.result is None or len(change.result) <= _SHORT
        if is_short and change.io is None and not change.finalizes:
            return "settle"
    return None


def _told_by(change: Change, effects: Sequence[Effect | StoreError]) -> Change:
    """A claim of what a submit before it has made, by its id; other changes as they are."""
    if not isinstance(change, ClaimNew):
        return change
    submitted = effects[change.place]
    task = _NOBODY
    if isinstance(submitted, tuple) and submitted[0].ready is not None:
        task = submitted[0].id
    return Claim(task, change.now_ms, change.has_undo)


def _apply_one(db: sqlite3.Connection, change: Change) -> Effect:  # noqa: C901 - a case each
    match change:
        case Claim():
            [record] = _claim(db, [change])
            return record
        case ClaimNew():
            raise TypeError("which task it is has to be found first")
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
        case CancelWhere():
            return run_rule(db, cancel_where(change))
        case Revive():
            return run_rule(db, revive(change))
        case ReviveWhere():
            return run_rule(db, revive_where(change))
        case Reorder():
            return run_rule(db, reorder(change))
        case Expire():
            return run_rule(db, expire(change))
        case SetTags():
            return run_rule(db, set_tags(change))
        case Collect():
            return collect(db, change)
        case Fire():
            return run_rule(db, fire(change))
        case SetSchedule():
            return run_rule(db, set_schedule(change))
        case SteerSchedule():
            return run_rule(db, steer_schedule(change))
        case PauseUndeclared():
            return run_rule(db, pause_undeclared(change))
        case Delete() | Prune():
            return delete(db, change)
        case Pause() | Resume():
            return _hold(db, change)
        case _:
            assert_never(change)


def collect(db: sqlite3.Connection, change: Collect) -> Collected:
    """Settle what is in the inbox, inside a transaction; a request fails alone."""
    return inbox.collect(db, change, _apply_alone)


def _submit(db: sqlite3.Connection, change: Submit) -> tuple[Placed, ...] | Refused:
    """All of the tasks or none: a refusal takes back what was inserted before it."""
    alone = len(change.tasks) == 1
    if not alone:
        at_once = _insert_all(db, change.tasks)
        if at_once is not None:
            return at_once
        db.execute("SAVEPOINT submit")
    placed: list[Placed] = []
    for index, task in enumerate(change.tasks):
        effect = run_rule(db, place(task))
        if isinstance(effect, Refused):
            if alone:
                return effect
            db.execute("ROLLBACK TO submit")
            db.execute("RELEASE submit")
            reason = f"task {index} of {len(change.tasks)}: {effect.reason}"
            return Refused(reason, effect.fault)
        placed.append(effect)
    if not alone:
        db.execute("RELEASE submit")
    return tuple(placed)


def _arrive(
    db: sqlite3.Connection, submits: Sequence[Submit]
) -> Iterator[tuple[Placed, ...] | Refused]:
    """Make submits of one root task each: all at once, where nothing stands in the way of any."""
    at_once = None
    if len(submits) > 1:
        at_once = _insert_all(db, [submit.tasks[0] for submit in submits])
    if at_once is None:
        yield from (_submit(db, submit) for submit in submits)
    else:
        yield from ((placed,) for placed in at_once)


def _insert_all(db: sqlite3.Connection, tasks: Sequence[NewTask]) -> tuple[Placed, ...] | None:
    """Insert tasks that nothing stands in the way of; None, and nothing done, if something does.

    Nobody else writes meanwhile, so that the ids AUTOINCREMENT gives follow each other.
    """
    if not all(is_root(task) for task in tasks):
        return None
    if db.execute(SQL["has_windows"]).fetchone() is not None:
        return None
    are_plain = all(is_plain(task) for task in tasks)
    statement = "insert_plain" if are_plain else "insert"
    values = plain_values if are_plain else _values
    rows = [values(task) for task in tasks]
    db.execute("SAVEPOINT insert_all")
    count = db.executemany(SQL[statement], rows).rowcount
    if count != len(tasks):
        db.execute("ROLLBACK TO insert_all")
        if make_way(db, tasks):
            count = db.executemany(SQL[statement], rows).rowcount
        if count != len(tasks):
            db.execute("ROLLBACK TO insert_all")
    db.execute("RELEASE insert_all")
    if count != len(tasks):
        return None
    last = int(db.execute("SELECT last_insert_rowid()").fetchone()[0])
    first = last - len(tasks) + 1
    tags.insert(db, ((TaskId(first + n), task) for n, task in enumerate(tasks) if task.tags))
    return tuple(inserted(task, TaskId(first + index)) for index, task in enumerate(tasks))


def _values(task: NewTask) -> tuple[object, ...]:
    return insert_values(task, follow_up=False)


def _complete(db: sqlite3.Connection, settlements: Sequence[Settlement]) -> Iterator[Settled]:
    """Settle runs that have returned: those whose end is nobody else's concern at once."""
    rows = [(each.id, each.run, each.now_ms, each.result) for each in settlements]
    ended = json.dumps(rows, ensure_ascii=False)  # what is no UTF-8 is refused, not made it
    done = {task for (task,) in db.execute(SQL["complete"], (ended,)).fetchall()}
    for settlement in settlements:
        yield _DONE if settlement.id in done else run_rule(db, end_run(settlement))


def _claim(db: sqlite3.Connection, claims: Sequence[Claim]) -> list[TaskRecord | None]:
    """Make claims of one time."""
    values = {"ids": _json([claim.id for claim in claims]), "now_ms": claims[0].now_ms}
    rows = db.execute(SQL["claim"], values).fetchall()
    claimed = {record.id: record for record in (full_record(db, row) for row in rows)}
    with_undo = [claim.id for claim in claims if claim.has_undo and claim.id in claimed]
    if with_undo:
        db.execute(SQL["has_undo"], (_json(with_undo),))
        claimed |= {task: attrs.evolve(claimed[task], has_undo=True) for task in with_undo}
    return [claimed.pop(claim.id, None) for claim in claims]


def _refill(db: sqlite3.Connection, change: Refill) -> Refilled:
    ready_at_ms, task = change.after
    rows = db.execute(
        SQL["refill"],
        {
            "type": change.type,
            "group": change.group,
            "priority": change.priority,
            "stage": change.stage,
            "ready_at_ms": ready_at_ms,
            "id": task,
            "limit": change.limit,
        },
    ).fetchall()
    return Refilled(tuple(rows))


def _promote(db: sqlite3.Connection, change: Promote) -> Promoted:
    rows = db.execute(SQL["promote"], {"now_ms": change.now_ms, "limit": change.limit}).fetchall()
    return Promoted(
        ready=tuple(Ready(*row[:6]) for row in rows),
        retries=Counter(row[0] for row in rows if row[6] > 0),
        next_due_ms=db.execute(SQL["next_due"]).fetchone()[0],
    )


def _hold(db: sqlite3.Connection, change: Pause | Resume) -> PauseRecord | None:
    values = attrs.asdict(change)
    statement = "pause" if isinstance(change, Pause) else "resume"
    rows = db.execute(SQL[statement], {**values, "scope": change.scope.value}).fetchall()
    return pause_of(rows[0]) if rows else None


def _json(ids: Sequence[TaskId]) -> str:
    return json.dumps(ids)
