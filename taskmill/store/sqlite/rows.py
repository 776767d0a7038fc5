"""How rows become values and values become rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from taskmill.model.changes import NewTask, Settlement
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import ErrorRecord, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms

NO_TAGS: Mapping[str, str] = MappingProxyType({})
_STATUS = {status.value: status for status in TaskStatus}


def record_of(row: Sequence[Any], errors: Sequence[Sequence[Any]] = ()) -> TaskRecord:
    """The record of a task row, its columns in the order the statements name them."""
    created: int
    ready: int
    due: int | None
    run_at: int | None
    started: int | None
    finished: int | None
    (
        task, kind, domain, payload, key, label, tags, group, status, priority, attempt, run,
        retries, options, created, ready, due, run_at, started, finished, parent, result, reason,
        preemptions,
    ) = row  # fmt: skip
    return TaskRecord(
        id=task,
        type=kind,
        domain=domain,
        payload=payload,
        key=key,
        label=kind if label is None else label,
        tags=NO_TAGS if tags is None else MappingProxyType(json.loads(tags)),
        group=group,
        status=_STATUS[status],
        priority=priority,
        attempt=attempt,
        run=run,
        max_retries=retries,
        options=options,
        created_at=from_ms(created),
        ready_at=from_ms(ready),
        due_at=from_ms(due),
        run_at=from_ms(run_at),
        started_at=from_ms(started),
        finished_at=from_ms(finished),
        parent=parent,
        result=result,
        reason=reason,
        preemptions=preemptions,
        errors=tuple(_error_of(error) for error in errors),
    )


def _error_of(row: Sequence[Any]) -> ErrorRecord:
    at: int
    kind, message, traceback, run, at = row
    return ErrorRecord(type=kind, message=message, traceback=traceback, run=run, at=from_ms(at))


def insert_values(new: NewTask, *, follow_up: bool) -> tuple[object, ...]:
    """The values of the insert statement."""
    return (
        new.type,
        new.domain,
        new.payload,
        new.identity,
        int(follow_up),
        new.key,
        new.label,
        tags_text(new.tags),
        new.group,
        (TaskStatus.BLOCKED if follow_up else TaskStatus.PENDING).value,
        new.priority,
        new.max_retries,
        new.options,
        new.created_at_ms,
        new.ready_at_ms,
        None if follow_up else new.due_at_ms,
        new.run_at_ms,
        new.parent,
    )


def tags_text(tags: Mapping[str, str]) -> str | None:
    """Tags as the row of a task has them."""
    return json.dumps(dict(tags), ensure_ascii=False, sort_keys=True) if tags else None


def settle_values(settlement: Settlement) -> dict[str, object]:
    """The values of the settle statements."""
    return {
        "id": settlement.id,
        "run": settlement.run,
        "status": settlement.status.value,
        "attempt": settlement.attempt,
        "due_at_ms": settlement.due_at_ms,
        "finished_at_ms": settlement.now_ms if settlement.status.is_terminal else None,
        "now_ms": settlement.now_ms,
        "result": settlement.result,
        "reason": settlement.reason,
        "preempted": int(settlement.preempted),
    }


def error_values(settlement: Settlement, error: ErrorRecord) -> dict[str, object]:
    """The values of the record_error statement."""
    return {
        "id": settlement.id,
        "run": settlement.run,
        "at_ms": to_ms(error.at),
        "type": error.type,
        "message": error.message,
        "traceback": error.traceback,
    }


def pause_of(row: Sequence[Any]) -> PauseRecord:
    """The record of a row of the pauses."""
    scope, name, since_ms, until_ms, ended_ms = row
    return PauseRecord(
        scope=PauseScope(scope),
        name=name,
        since_ms=since_ms,
        until_ms=until_ms,
        ended_ms=ended_ms,
    )
