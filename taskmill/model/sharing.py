"""How tasks share what there is: caps, weights, rates, budgets and aging, as values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_cap, check_length, check_whole
from taskmill.model.policies import Priority
from taskmill.model.showing import shown

MAX_WEIGHT = 1000
"""Shares are kept in exact arithmetic, whose numbers grow with the weights in use."""

AXES = ("read", "written", "received", "sent")
"""What IO is measured on: bytes from and to disks, and from and to the network."""


def _more_than_zero(_: object, attribute: attrs.Attribute[Any], value: timedelta) -> None:
    check_length(value, attribute.name)
    if not value:
        raise ConfigurationError(f"{attribute.name} must be more than zero")


@attrs.frozen
class RateLimit:
    """At most ``permits`` starts each ``per``, after a burst of up to ``burst``.

    A token bucket: it holds ``burst`` tokens (default: ``permits``), starts full and gains
    ``permits`` tokens each ``per``, evenly; a start takes one. ``RateLimit(50)`` is 50 a second.
    """

    permits: int = attrs.field()
    per: timedelta = attrs.field(
        default=timedelta(seconds=1), validator=_more_than_zero, kw_only=True
    )
    burst: int = attrs.field(
        default=attrs.Factory(lambda rate: rate.permits, takes_self=True), kw_only=True
    )

    def __attrs_post_init__(self) -> None:
        check_whole(self.permits, 1, 1_000_000_000, "a rate's permits")
        check_whole(self.burst, 1, 1_000_000_000, "a rate's burst")


@attrs.frozen(kw_only=True)
class GroupPolicy:
    """What a group of tasks may use. None means no limit of its own.

    ``weight`` (1 to 1000) is its part of the slot time that groups share, ``min_slots`` what it
    gets before weights are looked at. Any weight but 1, or any ``min_slots``, turns fair shares
    on (see ``Scheduler(fair=...)``).
    """

    max_concurrency: int | None = None
    rate: RateLimit | None = None
    weight: int = 1
    min_slots: int = 0

    def __attrs_post_init__(self) -> None:
        check_cap(self.max_concurrency, "a group's max_concurrency")
        check_whole(self.weight, 1, MAX_WEIGHT, "a group's weight")
        check_whole(self.min_slots, 0, 1_000_000, "a group's min_slots")


@attrs.frozen(kw_only=True)
class Aging:
    """Waiting makes urgent: one step of priority each ``step``, once ``grace`` has passed.

    A task whose priority is ``ceiling`` or better keeps it; no other gets past ``ceiling``. With
    ``urgent``, tasks whose effective priority has come that far go before all shares of groups;
    it cannot be more urgent than ``ceiling``. Time under a pause does not count as waiting.
    """

    grace: timedelta = attrs.field(
        default=timedelta(minutes=5), validator=lambda _, a, v: check_length(v, a.name)
    )
    step: timedelta = attrs.field(default=timedelta(seconds=60), validator=_more_than_zero)
    ceiling: int = Priority.HIGH
    urgent: int | None = None

    def __attrs_post_init__(self) -> None:
        check_whole(self.ceiling, 0, 255, "aging's ceiling")
        if self.step < timedelta(milliseconds=1):
            raise ConfigurationError(f"aging's step must be a millisecond or more, not {self.step}")
        if self.urgent is not None:
            check_whole(self.urgent, 0, 255, "aging's urgent")
            if self.urgent < self.ceiling:
                raise ConfigurationError(
                    f"aging's urgent={self.urgent} is past its ceiling={self.ceiling}, "
                    "so that no task could ever reach it by waiting; "
                    "give urgent the same number or a higher one"
                )


def _default_limits() -> Mapping[int, float]:
    return {Priority.NORMAL: 0.75, Priority.BACKGROUND: 0.50}


def _read_only(given: Mapping[int, float]) -> Mapping[int, float]:
    return MappingProxyType(dict(given))


@attrs.frozen
class Throttle:
    """Which tasks are held while the machine is under pressure.

    ``limits`` maps a base priority to the pressure, 0 to 1, above which tasks of that priority
    or less urgent do not start. Default: 0.75 for NORMAL, 0.50 for BACKGROUND.
    """

    limits: Mapping[int, float] = attrs.field(factory=_default_limits, converter=_read_only)

    def __attrs_post_init__(self) -> None:
        for priority, limit in self.limits.items():
            check_whole(priority, 0, 255, "a throttle's priority")
            if not 0 <= limit <= 1:
                raise ConfigurationError(
                    f"a throttle's limit is a pressure from 0 to 1, not {shown(limit)} "
                    f"(for priority {priority})"
                )

    def limit_of(self, priority: int) -> float | None:
        """The pressure above which a task of this base priority is held; None for never."""
        return min((x for floor, x in self.limits.items() if priority >= floor), default=None)


def _rate(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < math.inf:
        raise ConfigurationError(
            f"{attribute.name} is bytes per second, zero or more, not {shown(value)}"
        )


@attrs.frozen(kw_only=True)
class IoBudget:
    """Bytes per second: what a task moves while it runs, or what the machine can move."""

    read: float = attrs.field(default=0, validator=_rate)
    written: float = attrs.field(default=0, validator=_rate)
    received: float = attrs.field(default=0, validator=_rate)
    sent: float = attrs.field(default=0, validator=_rate)

    def on(self, axis: str) -> float:
        """The bytes per second on one of `AXES`."""
        value: float = getattr(self, axis)
        return value
