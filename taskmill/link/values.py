"""How snapshots, explanations and events are written as JSON values, and read back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar

import attrs
from cattrs.preconf.json import JsonConverter, make_converter
from cattrs.strategies import configure_tagged_union

from taskmill.model import events
from taskmill.model.errors import PayloadError
from taskmill.model.events import AnyTaskEvent, Lagged, ScopeEvent
from taskmill.model.schedules import Recurrence
from taskmill.model.snapshot import GroupSnapshot, SchedulerSnapshot

T = TypeVar("T")


@cache
def _converter() -> JsonConverter:
    converter = make_converter()
    converter.register_unstructure_hook(timedelta, lambda length: length.total_seconds())
    converter.register_structure_hook(timedelta, lambda seconds, _: timedelta(seconds=seconds))
    converter.register_unstructure_hook_func(
        lambda kind: kind is object, lambda value: converter.unstructure(value, type(value))
    )
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    configure_tagged_union(Recurrence, converter, tag_name="rule")
    return converter


def to_json(value: object) -> Any:
    """An attrs value as what `json.dumps` takes."""
    if isinstance(value, SchedulerSnapshot):
        # a group may have no name, which no key of JSON can say
        groups = [_converter().unstructure(group) for group in value.groups.values()]
        return _converter().unstructure(attrs.evolve(value, groups={})) | {"groups": groups}
    return _converter().unstructure(value)


def from_json(value: Any, kind: type[T]) -> T:
    """The value that `to_json` wrote."""
    if kind is SchedulerSnapshot:
        groups = [_converter().structure(group, GroupSnapshot) for group in value["groups"]]
        snapshot = _converter().structure(value | {"groups": {}}, SchedulerSnapshot)
        whole: Any = attrs.evolve(snapshot, groups={group.name: group for group in groups})
        read: T = whole
        return read
    return _converter().structure(value, kind)


def event_from_json(
    fields: Mapping[str, Any], payload: object, result: object
) -> AnyTaskEvent | ScopeEvent | Lagged:
    """The event whose `to_dict` is ``fields``; ``payload`` and ``result`` are not in there.

    A ``payload`` that is a PayloadError is raised where somebody asks for it.
    """
    kind: Any = getattr(events, fields["event"])
    attrs.resolve_types(kind)
    values: dict[str, Any] = {}
    for field in attrs.fields(kind):
        if field.name not in ("load", "result") and field.name in fields:
            values[field.name] = _converter().structure(fields[field.name], field.type)
    names = {field.name for field in attrs.fields(kind)}
    if "load" in names:
        values["load"] = lambda: _raised(payload)
    if "result" in names:
        values["result"] = result
    event: AnyTaskEvent | ScopeEvent | Lagged = kind(**values)
    return event


def _raised(payload: object) -> object:
    if isinstance(payload, PayloadError):
        raise payload
    return payload
