"""How rows become values and values become rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import attrs

from taskmill.model.changes import NewTask, Settlement
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms

NO_TAGS: Mapping[str, str] = MappingProxyType({})
_STATUS = {status.value: status for status in TaskStatus}
_STAGE = {value: Stage(value) for value in (0, 1, 2, 4, 5, 6, 8, 16, 17, 20, 21)}
CANCEL = OnDependencyFailure.CANCEL
MAX_INTERRUPTIONS = 5
"""The default of the column."""


def record_of(
    row: Sequence[Any],
    errors: Sequence[Sequence[Any]] = (),
    depends_on: tuple[TaskId, ...] = (),
) -> TaskRecord:
    """The record of a task row, its columns in the order of `COLUMNS`."""
    created: int
    ready: int
    due: int | None
    run_at: int | None
    started: int | None
    finished: int | None
    expires: int | None
    scheduled: int | None
    (
        task, kind, domain, payload, key, label, tags, group, status, priority, attempt, run,
        retries, options, created, ready, due, run_at, started, finished, parent, result, reason,
        preemptions, expires, policy, schedule, scheduled, io, stage, memo, stop_cause, fail_fast,
        is_follow_up, has_undo, interruptions, unique_for, _,
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
        expires_at=from_ms(expires),
        depends_on=depends_on,
        on_dependency_failure=CANCEL if policy is None else OnDependencyFailure(policy),
        schedule=schedule,
        scheduled_for=from_ms(scheduled),
        io=None if io is None else IoTotals(**json.loads(io)),
        stage=_STAGE[stage],
        memo=memo,
        ends_as=None if stop_cause is None else _STATUS[stop_cause],
        fail_fast=bool(fail_fast),
        is_follow_up=bool(is_follow_up),
        has_undo=bool(has_undo),
        interruptions=interruptions,
        unique_for=None if unique_for is None else timedelta(milliseconds=unique_for),
        errors=tuple(_error_of(error) for error in errors),
    )


def is_linked(row: Sequence[Any]) -> bool:
    """Whether the end of the task of a row concerns others, or it depends on some."""
    return bool(row[-1])


def _error_of(row: Sequence[Any]) -> ErrorRecord:
    at: int
    kind, message, traceback, run, at = row
    return ErrorRecord(type=kind, message=message, traceback=traceback, run=run, at=from_ms(at))


def is_root(new: NewTask) -> bool:
    """Whether a new task has neither a parent nor what it waits for."""
    return new.parent is None and not new.depends_on


def is_plain(new: NewTask) -> bool:
    """Whether the insert_plain statement says all there is to say of a new task."""
    return (
        new.label is None
        and not new.tags
        and new.due_at_ms is None
        and new.run_at_ms is None
        and is_root(new)
        and new.max_retries is None
        and new.options is None
        and new.expires_at_ms is None
        and new.ttl_ms is None
        and new.unique_for_ms is None
        and new.schedule is None
        and new.fail_fast
        and new.on_dependency_failure is CANCEL
        and new.max_interruptions == MAX_INTERRUPTIONS
    )


def plain_values(new: NewTask) -> tuple[object, ...]:
    """The values of the insert_plain statement."""
    return (
        new.type,
        new.domain,
        new.payload,
        new.identity,
        new.key,
        new.group,
        new.priority,
        new.created_at_ms,
        new.ready_at_ms,
    )


def insert_values(
    new: NewTask,
    *,
    follow_up: bool,
    status: TaskStatus = TaskStatus.PENDING,
    arriving: bool = False,
) -> tuple[object, ...]:
    """The values of the insert statement."""
    waits = follow_up or arriving or status is TaskStatus.BLOCKED
    policy = new.on_dependency_failure
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
        status.value,
        new.priority,
        new.max_retries,
        new.options,
        new.created_at_ms,
        new.ready_at_ms,
        None if waits else new.due_at_ms,
        new.run_at_ms,
        new.parent,
        new.expires_at_ms,
        _lifetime_ms(new),
        int(new.ttl_ms is not None),
        int(new.fail_fast),
        None if policy is CANCEL else policy.value,
        new.max_interruptions,
        new.unique_for_ms,
        new.schedule,
        new.scheduled_for_ms,
        int(
            new.parent is not None
            or new.unique_for_ms is not None
            or new.schedule is not None
            or bool(new.depends_on)
        ),
        int(Stage.ARRIVING if arriving else Stage.EXECUTE),
    )


def _lifetime_ms(new: NewTask) -> int | None:
    if new.ttl_ms is not None or new.expires_at_ms is None:
        return new.ttl_ms
    return new.expires_at_ms - new.created_at_ms


def tags_text(tags: Mapping[str, str]) -> str | None:
    """Tags as a row holds them."""
    return json.dumps(dict(tags), ensure_ascii=False, sort_keys=True) if tags else None


def settle_values(settlement: Settlement) -> dict[str, object]:
    """The values of the settle statement."""
    return {
        "id": settlement.id,
        "run": settlement.run,
        "status": settlement.status.value,
        "attempt": settlement.attempt,
        "due_at_ms": settlement.due_at_ms,
        "finished_at_ms": settlement.now_ms if settlement.status.is_terminal else None,
        "result": settlement.result,
        "reason": settlement.reason,
        "preempted": int(settlement.preempted),
        "io": None if settlement.io is None else _io_json(settlement.io),
    }


def put_values(record: TaskRecord) -> dict[str, object]:
    """The values of the put statement."""
    return {
        "id": record.id,
        "status": record.status.value,
        "priority": record.priority,
        "attempt": record.attempt,
        "ready_at_ms": to_ms(record.ready_at),
        "due_at_ms": _ms(record.due_at),
        "run_at_ms": _ms(record.run_at),
        "finished_at_ms": _ms(record.finished_at),
        "result": record.result,
        "reason": record.reason,
        "stop_cause": None if record.ends_as is None else record.ends_as.value,
        "preemptions": record.preemptions,
        "expires_at_ms": _ms(record.expires_at),
        "stage": int(record.stage),
        "memo": record.memo,
        "is_follow_up": int(record.is_follow_up),
        "interruptions": record.interruptions,
        "io": None if record.io is None else _io_json(record.io),
        "has_undo": int(record.has_undo),
    }


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _io_json(io: IoTotals) -> str:
    return json.dumps(attrs.asdict(io))


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
