"""How tasks are found and read: which source a selection is looked up by, and its records."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import attrs

from taskmill.model.effects import Ends
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.store.sqlite import selection as clauses
from taskmill.store.sqlite.rows import is_linked, record_of
from taskmill.store.sqlite.selection import MAX_ID, Source, Terms
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.tags import prefix_range

T = TypeVar("T")

FEW, MANY = 1_000, 100_000
"""So many tasks are always, and never, looked at all together for one page."""
DENSE = 8
"""Where one of so many tasks is wanted, a page is found by going from task to task."""


def in_one_view(db: sqlite3.Connection, read: Callable[[sqlite3.Connection], T]) -> T:
    """Read as of one commit, however many statements that takes."""
    db.execute("BEGIN")
    try:
        return read(db)
    finally:
        db.execute("COMMIT")


def tasks(
    db: sqlite3.Connection, selection: Selection, *, limit: int, after: TaskId | None
) -> list[TaskRecord]:
    """The first tasks behind ``after``, by id."""
    of = _terms(db, selection)
    if of is None:
        return []
    statement, values = page_statement(db, of, after or TaskId(0))
    rows = db.execute(statement, {**values, "limit": limit}).fetchall()
    return _records(db, [row[0] for row in rows])


def ended(
    db: sqlite3.Connection,
    selection: Selection,
    *,
    limit: int,
    after: tuple[int, TaskId] | None,
) -> list[TaskRecord]:
    """The tasks that ended last, the last one first."""
    statuses = selection.statuses & TERMINAL
    of = _terms(db, attrs.evolve(selection, statuses=statuses))
    if of is None:
        return []
    statement, values = ended_statement(db, of, statuses)
    ended_before_ms, before = after or (MAX_ID, TaskId(MAX_ID))
    position = {"ended_before_ms": ended_before_ms, "before": before, "limit": limit}
    rows = db.execute(statement, {**values, **position}).fetchall()
    return _records(db, [row[0] for row in rows])


def ids(db: sqlite3.Connection, selection: Selection) -> list[TaskId]:
    """The ids of all tasks, in order."""
    of = _terms(db, selection)
    if of is None:
        return []
    source, values = _best(db, of)
    return [TaskId(task) for (task,) in db.execute(clauses.all_ids(of, source), values)]


def ends(db: sqlite3.Connection, task_type: str, recent: int) -> Ends:
    """How the tasks of a type have ended."""
    counts = db.execute(SQL["ends_of_type"], {"type": task_type}).fetchall()
    last = db.execute(SQL["last_of_type"], {"type": task_type, "limit": recent}).fetchall()
    moved = (IoTotals(**json.loads(io)) for _, io in last if io is not None)
    return Ends(
        counts={TaskStatus(status): number for status, number in counts},
        durations_ms=tuple(duration for duration, _ in last),
        io=sum(moved, start=IoTotals()),
    )


def count(db: sqlite3.Connection, selection: Selection) -> int:
    """How many tasks there are."""
    of = _terms(db, selection)
    if of is None:
        return 0
    source, values = _best(db, of)
    return int(db.execute(clauses.count(of, source), values).fetchone()[0])


def count_by_tag(db: sqlite3.Connection, selection: Selection, key: str) -> dict[str, int]:
    """How many tasks have each value of a tag."""
    counts: Counter[str] = Counter()
    lives = _whole_lives(selection)
    if lives is None:
        of = _terms(db, selection)
        if of is not None:
            source, values = _best(db, of)
            statement = clauses.count_by_tag(of, source)
            counts.update(_pairs(db, statement, {**values, "counted": key}))
    else:
        for is_active in lives:
            for domain in _domains(db, selection.domain, [is_active]):
                values = {"is_active": is_active, "domain": domain, "counted": key}
                counts.update(_pairs(db, SQL["tag_values"], values))
    return dict(sorted(counts.items()))


def tag_keys(db: sqlite3.Connection, domain: str | None, prefix: str) -> list[str]:
    """The tag keys that active tasks have."""
    keys: set[str] = set()
    for each in _domains(db, domain, [1]):
        values = {"domain": each, **prefix_range(prefix)}
        keys.update(key for (key,) in db.execute(SQL["tag_keys"], values))
    return sorted(keys)


# --- how a selection is looked up ----------------------------------------------------------------


def _terms(db: sqlite3.Connection, selection: Selection) -> Terms | None:
    return clauses.terms(
        selection,
        is_any_paused=db.execute(SQL["is_any_paused"]).fetchone() is not None,
        tag_domains=lambda lives: _domains(db, None, lives),
    )


def _domains(db: sqlite3.Connection, domain: str | None, lives: Iterable[int]) -> list[str]:
    """The domains to look into for tags: of active tasks for 1, of ended ones for 0."""
    if domain is not None:
        return [domain]
    return sorted(
        {
            name
            for is_active in lives
            for (name,) in db.execute(SQL["tag_domains"], {"is_active": is_active})
        }
    )


def page_statement(
    db: sqlite3.Connection, of: Terms, after: TaskId
) -> tuple[str, dict[str, object]]:
    """The statement that finds the ids of a page, and its values but for the limit."""
    span = int(db.execute(SQL["last_id"]).fetchone()[0]) - after
    bound = max(FEW, min(MANY, span // DENSE))
    source, found = _smallest(db, of, _all(of), bound)
    values = {**_values(of, source), "after": after}
    if source is None or found >= bound:
        return clauses.next_ids(of, source), values
    return clauses.first_ids(of, source), values


def ended_statement(
    db: sqlite3.Connection, of: Terms, statuses: Iterable[TaskStatus]
) -> tuple[str, dict[str, object]]:
    """The statement that finds the ids of the tasks that ended last, and its values."""
    source, found = _smallest(db, of, of.sources, MANY // DENSE)
    if source is not None and found < MANY // DENSE:
        return clauses.last_ended(of, source), _values(of, source)
    statement, values = clauses.ended_by_status(of, statuses)
    return statement, {**of.values, **values}


def _best(db: sqlite3.Connection, of: Terms) -> tuple[Source | None, dict[str, object]]:
    """The source to read all tasks by, and the values of a statement with it."""
    sources = _all(of)
    source = sources[0] if sources else None
    if len(sources) > 1:
        source, _ = _smallest(db, of, sources, MANY)
    return source, _values(of, source)


def _all(of: Terms) -> tuple[Source, ...]:
    return of.sources if of.by_status is None else (*of.sources, of.by_status)


def _smallest(
    db: sqlite3.Connection, of: Terms, sources: Sequence[Source], bound: int
) -> tuple[Source | None, int]:
    """The source that gives the fewest ids, and how many these are, up to ``bound``.

    Each source is only read as far as the best one before it, and one that gives many only where
    all of them do.
    """
    best: Source | None = None
    for limit in (min(FEW, bound), bound):
        least = limit
        for source in sources:
            values = {**_values(of, source), "bound": least}
            found = int(db.execute(clauses.size(source), values).fetchone()[0])
            if best is None or found < least:
                best, least = source, found
        if least < limit:
            return best, least
    return best, bound


def _values(of: Terms, source: Source | None) -> dict[str, object]:
    return {**of.values, **(source.values if source is not None else {})}


def _whole_lives(selection: Selection) -> list[int] | None:
    """What of the tags such a selection names, if they tell all that it looks at."""
    lives = {ACTIVE: [1], TERMINAL: [0], ACTIVE | TERMINAL: [1, 0]}.get(selection.statuses)
    anything = Selection(domain=selection.domain, statuses=selection.statuses)
    return lives if selection == anything else None


def _pairs(db: sqlite3.Connection, statement: str, values: Mapping[str, object]) -> dict[str, int]:
    return dict(db.execute(statement, values).fetchall())


# --- records -------------------------------------------------------------------------------------


def _records(db: sqlite3.Connection, ids: Sequence[TaskId]) -> list[TaskRecord]:
    """The tasks with these ids, in this order, with their errors."""
    rows = db.execute(SQL["records"], {"ids": json.dumps(ids)}).fetchall()
    records: dict[TaskId, TaskRecord] = {row[0]: record_of(row) for row in rows}
    errors = _errors(db, [task for task, record in records.items() if record.run > 0])
    needs = _needs(db, [row[0] for row in rows if is_linked(row)])
    for row in rows:
        task = row[0]
        if task in errors or task in needs:
            records[task] = record_of(row, errors.get(task, ()), tuple(needs.get(task, ())))
    return [records[task] for task in ids]


def _needs(db: sqlite3.Connection, ids: Sequence[TaskId]) -> dict[TaskId, list[TaskId]]:
    found: dict[TaskId, list[TaskId]] = defaultdict(list)
    if ids:
        for task, other in db.execute(SQL["needs_of_all"], {"ids": json.dumps(ids)}):
            found[task].append(other)
    return found


def _errors(db: sqlite3.Connection, ids: Sequence[TaskId]) -> dict[TaskId, list[Sequence[Any]]]:
    found: dict[TaskId, list[Sequence[Any]]] = defaultdict(list)
    if ids:
        for task, *error in db.execute(SQL["errors_of_all"], {"ids": json.dumps(ids)}):
            found[task].append(error)
    return found
