"""How work runs: priorities, retries and shutdown, as values that check themselves."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_length


class Priority(enum.IntEnum):
    """How urgent a task is, 0 to 255; lower is more urgent. Any int in between is fine too."""

    REALTIME = 0
    HIGH = 64
    NORMAL = 128
    BACKGROUND = 192
    IDLE = 255


class Jitter(enum.Enum):
    """How much of a retry delay is drawn at random."""

    NONE = "none"
    """Exactly the delay."""
    FULL = "full"
    """Anything from zero to the delay."""
    EQUAL = "equal"
    """Anything from half the delay to the delay."""


class Backoff(enum.Enum):
    """How the delay grows from one retry to the next."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


RetryOn: TypeAlias = tuple[type[BaseException], ...] | Callable[[BaseException], bool]


def _is_length(_: object, attribute: attrs.Attribute[Any], value: timedelta) -> None:
    check_length(value, attribute.name)


def _not_negative(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name} must be zero or more, not {value!r}")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often, and after what delay, a failed attempt is repeated.

    ``max_retries`` counts *retries*: 3 means up to 4 attempts. The delay before retry ``n``
    (counted from 1) is ``base`` (constant), ``base * n`` (linear) or ``base * multiplier ** (n-1)``
    (exponential), never more than ``max_delay``, with ``jitter`` applied before that bound.
    Exceptions that ``retry_on`` does not name end the task as FAILED. When the retries are
    spent the task ends as DEAD, or as FAILED with ``dead_letter=False``.
    """

    max_retries: int = attrs.field(default=3, validator=_not_negative)
    backoff: Backoff = Backoff.EXPONENTIAL
    base: timedelta = attrs.field(default=timedelta(seconds=1), validator=_is_length)
    max_delay: timedelta = attrs.field(default=timedelta(seconds=60), validator=_is_length)
    multiplier: float = attrs.field(default=2.0, validator=_not_negative)
    jitter: Jitter = Jitter.NONE
    retry_on: RetryOn = (Exception,)
    dead_letter: bool = True

    @classmethod
    def constant(
        cls,
        max_retries: int,
        delay: timedelta = timedelta(0),
        *,
        jitter: Jitter = Jitter.NONE,
        retry_on: RetryOn = (Exception,),
        dead_letter: bool = True,
    ) -> RetryPolicy:
        """The same delay before each retry."""
        return cls(
            max_retries=max_retries,
            backoff=Backoff.CONSTANT,
            base=delay,
            max_delay=delay,
            jitter=jitter,
            retry_on=retry_on,
            dead_letter=dead_letter,
        )

    @classmethod
    def linear(
        cls,
        max_retries: int,
        base: timedelta,
        max_delay: timedelta,
        *,
        jitter: Jitter = Jitter.NONE,
        retry_on: RetryOn = (Exception,),
        dead_letter: bool = True,
    ) -> RetryPolicy:
        """``base``, twice ``base``, three times ``base`` and so on, up to ``max_delay``."""
        return cls(
            max_retries=max_retries,
            backoff=Backoff.LINEAR,
            base=base,
            max_delay=max_delay,
            jitter=jitter,
            retry_on=retry_on,
            dead_letter=dead_letter,
        )

    @classmethod
    def exponential(
        cls,
        max_retries: int,
        base: timedelta = timedelta(seconds=1),
        max_delay: timedelta = timedelta(seconds=60),
        *,
        multiplier: float = 2.0,
        jitter: Jitter = Jitter.NONE,
        retry_on: RetryOn = (Exception,),
        dead_letter: bool = True,
    ) -> RetryPolicy:
        """``base`` times ``multiplier`` more each time, up to ``max_delay``."""
        return cls(
            max_retries=max_retries,
            backoff=Backoff.EXPONENTIAL,
            base=base,
            max_delay=max_delay,
            multiplier=multiplier,
            jitter=jitter,
            retry_on=retry_on,
            dead_letter=dead_letter,
        )


@attrs.frozen
class Drain:
    """Shut down by letting handlers finish for up to ``timeout``, then cancelling the rest."""

    timeout: timedelta = attrs.field(default=timedelta(seconds=30), validator=_is_length)


@attrs.frozen
class Stop:
    """Shut down by cancelling running handlers at once; they return to the queue unspent."""


Shutdown = Drain | Stop
