"""A bucket lets through what its limit promises, to the nanosecond, whatever is changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.errors import ConfigurationError
from taskmill.model.sharing import GroupPolicy, RateLimit
from taskmill.rules.gates import GateKind
from taskmill.rules.ratelimit import Bucket
from tests.rules.mill import SECOND, checked, limits_of, mill, task

HOUR = timedelta(hours=1)
DAY_NS = 86_400 * SECOND


def bucket(limit: RateLimit | None) -> Bucket:
    return Bucket(GateKind.TYPE_RATE, "a::one", limit)


def starts(one: Bucket, now_ns: int) -> int:
    """How many tasks start now."""
    count = 0
    while one.is_open(now_ns):
        one.enter(now_ns)
        count += 1
    return count


# --- worked examples -----------------------------------------------------------------------------


def test_a_bucket_starts_full_and_gains_its_permits_evenly() -> None:
    """4 a second after a burst of 2: a token each quarter of a second."""
    one = bucket(RateLimit(4, burst=2))
    assert one.tokens(0) == 2
    assert starts(one, 0) == 2
    assert one.opens_at(0) == SECOND // 4
    assert not one.is_open(SECOND // 4 - 1)
    assert one.is_open(SECOND // 4)
    assert one.tokens(SECOND // 8) == 0.5
    assert starts(one, SECOND // 4) == 1
    assert starts(one, 10 * SECOND) == 2, "no more than its burst"


def test_the_burst_is_the_permits_unless_given() -> None:
    assert starts(bucket(RateLimit(5)), 0) == 5
    assert starts(bucket(RateLimit(5, burst=1)), 0) == 1
    assert starts(bucket(RateLimit(1, burst=7)), 0) == 7


def test_no_limit_is_always_open() -> None:
    one = bucket(None)
    for _ in range(1_000):
        one.enter(0)
    assert one.is_open(0)
    assert one.is_full(0)
    assert one.opens_at(7) == 7
    assert one.tokens(0) == float("inf")


def test_a_token_that_does_not_divide_evenly_comes_in_the_first_nanosecond_it_is_whole() -> None:
    one = bucket(RateLimit(3, burst=1))
    one.enter(0)
    assert one.opens_at(0) == 333_333_334
    assert not one.is_open(333_333_333)
    assert one.is_open(333_333_334)


def test_a_start_that_did_not_happen_gives_its_token_back() -> None:
    one = bucket(RateLimit(1, per=HOUR))
    one.enter(0)
    assert not one.is_open(0)
    one.give_back(0)
    assert starts(one, 0) == 1
    one.give_back(0)
    assert starts(one, 100 * DAY_NS) == 1, "a full bucket stays full"


def test_a_bucket_is_full_again_when_all_its_tokens_are_back() -> None:
    one = bucket(RateLimit(2))
    one.enter(0)
    one.enter(0)
    assert not one.is_full(SECOND - 1)
    assert one.is_full(SECOND)


def test_another_limit_keeps_the_tokens_there_are() -> None:
    one = bucket(RateLimit(10, per=HOUR))
    for _ in range(7):
        one.enter(0)
    one.change(RateLimit(100, per=HOUR), 0)
    assert starts(one, 0) == 3
    one.change(RateLimit(1, per=HOUR, burst=50), 0)
    assert starts(one, 0) == 0


def test_another_limit_keeps_no_more_tokens_than_its_burst() -> None:
    one = bucket(RateLimit(10, per=HOUR))
    one.change(RateLimit(2, per=HOUR), 0)
    assert starts(one, 0) == 2
    one.change(RateLimit(10, per=HOUR), 0)
    assert starts(one, 0) == 0


def test_a_limit_that_is_new_starts_full_and_one_that_is_cleared_holds_nothing() -> None:
    one = bucket(None)
    one.change(RateLimit(2), 5)
    assert starts(one, 5) == 2
    one.change(None, 5)
    assert one.is_open(5)


def test_the_same_limit_again_makes_no_token_ready_sooner() -> None:
    """Setting a group's policy sets its rate; nothing may be gained by it."""
    limit = RateLimit(10**9, per=timedelta(days=36_525))
    one = bucket(limit)
    for _ in range(3):
        one.enter(0)
    before = one.opens_at(0), one.is_full(1), one.tokens(0)
    one.change(limit, 0)
    assert (one.opens_at(0), one.is_full(1), one.tokens(0)) == before


