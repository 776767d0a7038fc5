"""Wait strategies of tenacity decide when a failed task is tried again."""

from __future__ import annotations

import math
import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import (
    RetryCallState,
    wait_chain,
    wait_exponential,
    wait_fixed,
    wait_incrementing,
    wait_random,
    wait_random_exponential,
)

from taskmill import Jitter, RetryPolicy, TaskStatus
from taskmill.engine.runs.strategies import ask_strategy
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import MAX_LENGTH
from taskmill.model.policies import Wait
from tests.engine.app import SECOND, Fail, open_app

pytestmark = pytest.mark.anyio


def says(wait: Wait, attempts: int) -> list[float]:
    """The seconds after each of the first attempts."""
    asked = (ask_strategy(wait, number, ValueError()) for number in range(1, attempts + 1))
    return [delay.total_seconds() for delay in asked]


def ten_times(state: RetryCallState) -> float:
    return 10 * state.attempt_number


@pytest.mark.parametrize(
    ("strategy", "waits"),
    [
        (wait_fixed(5), [5, 5, 5]),
        (wait_fixed(5) + wait_incrementing(1, 2), [6, 8, 10]),
        (wait_chain(wait_fixed(1), wait_fixed(2), wait_fixed(30)), [1, 2, 30]),
        (wait_exponential(multiplier=1, max=3), [1, 2, 3]),
        (ten_times, [10, 20, 30]),
    ],
)
async def test_a_task_is_tried_again_when_its_strategy_says(
    strategy: Wait, waits: list[float]
) -> None:
    domain = {"retry": RetryPolicy(max_retries=3, backoff=strategy)}
    assert says(strategy, 3) == waits
    async with open_app(domain=domain) as app:
        submitted = await app.work.submit(Fail())
        record = await app.work.wait(submitted.id)
        assert app.seconds() == sum(waits)
    assert (record.status, record.attempt) == (TaskStatus.DEAD, 4)


async def test_the_longest_delay_of_the_policy_holds_after_jitter() -> None:
    policy = RetryPolicy(
        max_retries=3, backoff=wait_fixed(500), max_delay=4 * SECOND, jitter=Jitter.EQUAL
    )
    async with open_app(domain={"retry": policy}) as app:
        await app.work.wait((await app.work.submit(Fail())).id)
        assert 3 * 2 <= app.seconds() <= 3 * 4


async def test_a_call_inherits_a_strategy_and_cannot_bring_one() -> None:
    policy = RetryPolicy(max_retries=9, backoff=wait_fixed(5))
    async with open_app(domain={"retry": policy}) as app:
        submitted = await app.work.submit(Fail(), max_retries=2)
        assert (await app.work.wait(submitted.id)).attempt == 3
        assert app.seconds() == 10
        with pytest.raises(ConfigurationError, match="a wait strategy cannot be stored"):
            await app.work.submit(Fail(), retry=policy)


async def test_a_strategy_that_raises_ends_the_task_and_says_so() -> None:
    def broken(_: object) -> float:
        raise ZeroDivisionError("no idea")

    async with open_app(domain={"retry": RetryPolicy(backoff=broken)}) as app:
        record = await app.work.wait((await app.work.submit(Fail())).id)
    assert (record.status, record.attempt) == (TaskStatus.FAILED, 1)
    assert "judging this error raised ZeroDivisionError" in record.errors[0].traceback


async def test_a_strategy_is_asked_with_the_error_that_was_raised() -> None:
    seen: list[str] = []

    def asks(state: Any) -> float:
        seen.append(f"{state.attempt_number}: {state.outcome.exception()}")
        return 0

    async with open_app(domain={"retry": RetryPolicy(max_retries=1, backoff=asks)}) as app:
        await app.work.wait((await app.work.submit(Fail())).id)
    assert seen == ["1: no luck in run 1", "2: no luck in run 2"]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (-1, timedelta(0)),
        (-math.inf, timedelta(0)),
        (0, timedelta(0)),
        (math.inf, MAX_LENGTH),
        (1e300, MAX_LENGTH),
        (timedelta(seconds=2), 2 * SECOND),
        (timedelta.max, MAX_LENGTH),
        (timedelta.min, timedelta(0)),
    ],
)
async def test_an_answer_out_of_range_is_the_nearest_in_it(
    answer: Any, expected: timedelta
) -> None:
    assert ask_strategy(lambda _: answer, 1, ValueError()) == expected


@given(st.integers(1, 5_000), st.integers(0, 2**32))
@settings(deadline=None)
def test_random_strategies_stay_within_their_bounds_at_any_attempt(attempt: int, seed: int) -> None:
    random.seed(seed)
    error = ValueError()
    exponential = ask_strategy(wait_random_exponential(max=60), attempt, error)
    assert timedelta(0) <= exponential <= 60 * SECOND
    both = ask_strategy(wait_fixed(1) + wait_random(0, 2), attempt, error)
    assert SECOND <= both <= 3 * SECOND
