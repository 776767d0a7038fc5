"""What a workload is: the limits of a scheduler, and the tasks that arrive at it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeAlias

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_cap, check_length, check_whole
from taskmill.model.policies import Priority
from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit

NOTHING = timedelta(0)
MAX_SLOTS = 1_000_000
MAX_TASKS = 10_000_000
"""What a simulation keeps of each task is small, but not nothing."""


# --- how long a run takes ---


@attrs.frozen
class Constant:
    """Every run takes the same time."""

    length: timedelta

    def __attrs_post_init__(self) -> None:
        _check_some(self.length, "a constant run time")


@attrs.frozen
class Uniform:
    """Every time between two is as likely."""

    least: timedelta
    most: timedelta

    def __attrs_post_init__(self) -> None:
        _check_some(self.most, "the longest run time")
        check_length(self.least, "the shortest run time")
        if self.least > self.most:
            raise ConfigurationError(
                f"the shortest run time {self.least} is longer than the longest, {self.most}"
            )


@attrs.frozen
class Exponential:
    """Mostly short runs and a few long ones, around a mean."""

    mean: timedelta

    def __attrs_post_init__(self) -> None:
        _check_some(self.mean, "a mean run time")


RunTime: TypeAlias = Constant | Uniform | Exponential


# --- when tasks arrive ---


@attrs.frozen(kw_only=True)
class Backlog:
    """So many tasks at one moment."""

    count: int
    at: timedelta = NOTHING

    def __attrs_post_init__(self) -> None:
        check_whole(self.count, 1, MAX_TASKS, "backlog")
        check_length(self.at, "at")


class Spacing(enum.StrEnum):
    """How arrivals lie apart."""

    POISSON = "poisson"
    """At random, independently of each other."""
    REGULAR = "regular"
    """At equal distances."""


@attrs.frozen(kw_only=True)
class Stream:
    """``rate`` tasks a second, from a moment to another (excluded); None is the end."""

    rate: float
    spacing: Spacing = Spacing.POISSON
    start: timedelta = NOTHING
    until: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        if not 0 < self.rate < math.inf:
            raise ConfigurationError(f"rate is tasks per second, above zero, not {self.rate!r}")
        _check_span(self.start, self.until)


@attrs.frozen(kw_only=True)
class Clients:
    """Submitters that each wait for their task to end, and for ``think``, before the next."""

    count: int
    think: timedelta = NOTHING
    start: timedelta = NOTHING
    until: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        check_whole(self.count, 1, MAX_TASKS, "clients")
        check_length(self.think, "think")
        _check_span(self.start, self.until)


@attrs.frozen(kw_only=True)
class Arrivals:
    """Tasks of one type, group and priority."""

    type: str
    when: Backlog | Stream | Clients
    runs: RunTime
    group: str | None = None
    priority: int = Priority.NORMAL

    def __attrs_post_init__(self) -> None:
        check_whole(self.priority, 0, 255, "priority")


# --- the scheduler ---


@attrs.frozen(kw_only=True)
class TaskType:
    """What the scheduler is told about a task type."""

    domain: str
    rate: RateLimit | None = None
    io: IoBudget | None = None
    preemptible: bool = True


@attrs.frozen(kw_only=True)
class GroupPause:
    """A pause of one group, to a moment or to the end; it interrupts what runs unless told not to.

    An interrupted task runs from its beginning when it starts again.
    """

    group: str
    start: timedelta
    until: timedelta | None = None
    interrupt: bool = True

    def __attrs_post_init__(self) -> None:
        _check_span(self.start, self.until)


@attrs.frozen(kw_only=True)
class Workload:
    """All that a simulation plays. Without ``duration`` it ends when every task has.

    ``types`` maps a name to the type; ``domains`` maps each domain to its cap. ``group_default``
    is for groups that are not in ``groups``; with None there are no others.
    """

    max_concurrency: int
    types: Mapping[str, TaskType]
    domains: Mapping[str, int | None]
    arrivals: Sequence[Arrivals]
    duration: timedelta | None = None
    seed: int = 0
    groups: Mapping[str, GroupPolicy] = attrs.field(factory=dict[str, GroupPolicy])
    group_default: GroupPolicy | None = None
    pauses: Sequence[GroupPause] = ()
    fair: bool | None = None
    aging: Aging | None = None
    preempt_at: int | None = Priority.REALTIME
    max_preemptions: int = 3
    io_capacity: IoBudget | None = None

    def __attrs_post_init__(self) -> None:
        check_whole(self.max_concurrency, 1, MAX_SLOTS, "max_concurrency")
        if self.duration is not None:
            _check_some(self.duration, "duration")
        if self.preempt_at is not None:
            check_whole(self.preempt_at, 0, 255, "preempt_at")
        check_whole(self.max_preemptions, 0, 1_000_000, "max_preemptions")
        for name, cap in self.domains.items():
            check_cap(cap, f"domains.{name}.max_concurrency")
        for name, task_type in self.types.items():
            _check_name(task_type.domain, self.domains, f"types.{name}.domain", "domains")
        if not self.arrivals:
            raise ConfigurationError("arrivals: there are none; give at least one [[arrivals]]")
        for number, arrivals in enumerate(self.arrivals):
            self._check_arrivals(arrivals, f"arrivals[{number}]")
        self._check_pauses()
        if self.expected_tasks > MAX_TASKS:
            raise ConfigurationError(
                f"arrivals: these are about {self.expected_tasks:,.0f} tasks, of {MAX_TASKS:,} at "
                "most; shorten the duration or lower a rate"
            )

    @property
    def expected_tasks(self) -> float:
        """About how many tasks arrive; what clients submit is not known before."""
        return sum(_expected(arrivals.when, self.duration) for arrivals in self.arrivals)

    def _check_arrivals(self, arrivals: Arrivals, where: str) -> None:
        _check_name(arrivals.type, self.types, f"{where}.type", "types")
        if arrivals.group is not None and self.group_default is None:
            _check_name(arrivals.group, self.groups, f"{where}.group", "groups")
        if not isinstance(arrivals.when, Backlog):
            self._check_ends(arrivals.when.until, where)

    def _check_pauses(self) -> None:
        ends: dict[str, timedelta] = {}
        order = sorted(range(len(self.pauses)), key=lambda number: self.pauses[number].start)
        for number in order:
            pause, where = self.pauses[number], f"pauses[{number}]"
            if self.group_default is None:
                _check_name(pause.group, self.groups, f"{where}.group", "groups")
            self._check_ends(pause.until, where)
            if pause.start < ends.get(pause.group, NOTHING):
                raise ConfigurationError(
                    f"{where}: group {pause.group!r} is paused already at {pause.start}; "
                    "make one pause of the two"
                )
            ends[pause.group] = timedelta.max if pause.until is None else pause.until

    def _check_ends(self, until: timedelta | None, where: str) -> None:
        if until is None and self.duration is None:
            raise ConfigurationError(
                f"{where}.until is missing: without it and without duration this never ends"
            )


def _expected(when: Backlog | Stream | Clients, duration: timedelta | None) -> float:
    match when:
        case Backlog(count=count):
            return count
        case Clients(count=count):
            return count
        case Stream(rate=rate, start=start, until=until):
            ends = [end for end in (until, duration) if end is not None]
            return rate * max(0.0, (min(ends) - start).total_seconds())


def _check_name(name: str, known: Mapping[str, object], where: str, table: str) -> None:
    if name not in known:
        names = ", ".join(sorted(known)) or "nothing"
        raise ConfigurationError(f"{where}: {name!r} is not in [{table}], which holds {names:.200}")


def _check_some(length: timedelta, what: str) -> None:
    check_length(length, what)
    if not length:
        raise ConfigurationError(f"{what} must be more than zero")


def _check_span(start: timedelta, until: timedelta | None) -> None:
    check_length(start, "from")
    if until is not None:
        check_length(until, "until")
        if until <= start:
            raise ConfigurationError(f"until={until} is not after from={start}")