def test_a_token_given_back_was_taken_under_the_limit_that_holds() -> None:
    """A start from before there was a limit took no token, so it has none to give back."""
    one = bucket(None)
    one.enter(0)
    one.change(RateLimit(1, per=HOUR), 10)
    one.enter(20)
    one.give_back(0)
    assert not one.is_open(20)
    one.give_back(20)
    assert one.is_open(20)


def test_a_token_taken_in_the_nanosecond_of_a_change_can_be_given_back() -> None:
    one = bucket(None)
    one.change(RateLimit(1, per=HOUR), 10)
    one.enter(10)
    one.give_back(10)
    assert one.is_open(10)


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, 10**9 + 1])
def test_a_rate_that_cannot_be_meant_is_refused(wrong: int) -> None:
    with pytest.raises(ConfigurationError, match="permits"):
        RateLimit(wrong)
    with pytest.raises(ConfigurationError, match="burst"):
        RateLimit(1, burst=wrong)


def test_a_rate_per_no_time_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="per must be more than zero"):
        RateLimit(1, per=timedelta(0))


# --- two buckets before one task -----------------------------------------------------------------


def test_a_token_is_never_lost_to_the_other_bucket() -> None:
    """The group of one lane has no token left: the type's stays for the next group."""
    limits = limits_of(
        rates={"a::one": RateLimit(2, per=HOUR)},
        groups={"red": GroupPolicy(rate=RateLimit(1, per=HOUR))},
    )
    red, green = limits.lane("a::one", "red", 128), limits.lane("a::one", "green", 128)
    for toll in red.tolls:
        toll.enter(0)
    closed = red.first_closed(0)
    assert closed is limits.group_gates("red").rate
    assert limits.rates["a::one"].tokens(0) == 1
    assert green.first_closed(0) is None


def test_each_bucket_is_charged_once_for_each_start() -> None:
    yard = mill(
        [task(n, group=("red", "green")[n % 2]) for n in range(1, 9)],
        rates={"a::one": RateLimit(3, per=HOUR)},
        groups={"red": GroupPolicy(rate=RateLimit(1, per=HOUR))},
    )
    assert [ready.group for ready in checked(yard)] == ["green", "red", "green"]
    assert yard.limits.rates["a::one"].tokens(0) == 0
    assert yard.limits.group_gates("red").rate.tokens(0) == 0


def test_an_empty_bucket_holds_only_its_own_tasks_and_until_its_next_token() -> None:
    limited, other = [task(n) for n in (1, 2, 3)], task(4, "a::two")
    yard = mill([*limited, other], rates={"a::one": RateLimit(1)})
    assert checked(yard) == [limited[0], other]
    assert yard.queue.next_token() == SECOND
    yard.now_ns = SECOND - 1
    assert checked(yard) == []
    yard.now_ns = SECOND
    assert checked(yard) == [limited[1]]


def test_a_limit_set_or_cleared_holds_for_what_waits_already() -> None:
    waiting = [task(n) for n in range(1, 7)]
    yard = mill(waiting, rates={"a::one": RateLimit(1, per=HOUR)})
    assert checked(yard) == waiting[:1]
    yard.set_rate("a::one", RateLimit(3, per=timedelta(seconds=3), burst=1))
    assert yard.queue.next_token() == SECOND, "the next token is that of the new limit"
    yard.set_rate("a::one", None)
    assert checked(yard) == waiting[1:]


def test_a_bucket_is_not_forgotten_before_it_is_full() -> None:
    """However many groups come and go, each keeps what it has spent."""
    rate = RateLimit(1, per=HOUR)
    limits = limits_of(slots=1, default=GroupPolicy(rate=rate))
    yard = mill()
    yard = type(yard)(limits)
    for number in range(4_000):
        ready = task(number, group=f"g{number}")
        yard.add(ready)
        assert yard.start() == [ready]
        yard.finish(ready)
    open_again = [n for n in range(4_000) if limits.group_gates(f"g{n}").rate.is_open(0)]
    assert open_again == []


# --- against exact tokens ------------------------------------------------------------------------

