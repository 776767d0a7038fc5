"""How a selection becomes SQL: from a closed set of clauses, with every value bound.

A selection has *conditions*, which are clauses on a row of the tasks, and *sources*, which are
statements that read the ids of the tasks that pass some of these conditions off an index.
`reading` chooses the source; what it does not vouch for is checked row by row. Without statistics
SQLite would not know which index is the selective one, so each statement is held to its own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime

import attrs

from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import EPOCH, MILLISECOND, to_ms
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.tags import prefix_range

MAX_ID = 2**63 - 1

_ACTIVE = ACTIVE - {TaskStatus.PAUSED}
_INDEXED = {
    TaskStatus.PENDING: SQL["among_pending"],
    TaskStatus.RUNNING: SQL["among_running"],
    TaskStatus.BLOCKED: SQL["among_blocked"],
    TaskStatus.WAITING: SQL["among_waiting"],
}

_CLAUSES = {
    "active": "t.finished_at_ms IS NULL",
    "ended": "t.finished_at_ms IS NOT NULL",
    "status": "t.status IN (SELECT value FROM json_each(:statuses))",
    "paused": """(t.status <> :pending OR :is_paused = (
        EXISTS (SELECT 1 FROM taskmill_pauses WHERE scope = 'scheduler' AND ended_ms IS NULL)
        OR t.domain IN (
            SELECT name FROM taskmill_pauses WHERE scope = 'domain' AND ended_ms IS NULL
        )
        OR coalesce(t.group_name IN (
            SELECT name FROM taskmill_pauses WHERE scope = 'group' AND ended_ms IS NULL
        ), 0)
    ))""",
    "domain": "t.domain = :domain",
    "types": "t.type IN (SELECT value FROM json_each(:types))",
    "ids": "t.id IN (SELECT value FROM json_each(:ids))",
    "group": "t.group_name IS :group",
    "parent": "t.parent = :parent",
    "key": "t.key = :key",
    "tag_prefix": """EXISTS (
        SELECT 1 FROM taskmill_tags AS tag
        WHERE tag.task = t.id AND tag.key >= :prefix AND tag.key < :prefix_end
    )""",
    "created_before": "t.created_at_ms < :created_before_ms",
    "created_after": "t.created_at_ms > :created_after_ms",
}
_HAS_TAG = """EXISTS (
    SELECT 1 FROM taskmill_tags AS tag
    WHERE tag.task = t.id AND tag.key = :tag_key_{n} AND tag.value = :tag_value_{n}
)"""
_UNION = "\nUNION ALL\n"


@attrs.frozen(kw_only=True)
class Source:
    """A statement that reads ids off an index."""

    sql: str
    vouches: frozenset[str]
    """The conditions that the tasks with these ids pass."""
    values: Mapping[str, object] = attrs.field(factory=dict[str, object])
    repeats: bool = False
    """Whether it may give an id more than once."""


@attrs.frozen(kw_only=True)
class Terms:
    """A selection in SQL."""

    conditions: Mapping[str, str]
    by_status: Source | None
    """None where every status is wanted."""
    sources: tuple[Source, ...]
    """The others that there are."""
    values: Mapping[str, object]

    def left_by(self, source: Source | None) -> list[str]:
        """The clauses that a source does not vouch for."""
        vouched = source.vouches if source is not None else ()
        return [clause for name, clause in self.conditions.items() if name not in vouched]


def terms(
    selection: Selection,
    *,
    is_any_paused: bool,
    tag_domains: Callable[[list[int]], list[str]],
) -> Terms | None:
    """The selection in SQL; None where its statuses name no task.

    ``tag_domains`` gives the domains of tagged tasks: of active ones for 1, of ended ones for 0.
    """
    stored = _stored(selection.statuses, is_any_paused=is_any_paused)
    if not stored:
        return None
    values: dict[str, object] = _values(selection, stored)
    names = [*_status_names(selection, stored, is_any_paused=is_any_paused), *_names(selection)]
    conditions = {name: _CLAUSES[name] for name in names}
    for n, (key, value) in enumerate(selection.tags.items()):
        conditions[f"tag_{n}"] = _HAS_TAG.format(n=n)
        values |= {f"tag_key_{n}": key, f"tag_value_{n}": value}
    sources = _sources(selection)
    if selection.tags or selection.tag_prefix is not None:
        lives = [*([1] if stored & _ACTIVE else []), *([0] if stored & TERMINAL else [])]
        domains = tag_domains(lives) if selection.domain is None else [selection.domain]
        values |= {"lives": json.dumps(lives), "domains": json.dumps(domains)}
        sources += _tag_sources(selection)
    return Terms(
        conditions=conditions,
        by_status=_by_status(stored),
        sources=tuple(sources),
        values=values,
    )


# --- statements ----------------------------------------------------------------------------------


def size(source: Source) -> str:
    """How many ids a source gives; it stops at ``:bound``."""
    return f"SELECT count(*) FROM (SELECT 1 FROM ({source.sql}) LIMIT :bound)"


def matching(of: Terms, source: Source | None) -> str:
    """The ids of all tasks that the selection names, in no order."""
    left = of.left_by(source)
    if source is not None and not left:
        distinct = "DISTINCT " if source.repeats else ""
        return f"SELECT {distinct}id FROM ({source.sql})"
    if source is not None:
        left.insert(0, f"t.id IN ({source.sql})")
    return f"SELECT t.id AS id FROM taskmill_tasks AS t NOT INDEXED{_where(left)}"


def all_ids(of: Terms, source: Source | None) -> str:
    """The ids of all tasks, in order."""
    return f"{matching(of, source)} ORDER BY id"


def first_ids(of: Terms, source: Source | None) -> str:
    """The first ``:limit`` ids behind ``:after``; for a source that gives few of all tasks."""
    return f"SELECT id FROM ({matching(of, source)}) WHERE id > :after ORDER BY id LIMIT :limit"


def next_ids(of: Terms, source: Source | None) -> str:
    """The same, task by task; for a source that gives many of all tasks.

    Where no task has been read yet, it begins at the first that the source gives: what is active
    is most often behind all that has ended.
    """
    begin = "t.id > :after"
    if source is not None:
        first = f"SELECT min(id) FROM ({source.sql}) WHERE :after = 0"
        begin = f"t.id >= coalesce(({first}), :after + 1)"
    where = _where([begin, *of.left_by(None)])
    return (
        f"SELECT t.id AS id FROM taskmill_tasks AS t NOT INDEXED{where} ORDER BY t.id LIMIT :limit"
    )


def last_ended(of: Terms, source: Source) -> str:
    """The last ``:limit`` ids by the end of their tasks; for a source that gives few."""
    left = [f"t.id IN ({source.sql})", "t.finished_at_ms IS NOT NULL", _BEFORE]
    where = _where([*left, *of.left_by(source)])
    return (
        f"SELECT t.id AS id, t.finished_at_ms AS at FROM taskmill_tasks AS t NOT INDEXED{where}"
        f"{_LAST_FIRST}"
    )


def ended_by_status(of: Terms, statuses: Iterable[TaskStatus]) -> tuple[str, dict[str, object]]:
    """The same, from the index of the ended; with the values it takes besides."""
    values: dict[str, object] = {}
    parts: list[str] = []
    left = [clause for name, clause in of.conditions.items() if name not in ("status", "ended")]
    for n, status in enumerate(sorted(statuses)):
        values[f"ended_{n}"] = status.value
        where = _where([f"t.status = :ended_{n}", "t.finished_at_ms IS NOT NULL", _BEFORE, *left])
        parts.append(
            "SELECT * FROM (SELECT t.id AS id, t.finished_at_ms AS at "
            f"FROM taskmill_tasks AS t INDEXED BY taskmill_finished{where}{_LAST_FIRST})"
        )
    return f"{_UNION.join(parts)}{_LAST_FIRST}", values


_BEFORE = "(t.finished_at_ms, t.id) < (:ended_before_ms, :before)"
_LAST_FIRST = " ORDER BY at DESC, id DESC LIMIT :limit"


def count_by_tag(of: Terms, source: Source | None) -> str:
    """How many of all tasks have each value of the tag ``:counted``."""
    return (
        f"SELECT tag.value, count(*) FROM ({matching(of, source)}) AS chosen "
        "CROSS JOIN taskmill_tags AS tag ON tag.task = chosen.id AND tag.key = :counted "
        "GROUP BY tag.value"
    )


def count(of: Terms, source: Source | None) -> str:
    """How many tasks there are."""
    return f"SELECT count(*) FROM ({matching(of, source)})"


def _where(clauses: list[str]) -> str:
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


# --- terms ---------------------------------------------------------------------------------------


def _stored(statuses: frozenset[TaskStatus], *, is_any_paused: bool) -> frozenset[TaskStatus]:
    """The statuses that rows have: a paused task is stored as pending."""
    if TaskStatus.PAUSED not in statuses:
        return statuses
    rest = statuses - {TaskStatus.PAUSED}
    return rest | {TaskStatus.PENDING} if is_any_paused else rest


def _status_names(
    selection: Selection, stored: frozenset[TaskStatus], *, is_any_paused: bool
) -> Iterable[str]:
    if stored == _ACTIVE:
        yield "active"
    elif stored == TERMINAL:
        yield "ended"
    elif stored != _ACTIVE | TERMINAL:
        yield "status"
    one_of_both = {TaskStatus.PENDING, TaskStatus.PAUSED} & selection.statuses
    if is_any_paused and len(one_of_both) == 1:
        yield "paused"


def _names(selection: Selection) -> Iterable[str]:
    for name in ("domain", "types", "ids", "parent", "key", "tag_prefix"):
        if getattr(selection, name) is not None:
            yield name
    if not selection.any_group:
        yield "group"
    for name in ("created_before", "created_after"):
        if getattr(selection, name) is not None:
            yield name


def _by_status(stored: frozenset[TaskStatus]) -> Source | None:
    active, ended = stored & _ACTIVE, stored & TERMINAL
    if active == _ACTIVE and ended == TERMINAL:
        return None
    parts = [_INDEXED[status] for status in sorted(active)]
    if ended:
        parts.append(SQL["among_finished"])
    return Source(sql=_UNION.join(parts), vouches=frozenset({"status", "active", "ended"}))


def _sources(selection: Selection) -> list[Source]:
    found: list[Source] = []
    if selection.ids is not None:
        found.append(Source(sql=SQL["among_ids"], vouches=frozenset({"ids"})))
    if selection.parent is not None:
        found.append(Source(sql=SQL["among_children"], vouches=frozenset({"parent"})))
    if selection.key is not None:
        found.append(Source(sql=SQL["among_keyed"], vouches=frozenset({"key"})))
    return found


def _tag_sources(selection: Selection) -> list[Source]:
    also = frozenset({"domain", "active", "ended"})
    found = [
        Source(
            sql=SQL["among_tagged"],
            vouches=also | {f"tag_{n}"},
            values={"tag_key": key, "tag_value": value},
        )
        for n, (key, value) in enumerate(selection.tags.items())
    ]
    if selection.tag_prefix is not None:
        sql = SQL["among_prefixed"]
        found.append(Source(sql=sql, vouches=also | {"tag_prefix"}, repeats=True))
    return found


def _values(selection: Selection, stored: frozenset[TaskStatus]) -> dict[str, object]:
    before, after = selection.created_before, selection.created_after
    prefix = selection.tag_prefix
    return {
        "domain": selection.domain,
        "types": _json(selection.types or ()),
        "statuses": _json(status.value for status in stored),
        "ended": _json(status.value for status in stored & TERMINAL),
        "pending": TaskStatus.PENDING.value,
        "is_paused": int(TaskStatus.PAUSED in selection.statuses),
        "ids": _json(task for task in selection.ids or () if _is_possible(task)),
        "group": selection.group,
        "parent": selection.parent if _is_possible(selection.parent) else 0,
        "key": selection.key,
        "created_before_ms": None if before is None else _ceil_ms(before),
        "created_after_ms": None if after is None else to_ms(after),
        **({} if prefix is None else prefix_range(prefix)),
    }


def _ceil_ms(moment: datetime) -> int:
    return -(-(moment - EPOCH) // MILLISECOND)


def _is_possible(task: TaskId | None) -> bool:
    """Whether a task may have this id at all."""
    return task is not None and 0 < task <= MAX_ID


def _json(values: Iterable[str | TaskId]) -> str:
    return json.dumps([*values])
