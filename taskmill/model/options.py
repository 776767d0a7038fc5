"""Which options a task can be given, by whom, and which filters choose tasks."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, cast

from taskmill.model.choices import OnDependencyFailure, OnDuplicate, TtlFrom
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import (
    MAX_RETRIES,
    check_id,
    check_length,
    check_tags,
    check_text,
    check_whole,
    checked_items,
)
from taskmill.model.outcomes import Submitted
from taskmill.model.policies import RetryPolicy
from taskmill.model.record import TaskId
from taskmill.model.sharing import IoBudget
from taskmill.model.showing import shown
from taskmill.model.status import TaskStatus

if TYPE_CHECKING:
    from taskmill.define.task import Task


class TaskOptions(TypedDict, total=False):
    """Options of a class, a domain or one call.

    A missing key inherits. None means none, for ``group``, ``ttl``, ``timeout``, ``unique_for`` and
    ``tags``; the others cannot be None.
    """

    priority: int
    """0 (most urgent) to 255; see `Priority`."""
    group: str | None
    """The scheduler-wide group the task is counted in."""
    ttl: timedelta | None
    """The longest a task may wait to start; then it ends as EXPIRED.

    Children without one of their own have what is left of their parent's.
    """
    ttl_from: TtlFrom
    """Since when ``ttl`` counts: the submit, or the first attempt (then it bounds the retries)."""
    timeout: timedelta | None
    """The longest one run of the handler may take.

    Then the handler is told to stop, and the attempt has failed, whatever it returns.
    """
    retry: RetryPolicy
    max_retries: int
    """Overrides the policy's own number of retries."""
    delay: timedelta
    """Start no sooner than this after the submit."""
    tags: Mapping[str, str] | None
    """Merged with the tags of the layers further out; None drops those."""
    stop_grace: timedelta
    """How long a stopped handler may take before it is reported as overdue."""
    preemptible: bool
    """Whether a run may be stopped to make room for something more urgent (default: yes)."""
    on_duplicate: OnDuplicate
    """What a submit does where a task stands for the same work already (default: KEEP)."""
    requeue: bool
    """Whether a submit for work that is running right now makes a follow-up (default: yes)."""
    unique_for: timedelta | None
    """For how long after it has completed the task still stands for its work."""
    fail_fast: bool
    """Whether the task fails at once, and stops its other children, when a child fails.

    The default; otherwise it waits for all of them.
    """
    cancel_grace: timedelta
    """How long ``on_cancel`` may take."""
    max_interruptions: int
    """At how many crashes that it was running at a task is suspected, and runs once more alone."""


class ClassOptions(TaskOptions, total=False):
    """Options of a class: those of every layer, and what all tasks of a type have in common."""

    io: IoBudget
    """What a task is expected to move while it runs, in bytes per second."""
    executor: str
    """The name of the executor its handler runs on, whatever the routing says."""


class SubmitOptions(TaskOptions, total=False):
    """Options of one call: those of a class, and what only a call can know."""

    key: str
    """The dedup identity, in place of the payload's `task_key`."""
    label: str
    """How people see the task; by default its qualified type."""
    run_at: datetime
    """Start no sooner than this (aware; a past time means now). Not together with ``delay``."""
    parent: TaskId
    """The task this one is a child of; it runs, or waits for its children."""
    depends_on: Iterable[TaskId | Submitted[Any]]
    """Tasks of any domain that have to complete before this one starts."""
    on_dependency_failure: OnDependencyFailure
    """What becomes of this task where one of those fails (default: CANCEL)."""
    connection: object
    """A sqlite3 or aiosqlite connection to the same file, with an open transaction.

    The submit is part of that: it is there when, and only if, it commits.
    """


class TaskFilter(TypedDict, total=False):
    """Which tasks; all conditions must hold. Active ones only, unless ``status`` says otherwise."""

    types: Iterable[type[Task[Any, Any]]]
    status: TaskStatus | Iterable[TaskStatus]
    tags: Mapping[str, str]
    """Tags that the task has, all of them."""
    tag_prefix: str
    """The task has a tag whose key starts so."""
    group: str | None
    parent: TaskId
    ids: Iterable[TaskId]
    key: str
    created_before: datetime
    created_after: datetime


