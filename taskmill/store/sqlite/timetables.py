"""How schedules become rows and rows become schedules."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from taskmill.model.changes import Timetable
from taskmill.model.schedules import ScheduleStatus
from taskmill.store.sqlite.statements import SQL
from taskmill.store.sqlite.texts import task_json, task_of


def put(db: sqlite3.Connection, timetable: Timetable) -> None:
    """Write a schedule, new or in place of the one of its name."""
    db.execute(
        SQL["put_timetable"],
        (
            timetable.domain,
            timetable.name,
            task_json(timetable.template),
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
    return tuple(_timetable_of(row) for row in db.execute(statement, values).fetchall())


def _timetable_of(row: Sequence[Any]) -> Timetable:
    (
        domain, name, template, rule, status, anchor_ms, next_ms, runs, last_task, last_ms, reason,
        is_declared, created_at_ms,
    ) = row  # fmt: skip
    return Timetable(
        domain=domain,
        name=name,
        template=task_of(template),
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
