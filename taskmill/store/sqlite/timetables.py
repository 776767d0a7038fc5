"""How schedules become rows and rows become schedules."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

import attrs

from taskmill.model.changes import NewTask, Timetable
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.schedules import ScheduleStatus
from taskmill.store.sqlite.statements import SQL

_NONE_YET = bytes(16)
"""Where an occurrence has its identity."""


def put(db: sqlite3.Connection, timetable: Timetable) -> None:
    """Write a schedule, new or in place of the one of its name."""
    db.execute(
        SQL["put_timetable"],
        (
            timetable.domain,
            timetable.name,
            _template_json(timetable.template),
            timetable.rule,
            timetable.status.value,
            timetable.anchor_ms,
            timetable.next_ms,
            timetable.runs,
            timetable.last_task,
            timetable.last_ms,
            timetable.reason,
            int(timetable.is_declared),
            timetable.created_at_ms,
        ),
    )


def find(
    db: sqlite3.Connection, statement: str, values: tuple[object, ...]
) -> tuple[Timetable, ...]:
    """The schedules that a statement answers with."""
    return tuple(_timetable_of(row) for row in db.execute(SQL[statement], values).fetchall())


def _timetable_of(row: Sequence[Any]) -> Timetable:
    (
        domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
        is_declared, created_at_ms,
    ) = row  # fmt: skip
    return Timetable(
        domain=domain,
        name=name,
        template=_template_of(template),
        rule=rule,
        status=ScheduleStatus(status),
        anchor_ms=anchor_ms,
        next_ms=next_ms,
        runs=runs,
        last_task=last_task,
        last_ms=last_ms,
        reason=reason,
        is_declared=bool(is_declared),
        created_at_ms=created_at_ms,
    )


def _template_json(task: NewTask) -> str:
    fields = attrs.asdict(task, filter=lambda field, _: field.name != "identity")
    return json.dumps(fields | {"tags": dict(task.tags)}, ensure_ascii=False)


def _template_of(text: str) -> NewTask:
    fields: dict[str, Any] = json.loads(text)
    fields["depends_on"] = tuple(fields["depends_on"])
    fields["on_duplicate"] = OnDuplicate(fields["on_duplicate"])
    fields["on_dependency_failure"] = OnDependencyFailure(fields["on_dependency_failure"])
    return NewTask(**fields, identity=_NONE_YET)
