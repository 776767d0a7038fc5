"""How long a wait strategy of tenacity says to wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from tenacity import RetryCallState

from taskmill.model.limits import MAX_LENGTH
from taskmill.model.policies import Wait


def ask_strategy(wait: Wait, attempt: int, error: BaseException) -> timedelta:
    """What a wait strategy of tenacity says after this attempt."""
    state = RetryCallState(retry_object=cast("Any", None), fn=None, args=(), kwargs={})
    state.attempt_number = attempt
    state.set_exception((type(error), error, error.__traceback__))
    delay: timedelta | float = wait(state)
    if not isinstance(delay, timedelta):
        delay = timedelta(seconds=min(max(delay, 0), MAX_LENGTH.total_seconds()))
    return min(max(delay, timedelta(0)), MAX_LENGTH)
