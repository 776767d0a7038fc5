"""Whether a failed attempt is repeated, and after how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tenacity import wait_chain, wait_fixed, wait_random, wait_random_exponential

from taskmill.model.errors import ConfigurationError, Permanent, RetryAfter
from taskmill.model.limits import MAX_LENGTH
from taskmill.model.policies import Backoff, Jitter, RetryPolicy, Wait
from taskmill.rules.retry import is_retryable, retry_delay

SECOND = timedelta(seconds=1)

lengths = st.integers(0, 10**9).map(lambda ms: timedelta(milliseconds=ms))
policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(0, 10),
    backoff=st.sampled_from(Backoff),
    base=lengths,
    max_delay=lengths,
    multiplier=st.floats(0, 1e6),
    jitter=st.sampled_from(Jitter),
)
attempts = st.integers(1, 1_000)
draws = st.floats(0, 1, exclude_max=True)


def seconds(policy: RetryPolicy, count: int) -> list[float]:
    """The delays after the first ``count`` attempts."""
    return [
        retry_delay(policy, attempt, jitter=0.5).total_seconds() for attempt in range(1, count + 1)
    ]


def test_a_constant_policy_waits_the_same_each_time() -> None:
    assert seconds(RetryPolicy.constant(3, 5 * SECOND), 4) == [5, 5, 5, 5]


def test_a_linear_policy_waits_one_base_longer_each_time_up_to_its_longest() -> None:
    assert seconds(RetryPolicy.linear(9, 2 * SECOND, 7 * SECOND), 5) == [2, 4, 6, 7, 7]


def test_an_exponential_policy_doubles_up_to_its_longest() -> None:
    policy = RetryPolicy.exponential(9, base=SECOND, max_delay=10 * SECOND)
    assert seconds(policy, 6) == [1, 2, 4, 8, 10, 10]


def test_the_multiplier_of_an_exponential_policy_is_its_growth() -> None:
    policy = RetryPolicy.exponential(9, base=SECOND, max_delay=99 * SECOND, multiplier=3)
    assert seconds(policy, 5) == [1, 3, 9, 27, 81]


def test_the_built_in_policy_retries_3_times_from_1_second_up_to_60() -> None:
    assert RetryPolicy() == RetryPolicy.exponential(3)
    assert seconds(RetryPolicy(), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_delay_of_zero_stays_zero() -> None:
    assert seconds(RetryPolicy.constant(3), 3) == [0, 0, 0]
    assert seconds(RetryPolicy.linear(3, timedelta(0), SECOND), 3) == [0, 0, 0]
    assert seconds(RetryPolicy.exponential(3, base=timedelta(0)), 3) == [0, 0, 0]
    assert seconds(RetryPolicy.exponential(3, max_delay=timedelta(0)), 3) == [0, 0, 0]


@pytest.mark.parametrize(
    ("jitter", "drawn", "expected"),
    [
        (Jitter.NONE, 0.25, 8),
        (Jitter.FULL, 0.0, 0),
        (Jitter.FULL, 0.25, 2),
        (Jitter.EQUAL, 0.0, 4),
        (Jitter.EQUAL, 0.25, 5),
    ],
)
def test_jitter_draws_from_none_all_or_half_of_the_delay(
    jitter: Jitter, drawn: float, expected: float
) -> None:
    policy = RetryPolicy.constant(3, 8 * SECOND, jitter=jitter)
    assert retry_delay(policy, 1, jitter=drawn) == expected * SECOND


@pytest.mark.parametrize("attempt", [1_025, 10**6, 10**9])
def test_huge_exponents_are_the_longest_delay(attempt: int) -> None:
    for base in (timedelta.resolution, SECOND, timedelta(days=10_000)):
        policy = RetryPolicy.exponential(5, base=base, max_delay=60 * SECOND)
        assert retry_delay(policy, attempt, jitter=0.0) == 60 * SECOND


def test_the_longest_possible_delay_can_be_asked_for() -> None:
    policy = RetryPolicy.linear(9, timedelta(days=1), MAX_LENGTH)
    assert retry_delay(policy, 10**9, jitter=0.0) == MAX_LENGTH


def test_without_a_base_there_is_no_delay_however_many_attempts_there_were() -> None:
    policy = RetryPolicy.exponential(2000, base=timedelta(0))
    assert retry_delay(policy, 1100, jitter=0.0) == timedelta(0)


@given(policies, attempts, draws)
@settings(deadline=None)
def test_no_delay_is_negative_or_longer_than_the_longest(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    assert timedelta(0) <= retry_delay(policy, attempt, jitter=jitter) <= policy.max_delay


@given(policies, attempts, draws)
@settings(deadline=None)
def test_jitter_only_ever_shortens_and_equal_jitter_by_half_at_most(
    policy: RetryPolicy, attempt: int, jitter: float
) -> None:
    def delay(kind: Jitter) -> timedelta:
        own = RetryPolicy(
            backoff=policy.backoff,
            base=policy.base,
            max_delay=policy.max_delay,
            multiplier=policy.multiplier,
            jitter=kind,
        )
        return retry_delay(own, attempt, jitter=jitter)

    assert delay(Jitter.FULL) <= delay(Jitter.NONE)
    assert delay(Jitter.NONE) / 2 <= delay(Jitter.EQUAL)
    assert delay(Jitter.FULL) <= delay(Jitter.EQUAL) + timedelta.resolution


@given(st.sampled_from(Backoff), lengths, lengths, st.floats(1, 100), st.integers(1, 100))
@settings(deadline=None)
def test_delays_never_shrink_from_one_retry_to_the_next(
    backoff: Backoff, base: timedelta, longest: timedelta, multiplier: float, attempt: int
) -> None:
    policy = RetryPolicy(backoff=backoff, base=base, max_delay=longest, multiplier=multiplier)
    first, second = (retry_delay(policy, attempt + more, jitter=0.0) for more in (0, 1))
    assert first <= second


# --- wait strategies -----------------------------------------------------------------------------


def test_a_wait_strategy_says_itself_how_long_it_waits() -> None:
    policy = RetryPolicy(backoff=wait_fixed(3))
    assert policy.max_delay == MAX_LENGTH, "it has bounds of its own"
    assert retry_delay(policy, 1, jitter=0.5, waits=3 * SECOND) == 3 * SECOND
    with pytest.raises(ValueError, match="says itself how long it waits"):
        retry_delay(policy, 1, jitter=0.5)


@pytest.mark.parametrize(
    ("jitter", "expected"), [(Jitter.NONE, 4), (Jitter.FULL, 1), (Jitter.EQUAL, 2.5)]
)
def test_the_longest_delay_and_jitter_hold_for_a_strategy_too(
    jitter: Jitter, expected: float
) -> None:
    policy = RetryPolicy(backoff=wait_fixed(9), max_delay=4 * SECOND, jitter=jitter)
    assert retry_delay(policy, 1, jitter=0.25, waits=9 * SECOND) == expected * SECOND


@given(lengths, lengths, st.sampled_from(Jitter), draws)
@settings(deadline=None)
def test_whatever_a_strategy_says_the_longest_delay_holds_after_jitter(
    says: timedelta, longest: timedelta, jitter: Jitter, drawn: float
) -> None:
    policy = RetryPolicy(backoff=wait_fixed(1), max_delay=longest, jitter=jitter)
    delay = retry_delay(policy, 1, jitter=drawn, waits=says)
    assert timedelta(0) <= delay <= min(says, longest)
    if jitter is Jitter.NONE:
        assert delay == min(says, longest)


def one_second(_: object) -> float:
    return 1.0


@pytest.mark.parametrize(
    "strategy",
    [
        wait_fixed(1),
        wait_random_exponential(max=60),
        wait_fixed(1) + wait_random(0, 2),
        wait_chain(wait_fixed(1), wait_fixed(5)),
        one_second,
    ],
)
def test_whatever_is_called_with_what_was_tried_is_a_strategy(strategy: Wait) -> None:
    assert RetryPolicy(backoff=strategy).backoff is strategy


@pytest.mark.parametrize("wrong", ["linear", 5, None, wait_fixed])
def test_what_is_no_strategy_is_refused_with_an_example(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^backoff must be one of .*wait_random_expon"):
        RetryPolicy(backoff=wrong)


# --- which errors --------------------------------------------------------------------------------


def test_every_exception_but_permanent_is_retried_unless_the_policy_says_otherwise() -> None:
    assert is_retryable(RetryPolicy(), ValueError())
    assert is_retryable(RetryPolicy(), TimeoutError())
    assert not is_retryable(RetryPolicy(), Permanent("gone"))
    assert not is_retryable(RetryPolicy(), KeyboardInterrupt())


def test_a_policy_can_name_exception_types_and_their_subclasses_count() -> None:
    policy = RetryPolicy(retry_on=(OSError, KeyError))
    assert is_retryable(policy, ConnectionResetError())
    assert is_retryable(policy, KeyError())
    assert not is_retryable(policy, IndexError())
    assert not is_retryable(RetryPolicy(retry_on=()), OSError())


def test_a_policy_can_ask_a_predicate() -> None:
    policy = RetryPolicy(retry_on=lambda error: "busy" in str(error))
    assert is_retryable(policy, RuntimeError("busy, come back"))
    assert not is_retryable(policy, RuntimeError("broken"))


def test_permanent_and_retry_after_overrule_the_policy() -> None:
    assert not is_retryable(RetryPolicy(retry_on=(Permanent,)), Permanent())
    assert not is_retryable(RetryPolicy(retry_on=lambda _: True), Permanent())
    assert is_retryable(RetryPolicy(retry_on=()), RetryAfter(SECOND))
    assert is_retryable(RetryPolicy(retry_on=lambda _: False), RetryAfter(SECOND))


# --- policies check themselves -------------------------------------------------------------------


def test_negative_values_are_refused_with_their_name() -> None:
    late = timedelta(seconds=-1)
    with pytest.raises(ConfigurationError, match=r"max_retries is a whole number from 0 .* not -1"):
        RetryPolicy(max_retries=-1)
    with pytest.raises(ConfigurationError, match="base must be a timedelta from zero"):
        RetryPolicy(base=late)
    with pytest.raises(ConfigurationError, match="max_delay must be a timedelta from zero"):
        RetryPolicy(max_delay=late)
    for endless in (float("nan"), float("inf")):
        with pytest.raises(ConfigurationError, match="multiplier must be zero or more"):
            RetryPolicy(multiplier=endless)
    with pytest.raises(ConfigurationError, match="multiplier must be zero or more"):
        RetryPolicy(multiplier=-0.5)
    with pytest.raises(ConfigurationError, match="must be a timedelta from zero"):
        RetryPolicy.constant(3, late)


def test_what_a_policy_retries_on_is_a_class_some_of_them_or_a_function() -> None:
    assert RetryPolicy(retry_on=OSError) == RetryPolicy(retry_on=(OSError,))
    assert RetryPolicy(retry_on=[OSError, KeyError]).retry_on == (OSError, KeyError)
    assert not is_retryable(RetryPolicy(retry_on=()), OSError())
    assert is_retryable(RetryPolicy.constant(1, retry_on=OSError), ConnectionError())
    function = RetryPolicy(retry_on=lambda error: isinstance(error, KeyError))
    assert is_retryable(function, KeyError())
    assert not is_retryable(function, OSError())


async def coroutine_function(error: BaseException) -> bool:
    return True


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("retry_on", 5),
        ("retry_on", "OSError"),
        ("retry_on", int),
        ("retry_on", (OSError, int)),
        ("retry_on", (OSError(),)),
        ("retry_on", coroutine_function),
        ("backoff", "linear"),
        ("jitter", "full"),
        ("jitter", None),
        ("dead_letter", "no"),
        ("multiplier", "2"),
        ("multiplier", True),
        ("max_retries", "3"),
        ("max_retries", 2.5),
        ("max_retries", True),
        ("max_retries", None),
        ("base", 1),
    ],
)
def test_a_policy_refuses_values_of_the_wrong_kind(name: str, value: object) -> None:
    wrong: Any = {name: value}
    with pytest.raises(ConfigurationError, match=f"^{name} "):
        RetryPolicy(**wrong)
