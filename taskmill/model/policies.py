"""How work runs: priorities, retries and shutdown, as values that check themselves."""

from __future__ import annotations

import enum
import inspect
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, TypeVar, cast

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import MAX_LENGTH, MAX_RETRIES, check_length, check_whole
from taskmill.model.showing import shown
from taskmill.model.status import TERMINAL, TaskStatus

if TYPE_CHECKING:
    from tenacity import RetryCallState


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


E = TypeVar("E", bound=enum.Enum)

RetryOn: TypeAlias = (
    type[BaseException] | Iterable[type[BaseException]] | Callable[[BaseException], bool]
)
"""An exception class, some of them, or a function that says whether to retry."""
Wait: TypeAlias = "Callable[[RetryCallState], float]"
"""A wait strategy of tenacity: from what has been tried to seconds."""
Retryable: TypeAlias = tuple[type[BaseException], ...] | Callable[[BaseException], bool]


def _is_length(_: object, attribute: attrs.Attribute[Any], value: timedelta) -> None:
    check_length(value, attribute.name)


def _is_whole(_: object, attribute: attrs.Attribute[Any], value: int) -> None:
    check_whole(value, 0, MAX_RETRIES, attribute.name)


def _is_factor(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigurationError(f"{attribute.name} must be zero or more, not {shown(value)}")


def _is_bool(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigurationError(f"{attribute.name} must be True or False, not {shown(value)}")


def _is_member(of: type[E]) -> Callable[[object, attrs.Attribute[Any], E], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, of):
            members = ", ".join(str(member) for member in of)
            raise ConfigurationError(
                f"{attribute.name} must be one of {members}, not {shown(value)}"
            )

    return check


def _is_backoff(_: object, attribute: attrs.Attribute[Any], value: object) -> None:
    is_wait = callable(value) and not isinstance(value, type)
    if not isinstance(value, Backoff) and not is_wait:
        members = ", ".join(str(member) for member in Backoff)
        raise ConfigurationError(
            f"{attribute.name} must be one of {members}, or a tenacity strategy such as "
            f"wait_random_exponential(max=60), not {shown(value)}"
        )


def _usual_bound(backoff: Backoff | Wait) -> timedelta:
    """The longest delay where none is given; a wait strategy has its own."""
    return timedelta(seconds=60) if isinstance(backoff, Backoff) else MAX_LENGTH


def _is_exception(kind: object) -> TypeGuard[type[BaseException]]:
    return isinstance(kind, type) and issubclass(kind, BaseException)


def _retryable(given: RetryOn) -> Retryable:
    """What a policy keeps of its ``retry_on``: classes as a tuple, or the function."""
    as_it_came: object = given
    if isinstance(as_it_came, type):
        as_it_came = (as_it_came,)
    if isinstance(as_it_came, Iterable):
        classes = tuple(cast("Iterable[object]", as_it_came))  # each is looked at below
        kinds = tuple(each for each in classes if _is_exception(each))
        if len(kinds) == len(classes):
            return kinds
    elif callable(given) and not inspect.iscoroutinefunction(given):
        return cast("Callable[[BaseException], bool]", given)  # no class, as seen above
    raise ConfigurationError(
        f"retry_on must be exception classes, such as (ConnectionError,), or a plain function "
        f"that takes the exception and returns a bool, not {shown(given)}"
    )


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often, and after what delay, a failed attempt is repeated.

    ``max_retries`` counts *retries*: 3 means up to 4 attempts. The delay before retry ``n``
    (counted from 1) is ``base`` (constant), ``base * n`` (linear) or ``base * multiplier ** (n-1)``
    (exponential), never more than ``max_delay``, with ``jitter`` applied before that bound.
    ``backoff`` may also be a tenacity ``wait_*`` strategy: then that says the delay, to which
    ``jitter`` and, if given, ``max_delay`` apply. Exceptions that ``retry_on`` does not name end
    the task as FAILED, as does one that makes a ``retry_on`` function or a wait strategy raise.
    When the retries are spent the task ends as DEAD, or as FAILED with ``dead_letter=False``.
    """

    max_retries: int = attrs.field(default=3, validator=_is_whole)
    backoff: Backoff | Wait = attrs.field(default=Backoff.EXPONENTIAL, validator=_is_backoff)
    base: timedelta = attrs.field(default=timedelta(seconds=1), validator=_is_length)
    max_delay: timedelta = attrs.field(
        default=attrs.Factory(lambda policy: _usual_bound(policy.backoff), takes_self=True),
        validator=_is_length,
    )
    multiplier: float = attrs.field(default=2.0, validator=_is_factor)
    jitter: Jitter = attrs.field(default=Jitter.NONE, validator=_is_member(Jitter))
    retry_on: Retryable = attrs.field(default=(Exception,), converter=_retryable)
    dead_letter: bool = attrs.field(default=True, validator=_is_bool)

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


def _is_number(_: object, attribute: attrs.Attribute[Any], value: int | None) -> None:
    if value is not None:
        check_whole(value, 0, 1_000_000_000, attribute.name)


@attrs.frozen(kw_only=True)
class Retention:
    """How many ended tasks are kept: the newest ``count`` of each end; None keeps all.

    What ended less than ``min_age`` ago is kept in any case, as is what somebody waits for, what an
    active task needs, and what is inside its ``unique_for``.
    """

    count: int | None = attrs.field(default=10_000, validator=_is_number)
    failed: int | None = attrs.field(default=None, validator=_is_number)
    """How many FAILED tasks are kept."""
    dead: int | None = attrs.field(default=None, validator=_is_number)
    """How many DEAD tasks are kept."""
    min_age: timedelta = attrs.field(default=timedelta(hours=1), validator=_is_length)

    def counts(self) -> dict[TaskStatus, int | None]:
        """How many are kept of each end."""
        own = {TaskStatus.FAILED: self.failed, TaskStatus.DEAD: self.dead}
        return {status: own.get(status, self.count) for status in sorted(TERMINAL)}


@attrs.frozen
class Drain:
    """Shut down by letting handlers finish for up to ``timeout``, then cancelling the rest."""

    timeout: timedelta = attrs.field(default=timedelta(seconds=30), validator=_is_length)


@attrs.frozen
class Stop:
    """Shut down by cancelling running handlers at once; they return to the queue unspent."""


Shutdown = Drain | Stop
