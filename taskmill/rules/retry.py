"""Whether a failed attempt is repeated, and after what delay."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from taskmill.model.errors import Permanent, RetryAfter
from taskmill.model.policies import Backoff, Jitter, RetryPolicy


def is_retryable(policy: RetryPolicy, error: BaseException) -> bool:
    """Whether ``policy`` names this exception; Permanent never is, RetryAfter always is."""
    if isinstance(error, Permanent):
        return False
    if isinstance(error, RetryAfter):
        return True
    named = policy.retry_on
    return named(error) if callable(named) else isinstance(error, named)


def retry_delay(
    policy: RetryPolicy, attempt: int, *, jitter: float, waits: timedelta | None = None
) -> timedelta:
    """The delay after failed attempt number ``attempt`` (from 1); ``jitter`` is in [0, 1).

    ``waits`` is what the wait strategy of the policy said, where it has one.
    """
    full = min(_growth(policy, attempt) if waits is None else waits, policy.max_delay)
    match policy.jitter:
        case Jitter.NONE:
            return full
        case Jitter.FULL:
            return full * jitter
        case Jitter.EQUAL:
            return min(full / 2 + full / 2 * jitter, full)
        case _:
            assert_never(policy.jitter)


def _growth(policy: RetryPolicy, attempt: int) -> timedelta:
    if not policy.base:
        return policy.base
    match policy.backoff:
        case Backoff.CONSTANT:
            return policy.base
        case Backoff.LINEAR:
            return _scaled(policy, attempt)
        case Backoff.EXPONENTIAL:
            try:
                return _scaled(policy, policy.multiplier ** (attempt - 1))
            except OverflowError:
                return policy.max_delay
        case _:
            raise ValueError("a wait strategy says itself how long it waits")


def _scaled(policy: RetryPolicy, factor: float) -> timedelta:
    """``base * factor``, or ``max_delay`` where that is less or cannot be expressed."""
    if factor >= policy.max_delay / policy.base:
        return policy.max_delay
    return policy.base * factor