def check_options(layer: Mapping[str, object], known: Mapping[str, object], owner: str) -> None:
    """Raise ConfigurationError for an option that is unknown or whose value cannot be meant."""
    for name, value in layer.items():
        if name not in known:
            names = ", ".join(sorted(known))
            raise ConfigurationError(f"{owner}: unknown option {name:.100}; there is {names}")
        _CHECKS[name](value, f"{owner}: {name}")


def _check_priority(value: object, what: str) -> None:
    check_whole(value, 0, 255, what)


def _check_max_retries(value: object, what: str) -> None:
    check_whole(value, 0, MAX_RETRIES, what)


def _check_text(value: object, what: str) -> None:
    if value is not None:
        check_text(value, what)


def _check_some_length(value: object, what: str) -> None:
    if value is not None:
        check_length(value, what)
        if not value:
            raise ConfigurationError(f"{what} is more than zero, or None for none")


def _check_retry(value: object, what: str) -> None:
    if not isinstance(value, RetryPolicy):
        raise ConfigurationError(
            f"{what} must be a RetryPolicy, such as RetryPolicy.exponential(5), not {shown(value)}"
        )


def _check_option_tags(value: object, what: str) -> None:
    if value is not None:
        check_tags(cast("Mapping[str, str]", value), what)  # which is what is checked


def _check_io(value: object, what: str) -> None:
    if not isinstance(value, IoBudget):
        raise ConfigurationError(
            f"{what} must be an IoBudget, such as IoBudget(read=50_000_000), not {shown(value)}"
        )


def _check_flag(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what} must be True or False, not {shown(value)}")


def _check_run_at(value: object, what: str) -> None:
    if not isinstance(value, datetime):
        raise ConfigurationError(
            f"{what} must be an aware datetime, such as datetime.now(timezone.utc), "
            f"not {shown(value)}; leave it out to start as soon as possible"
        )


def _check_parent(value: object, what: str) -> None:
    check_id(value, f"{what} must be")


def _check_max_interruptions(value: object, what: str) -> None:
    check_whole(value, 1, MAX_RETRIES, what)


def _check_connection(value: object, what: str) -> None:
    if not hasattr(type(value), "in_transaction"):
        raise ConfigurationError(
            f"{what} must be a sqlite3 or an aiosqlite connection, not {shown(value)}; "
            "leave it out to submit without one"
        )


def _check_depends_on(value: object, what: str) -> None:
    ids_of(cast("Iterable[TaskId | Submitted[Any]]", value), what)  # which is what is checked


def ids_of(given: Iterable[TaskId | Submitted[Any]], what: str) -> tuple[TaskId, ...]:
    """The ids in a list of ids and of what submit returned, in order, each once."""
    items = checked_items(given, what, "[first.id]")
    ids = [each.id if isinstance(each, Submitted) else each for each in items]
    for each in ids:
        check_id(each, f"{what} must hold")
    return tuple(sorted(set(ids)))


def _member_of(kind: type[enum.Enum]) -> Callable[[object, str], None]:
    def check(value: object, what: str) -> None:
        if not isinstance(value, kind):
            members = ", ".join(f"{kind.__name__}.{member.name}" for member in kind)
            raise ConfigurationError(f"{what} must be one of {members}, not {shown(value)}")

    return check


_CHECKS: Mapping[str, Callable[[object, str], None]] = {
    "priority": _check_priority,
    "group": _check_text,
    "timeout": _check_some_length,
    "ttl": _check_some_length,
    "unique_for": _check_some_length,
    "ttl_from": _member_of(TtlFrom),
    "on_duplicate": _member_of(OnDuplicate),
    "on_dependency_failure": _member_of(OnDependencyFailure),
    "fail_fast": _check_flag,
    "cancel_grace": check_length,
    "max_interruptions": _check_max_interruptions,
    "depends_on": _check_depends_on,
    "connection": _check_connection,
    "retry": _check_retry,
    "max_retries": _check_max_retries,
    "delay": check_length,
    "tags": _check_option_tags,
    "stop_grace": check_length,
    "requeue": _check_flag,
    "preemptible": _check_flag,
    "io": _check_io,
    "executor": check_text,
    "key": _check_text,
    "label": _check_text,
    "run_at": _check_run_at,
    "parent": _check_parent,
}
