"""What ``--json`` prints: taskmill's values as JSON, times in UTC, lengths in seconds."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, cast

import attrs

from taskmill.cli.moments import utc
from taskmill.model.record import TaskRecord
from taskmill.model.schedules import Recurrence, ScheduleRecord
from taskmill.model.secret import redacted, without_secrets
from taskmill.rules.recurrence import rule_to_json

_JSON_FIELDS = ("payload", "result", "memo", "options")


def as_document(value: object) -> object:
    """``value`` as what `json.dumps` takes."""
    match value:
        case enum.Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return utc(value)
        case timedelta():
            return value.total_seconds()
        case TaskRecord():
            return task_document(value)
        case ScheduleRecord():
            return {**_fields(value), "payload": _loaded(value.payload)}
        case Mapping():
            items = cast("Mapping[object, object]", value)  # an isinstance check loses the types
            return {_name(key): as_document(item) for key, item in items.items()}
        case Set():
            members = cast("Set[str]", value)  # as above; all of ours are of texts
            return [as_document(item) for item in sorted(members)]
        case Sequence():
            elements = cast("Sequence[object]", value)  # as above
            return [as_document(item) for item in elements]
        case _ if isinstance(value, Recurrence):
            return json.loads(rule_to_json(value))
        case _:
            return _fields(value) if attrs.has(type(value)) else str(value)


def task_document(record: TaskRecord) -> dict[str, object]:
    """A task: the fields of its record; payload, result and memo as the JSON they are."""
    document = _fields(record)
    for name in _JSON_FIELDS:
        text = getattr(record, name)
        document[name] = None if text is None else _loaded(text)
    return {**document, "duration": as_document(record.duration)}


def dumped(document: object) -> str:
    """One JSON document as text, in ASCII, so that no terminal obeys what it holds."""
    return json.dumps(document, indent=2)


def _fields(value: object) -> dict[str, object]:
    fields: Sequence[attrs.Attribute[Any]] = getattr(type(value), "__attrs_attrs__", ())
    return {field.name: as_document(getattr(value, field.name)) for field in fields}


def _name(key: object) -> str:
    """The key of None is a group's: of the tasks without one."""
    return "" if key is None else str(as_document(key))


def _loaded(text: str) -> object:
    try:
        return without_secrets(json.loads(text))
    except (ValueError, RecursionError):
        return redacted(text)
