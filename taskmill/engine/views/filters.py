"""Which tasks a filter chooses: what a caller wrote, checked, as a store takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from taskmill.define.task import checked_task_type
from taskmill.model.errors import ConfigurationError, InvalidTag
from taskmill.model.limits import check_id, check_tag_prefix, check_tags, check_text, checked_items
from taskmill.model.options import TaskFilter
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.showing import shown
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus


def selection(where: TaskFilter, *, domain: str | None) -> Selection:
    """A filter as a store takes it; ConfigurationError for what cannot be meant."""
    return _selection(where, domain, ACTIVE)


def ended_selection(where: TaskFilter, *, domain: str | None) -> Selection:
    """The same among tasks that have ended; all of those, unless the filter has a status."""
    chosen = _selection(where, domain, TERMINAL)
    if not chosen.statuses <= TERMINAL:
        active, ended = sorted(chosen.statuses - TERMINAL), sorted(TERMINAL)
        raise ConfigurationError(
            f"status: a task that has ended is not {', '.join(active)}; there is "
            f"{', '.join(ended)}; `tasks` finds active ones"
        )
    return chosen


def _selection(where: TaskFilter, domain: str | None, statuses: frozenset[TaskStatus]) -> Selection:
    _check(where)
    types, ids = where.get("types"), where.get("ids")
    return Selection(
        domain=domain,
        types=None if types is None else _types(types),
        statuses=_statuses(where["status"]) if "status" in where else statuses,
        ids=None if ids is None else _ids(ids),
        any_group="group" not in where,
        group=where.get("group"),
        parent=where.get("parent"),
        key=where.get("key"),
        tags=_tags(where["tags"]) if "tags" in where else {},
        tag_prefix=where.get("tag_prefix"),
        created_before=where.get("created_before"),
        created_after=where.get("created_after"),
    )


def _check(where: Mapping[str, object]) -> None:
    known = TaskFilter.__annotations__
    for name, value in where.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise ConfigurationError(f"unknown filter {name:.100}; there is {names}")
        if name == "parent":
            check_id(value, "parent must be")
        elif name == "tag_prefix":
            check_tag_prefix(value, name)
        elif name in ("created_before", "created_after"):
            _check_moment(value, name)
        elif name == "key" or (name == "group" and value is not None):
            check_text(value, name)


def _check_moment(value: object, name: str) -> None:
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{name} must be an aware datetime, not {shown(value)}")
    if value.tzinfo is None:
        raise ConfigurationError(f"{name}={shown(value)} has no time zone; use an aware datetime")


def _tags(given: Mapping[str, str]) -> dict[str, str]:
    try:
        check_tags(given)
    except InvalidTag as error:
        raise ConfigurationError(f"tags: no task has such a tag: {error}") from None
    if not given:
        raise ConfigurationError("tags is empty, and so chooses nothing; leave it out")
    return dict(given)


def _ids(given: Iterable[TaskId]) -> frozenset[TaskId]:
    ids = checked_items(given, "ids", "[submitted.id]")
    for each in ids:
        check_id(each, "ids must hold")
    return frozenset(ids)


def _types(given: Iterable[object]) -> frozenset[str]:
    types = checked_items(given, "types", "[Fetch, Scan]")
    return frozenset(checked_task_type(each, "types").task_type for each in types)


def _statuses(given: TaskStatus | Iterable[TaskStatus]) -> frozenset[TaskStatus]:
    if isinstance(given, str):
        given = (given,)
    each = checked_items(given, "status", "[TaskStatus.FAILED]")
    return frozenset(_status(status) for status in each)


def _status(given: TaskStatus) -> TaskStatus:
    try:
        return TaskStatus(given)
    except ValueError:
        names = ", ".join(TaskStatus)
        raise ConfigurationError(
            f"status: {shown(given)} is not a valid TaskStatus; there is {names}"
        ) from None


def chosen(
    where: TaskFilter, verb: str, instead: str, *, domain: str | None, ended: bool = False
) -> Selection:
    """A filter for a verb that would be too much without one; by default of what has ended."""
    if not where:
        raise ConfigurationError(
            f"{verb}() without a filter would mean every task; say which, or say {instead}"
        )
    return (ended_selection if ended else selection)(where, domain=domain)
