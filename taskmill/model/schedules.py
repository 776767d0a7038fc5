"""How work recurs: rules that say when, as values that check themselves, and their schedules."""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import TypeAlias

import attrs

from taskmill.model.cronline import check_cron, plain_line
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_length, check_whole
from taskmill.model.record import TaskId
from taskmill.model.secret import redacted_repr
from taskmill.model.showing import shown
from taskmill.model.times import FIRST_MS, LAST_MS, MILLISECOND, from_ms, to_ms

MAX_RUNS = 1_000_000_000


class CatchUp(enum.Enum):
    """What becomes of occurrences that came due while no process was running.

    Where several come due at once in a running process, ALL runs each, SKIP and ONE the latest.
    """

    SKIP = "skip"
    """None of them runs."""
    ONE = "one"
    """The latest runs."""
    ALL = "all"
    """Each runs."""


class Overlap(enum.Enum):
    """What becomes of an occurrence that comes due while the last one is active."""

    SKIP = "skip"
    """It is skipped."""
    QUEUE = "queue"
    """It becomes a task all the same."""


class ScheduleStatus(enum.StrEnum):
    """Where a schedule is in its life."""

    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


def _whole_ms(anchor: datetime | None) -> datetime | None:
    """The anchor in UTC, what is finer than a millisecond cut off: what a row can hold."""
    if anchor is None:
        return None
    is_moment = isinstance(anchor, datetime)  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
    if not is_moment or anchor.utcoffset() is None:
        raise ConfigurationError(
            f"Every's anchor must be a datetime with a time zone, not {shown(anchor)}; "
            "datetime.now(UTC) has one"
        )
    ms = to_ms(anchor)
    if not FIRST_MS <= ms <= LAST_MS:
        raise ConfigurationError(
            f"Every's anchor {anchor} cannot be expressed in UTC; take one inside years 1 to 9999"
        )
    return from_ms(ms)


@attrs.frozen
class Every:
    """Once each ``interval``, on a grid that does not drift: ``Every(timedelta(minutes=5))``.

    The grid begins at ``anchor``, or ``initial_delay`` (default: ``interval``) after the schedule
    is made. An anchor in the past sets the grid only; one to come is the first occurrence.
    With ``after_completion`` there is no grid, and no anchor: the next occurrence comes
    ``interval`` after the last one has ended, however it ended, so that none ever overlap.
    ``max_runs`` counts occurrences that became tasks. Lengths are whole milliseconds.
    """

    interval: timedelta
    anchor: datetime | None = attrs.field(default=None, converter=_whole_ms, kw_only=True)
    max_runs: int | None = attrs.field(default=None, kw_only=True)
    initial_delay: timedelta | None = attrs.field(default=None, kw_only=True)
    after_completion: bool = attrs.field(default=False, kw_only=True)
    catch_up: CatchUp = attrs.field(default=CatchUp.SKIP, kw_only=True)
    overlap: Overlap = attrs.field(default=Overlap.SKIP, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_length(self.interval, "Every's interval")
        if not self.interval:
            raise ConfigurationError(
                "Every's interval must be more than zero; the shortest is a millisecond"
            )
        if self.initial_delay is not None:
            _check_length(self.initial_delay, "Every's initial_delay")
        _check_bool(self.after_completion, "Every's after_completion")
        _check_common(self, "Every")
        if self.anchor is not None and self.initial_delay is not None:
            raise ConfigurationError(
                f"Every(anchor={self.anchor}, initial_delay={self.initial_delay}): "
                "each says when to begin; give one of them"
            )
        if self.anchor is not None and self.after_completion:
            raise ConfigurationError(
                f"Every(anchor={self.anchor}, after_completion=True): an anchor sets a grid, and "
                "after_completion has none; give one of them, or initial_delay for the first time"
            )


@attrs.frozen
class Cron:
    """At the local times of a cron line: ``Cron("0 9 * * MON-FRI", tz="Europe/Berlin")``.

    Minute, hour, day of month, month, day of week. With fixed minutes and hours, a time that
    daylight saving skips runs at the first moment after the gap and one that comes twice runs once;
    with ``*`` (or ``*/15``) as minute or hour, skipped times are dropped and doubled ones run
    twice. ``max_runs`` counts occurrences that became tasks. The line is kept in capitals.
    Needs the extra ``cron``.
    """

    line: str = attrs.field(converter=plain_line)
    tz: str = attrs.field(default="UTC", kw_only=True)
    max_runs: int | None = attrs.field(default=None, kw_only=True)
    catch_up: CatchUp = attrs.field(default=CatchUp.SKIP, kw_only=True)
    overlap: Overlap = attrs.field(default=Overlap.SKIP, kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_cron(self.line, self.tz)
        _check_common(self, "Cron")


Recurrence: TypeAlias = Every | Cron
"""When occurrences of a schedule are due; in sentences, its rule."""


@attrs.frozen(kw_only=True)
class ScheduleRecord:
    """One schedule, as the store holds it. Times are aware, in UTC."""

    name: str
    """Unique in its domain."""
    domain: str
    type: str
    """Qualified: ``"ingest::fetch"``."""
    rule: Recurrence
    payload: str = attrs.field(repr=redacted_repr)
    """JSON."""
    status: ScheduleStatus
    next_at: datetime | None
    """None once it has ended, and while an occurrence is active that the next one counts from."""
    runs: int
    """Occurrences that became tasks."""
    last_task: TaskId | None
    """The latest of them."""
    last_at: datetime | None
    """The time that task was meant for."""
    reason: str | None
    """Why it is paused or has ended."""
    created_at: datetime


def _check_common(rule: Recurrence, what: str) -> None:
    if rule.max_runs is not None:
        check_whole(rule.max_runs, 1, MAX_RUNS, f"{what}'s max_runs")
    _check_member(rule.catch_up, CatchUp, f"{what}'s catch_up")
    _check_member(rule.overlap, Overlap, f"{what}'s overlap")


def _check_length(value: timedelta, what: str) -> None:
    check_length(value, what)
    if value % MILLISECOND:
        raise ConfigurationError(
            f"{what} must be whole milliseconds, not {shown(value)}; round it to some"
        )


def _check_bool(value: object, what: str) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{what} must be True or False, not {shown(value)}")


def _check_member(value: object, of: type[enum.Enum], what: str) -> None:
    if not isinstance(value, of):
        members = ", ".join(str(member) for member in of)
        raise ConfigurationError(f"{what} must be one of {members}, not {shown(value)}")
