"""Which options a task can be given, by whom, and which filters choose tasks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, cast

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import (
    MAX_RETRIES,
    check_id,
    check_length,
    check_tags,
    check_text,
    check_whole,
)
from taskmill.model.policies import RetryPolicy
from taskmill.model.record import TaskId
from taskmill.model.sharing import IoBudget
from taskmill.model.status import TaskStatus

if TYPE_CHECKING:
    from taskmill.define.task import Task


class TaskOptions(TypedDict, total=False):
    """Options of a class, a domain or one call.

    A missing key inherits. None means none, for ``group``, ``timeout`` and ``tags``; the others
    cannot be None.
    """

    priority: int
    """0 (most urgent) to 255; see `Priority`."""
    group: str | None
    """The scheduler-wide group the task is counted in."""
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
    requeue: bool
    """Whether a submit for work that is running right now makes a follow-up (default: yes)."""


class ClassOptions(TaskOptions, total=False):
    """Options of a class: those of every layer, and what all tasks of a type have in common."""

    io: IoBudget
    """What a task is expected to move while it runs, in bytes per second."""


class SubmitOptions(TaskOptions, total=False):
    """Options of one call: those of a class, and what only a call can know."""

    key: str
    """The dedup identity, in place of the payload's `task_key`."""
    label: str
    """How people see the task; by default its qualified type."""
    run_at: datetime
    """Start no sooner than this (aware; a past time means now). Not together with ``delay``."""
    parent: TaskId
    """The running task this one is a child of."""


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
            raise ConfigurationError(f"{owner}: unknown option {name}; there is {names}")
        _CHECKS[name](value, f"{owner}: {name}")


def _check_priority(value: object, what: str) -> None:
    check_whole(value, 0, 255, what)


def _check_max_retries(value: object, what: str) -> None:
    check_whole(value, 0, MAX_RETRIES, what)


def _check_text(value: object, what: str) -> None:
    if value is not None:
        check_text(value, what)


def _check_option_timeout(value: object, what: str) -> None:
    if value is not None:
        check_length(value, what)
        if not value:
            raise ConfigurationError(f"{what} is more than zero, or None for none")


def _check_retry(value: object, what: str) -> None:
    if not isinstance(value, RetryPolicy):
        raise ConfigurationError(
            f"{what} must be a RetryPolicy, such as RetryPolicy.exponential(5), not {value!r:.100}"
        )


def _check_option_tags(value: object, what: str) -> None:
    if value is not None:
        check_tags(cast("Mapping[str, str]", value), what)  # which is what is checked


def _check_io(value: object, what: str) -> None:
    if not isinstance(value, IoBudget):
        raise ConfigurationError(
            f"{what} must be an IoBudget, such as IoBudget(read=50_000_000), not {value!r:.100}"
        )


def _check_flag(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what} must be True or False, not {value!r:.100}")


def _check_run_at(value: object, what: str) -> None:
    if not isinstance(value, datetime):
        raise ConfigurationError(
            f"{what} must be an aware datetime, such as datetime.now(timezone.utc), "
            f"not {value!r:.100}; leave it out to start as soon as possible"
        )


def _check_parent(value: object, what: str) -> None:
    check_id(value, f"{what} must be")


_CHECKS: Mapping[str, Callable[[object, str], None]] = {
    "priority": _check_priority,
    "group": _check_text,
    "timeout": _check_option_timeout,
    "retry": _check_retry,
    "max_retries": _check_max_retries,
    "delay": check_length,
    "tags": _check_option_tags,
    "stop_grace": check_length,
    "requeue": _check_flag,
    "preemptible": _check_flag,
    "io": _check_io,
    "key": _check_text,
    "label": _check_text,
    "run_at": _check_run_at,
    "parent": _check_parent,
}