rates = st.builds(
    RateLimit,
    st.integers(1, 7) | st.integers(1, 10**9),
    per=st.integers(1, 5 * 10**6).map(lambda us: timedelta(microseconds=us))
    | st.just(timedelta(days=36_525)),
    burst=st.integers(1, 5) | st.integers(1, 10**9),
)
steps = st.lists(st.integers(0, 3) | st.integers(0, 10**10), min_size=1, max_size=25)


@attrs.define
class Exact:
    """The definition: tokens as a fraction, refilled by time up to the burst."""

    limit: RateLimit
    tokens: Fraction
    at: int = 0

    def look(self, now: int) -> None:
        per = self.limit.per // timedelta(microseconds=1) * 1000
        gained = Fraction((now - self.at) * self.limit.permits, per)
        self.tokens = min(Fraction(self.limit.burst), self.tokens + gained)
        self.at = now

    def next_token(self) -> int:
        """The first nanosecond in which there is a whole token."""
        per = self.limit.per // timedelta(microseconds=1) * 1000
        missing = max(Fraction(0), 1 - self.tokens) * per / self.limit.permits
        return self.at + -(-missing.numerator // missing.denominator)


@given(rates, st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 4)), max_size=25))
@settings(deadline=None, max_examples=150)
def test_a_bucket_is_exactly_what_it_is_defined_as(
    limit: RateLimit, events: Sequence[tuple[int, int]]
) -> None:
    one, exact, now = bucket(limit), Exact(limit, Fraction(limit.burst)), 0
    for wait, wanted in events:
        now += wait
        exact.look(now)
        for _ in range(wanted):
            assert one.is_open(now) == (exact.tokens >= 1)
            assert one.opens_at(now) == exact.next_token()
            assert one.is_full(now) == (exact.tokens == limit.burst)
            if exact.tokens >= 1:
                one.enter(now)
                exact.tokens -= 1


@given(rates, rates, st.lists(st.integers(0, 10**9), max_size=8))
@settings(deadline=None, max_examples=150)
def test_a_change_gives_nobody_a_token_and_takes_none_but_a_part(
    before: RateLimit, after: RateLimit, waits: Sequence[int]
) -> None:
    """Between limits, at most one part in a nanosecond is lost to whole numbers, never gained."""
    one, exact, now = bucket(before), Exact(before, Fraction(before.burst)), 0
    for wait in waits:
        now += wait
        exact.look(now)
        if one.is_open(now):
            one.enter(now)
            exact.tokens -= 1
    one.change(after, now)
    kept = Exact(after, min(exact.tokens, Fraction(after.burst)), now)
    assert kept.next_token() <= one.opens_at(now) <= kept.next_token() + 1


@given(rates, steps)
@settings(deadline=None, max_examples=150)
def test_in_no_window_start_more_than_the_burst_and_what_the_rate_gives(
    limit: RateLimit, waits: Sequence[int]
) -> None:
    one, now = bucket(limit), 0
    times: list[int] = []
    per = limit.per // timedelta(microseconds=1) * 1000
    for wait in waits:
        now += wait
        for _ in range(8):
            if one.is_open(now):
                one.enter(now)
                times.append(now)
    for first, since in enumerate(times):
        for last in range(first, len(times)):
            allowed = limit.burst + Fraction((times[last] - since) * limit.permits, per)
            assert last - first + 1 <= allowed


@given(rates, steps)
@settings(deadline=None, max_examples=150)
def test_a_bucket_opens_in_the_nanosecond_it_says_and_not_before(
    limit: RateLimit, waits: Sequence[int]
) -> None:
    one, now = bucket(limit), 0
    for wait in waits:
        now += wait
        for _ in range(6):
            if one.is_open(now):
                one.enter(now)
        at = one.opens_at(now)
        assert one.is_open(at)
        assert at == now or not one.is_open(at - 1)


@given(rates, steps)
@settings(deadline=None, max_examples=100)
def test_a_token_given_back_at_once_was_never_taken(limit: RateLimit, waits: Sequence[int]) -> None:
    one, twin, now = bucket(limit), bucket(limit), 0
    for wait in waits:
        now += wait
        if one.is_open(now):
            one.enter(now)
            one.give_back(now)
        assert one.opens_at(now) == twin.opens_at(now)
        if one.is_open(now):
            one.enter(now)
            twin.enter(now)
