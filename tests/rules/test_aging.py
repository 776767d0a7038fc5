"""Waiting makes urgent, by the formula, to the millisecond, and only while no pause holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.errors import ConfigurationError
from taskmill.model.pauses import PauseScope
from taskmill.model.policies import Priority
from taskmill.model.sharing import Aging
from taskmill.rules.aging import AgeClock, AgingRule
from tests.rules.mill import checked, mill, task

MINUTE = 60_000
FIVE = 5 * MINUTE

# --- worked examples -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("waited", "effective"),
    [
        (0, 128),
        (FIVE, 128),
        (FIVE + MINUTE - 1, 128),
        (FIVE + MINUTE, 127),
        (FIVE + 10 * MINUTE, 118),
        (FIVE + 64 * MINUTE, 64),
        (10**12, 64),
    ],
)
def test_after_5_minutes_a_task_gains_1_each_minute_up_to_high(waited: int, effective: int) -> None:
    assert AgingRule(Aging()).effective(128, waited) == effective


def test_aging_never_demotes_what_is_past_the_ceiling_already() -> None:
    """A REALTIME task stays before all that have aged (B6)."""
    rule = AgingRule(Aging())
    for base in (Priority.REALTIME, 1, 63, Priority.HIGH):
        assert rule.effective(base, 10**12) == base
        assert rule.aged(base, 0) == (base, None)


def test_the_first_millisecond_of_age_can_be_a_step() -> None:
    aging = AgingRule(Aging(grace=timedelta(0), step=timedelta(milliseconds=1)))
    assert aging.aged(128, 1) == (127, 1)


def test_without_aging_nothing_changes() -> None:
    rule = AgingRule(None)
    assert rule.effective(255, 10**15) == 255
    assert rule.aged(255, 0) == (255, None)
    assert rule.urgent == -1


def test_what_was_realtime_goes_before_what_has_aged() -> None:
    aging = Aging(grace=timedelta(0), step=timedelta(milliseconds=1))
    old, realtime = task(1, priority=255), task(2, priority=0, at=100_000)
    yard = mill([old, realtime], slots=1, aging=aging)
    yard.wait(100)
    assert checked(yard, aging=aging) == [realtime]


def test_an_old_task_goes_before_a_more_urgent_young_one_from_its_millisecond_on() -> None:
    aging = Aging(grace=timedelta(seconds=10), step=timedelta(seconds=1))
    old, young = task(1, priority=130), task(2, priority=128, at=12_000)
    for now_ms, first in ((11_999, young), (12_000, old)):
        yard = mill([old, young], slots=1, aging=aging)
        yard.now_ns = now_ms * 1_000_000
        assert checked(yard, aging=aging) == [first]


def test_a_task_does_not_age_under_a_pause() -> None:
    aging = Aging(grace=timedelta(0), step=timedelta(seconds=1))
    paused, other = task(1, "a::one", priority=200), task(2, "b::one", priority=190, at=40_000)
    yard = mill([paused, other], slots=1, aging=aging)
    yard.pause(PauseScope.DOMAIN, "a")
    yard.wait(40)
    yard.look()
    yard.resume(PauseScope.DOMAIN, "a")
    assert checked(yard, aging=aging) == [other]


def test_a_task_that_waits_for_a_slot_ages() -> None:
    aging = Aging(grace=timedelta(0), step=timedelta(seconds=1))
    old, other = task(1, "a::one", priority=200), task(2, "b::one", priority=190, at=40_000)
    yard = mill([old, other], slots=1, aging=aging)
    yard.wait(40)
    assert checked(yard, aging=aging) == [old]


def test_a_task_that_has_aged_past_urgent_goes_before_all_shares() -> None:
    aging = Aging(grace=timedelta(0), step=timedelta(seconds=1), ceiling=64, urgent=100)
    yard = mill(slots=1, aging=aging, fair=True)
    red, green = task(1, group="red", priority=110), task(2, group="green", at=1_000_000)
    yard.add(red, green)
    assert yard.start() == [red]
    yard.wait(20)
    yard.finish(red)
    red = task(3, group="red", priority=110, at=20_000)
    yard.add(red)
    assert checked(yard, aging=aging) == [green], "it has used less"
    yard.wait(10)
    yard.finish(green)
    green = task(4, group="green", at=1_000_000)
    yard.add(green)
    assert checked(yard, aging=aging) == [red]


def test_age_counts_once_what_several_pauses_held() -> None:
    clock = AgeClock([(100, 200), (150, 300), (300, 310), (400, 400), (500, 2**62)])
    assert clock.waited(0, 1_000) == 500 - 210
    assert clock.waited(120, 130) == 0
    assert clock.waited(250, 350) == 40
    assert clock.waited(700, 600) == 0, "a wall clock set back makes no age"


@pytest.mark.parametrize(
    "options",
    [
        {"step": timedelta(0)},
        {"step": timedelta(microseconds=999)},
        {"grace": timedelta(-1)},
        {"ceiling": -1},
        {"ceiling": 256},
        {"urgent": 63},
        {"urgent": 256},
    ],
)
def test_aging_that_cannot_be_meant_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        Aging(**options)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] wrong on purpose


# --- properties ----------------------------------------------------------------------------------

agings = st.builds(
    Aging,
    grace=st.integers(0, 50).map(lambda ms: timedelta(milliseconds=ms)),
    step=st.integers(1, 20).map(lambda ms: timedelta(milliseconds=ms)),
    ceiling=st.integers(0, 255),
)
bases = st.integers(0, 255)


@given(agings, bases, st.integers(0, 10_000))
def test_the_effective_priority_is_that_of_the_formula(aging: Aging, base: int, wait: int) -> None:
    grace, step = (t // timedelta(milliseconds=1) for t in (aging.grace, aging.step))
    promotions = max(0, wait - grace) // step
    formula = base if base <= aging.ceiling else max(base - promotions, aging.ceiling)
    effective = AgingRule(aging).effective(base, wait)
    assert effective == formula
    assert effective <= base, "it never demotes"
    assert AgingRule(aging).effective(base, wait + 1) <= effective


@given(agings, bases, st.integers(0, 10_000))
def test_the_next_change_comes_in_that_millisecond_and_not_before(
    aging: Aging, base: int, wait: int
) -> None:
    rule = AgingRule(aging)
    effective, change = rule.aged(base, wait)
    if change is None:
        assert rule.effective(base, 10**9) == effective
    else:
        assert change > 0
        assert rule.effective(base, wait + change - 1) == effective
        assert rule.effective(base, wait + change) == effective - 1


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=8),
    st.integers(0, 80),
    st.integers(0, 80),
)
@settings(deadline=None, max_examples=300)
def test_age_is_the_time_outside_the_union_of_pauses(
    drawn: Sequence[tuple[int, int]], ready_at: int, now: int
) -> None:
    pauses = [(start, start + length) for start, length in drawn]
    held = {ms for start, end in pauses for ms in range(start, end)}
    waited = sum(ms not in held for ms in range(ready_at, now))
    assert AgeClock(pauses).waited(ready_at, now) == waited
