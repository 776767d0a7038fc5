"""Under pressure the less urgent wait: strictly above a limit, by base priority, nobody else."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.errors import ConfigurationError
from taskmill.model.sharing import Aging, Throttle
from taskmill.rules.gates import GateKind
from taskmill.rules.limits import Limits
from taskmill.rules.throttle import Pressure, PressureGate
from tests.rules.mill import Mill, checked, limits_of, task

URGENT_FIRST = (0, 64, 127, 128, 191, 192, 255)


def held_at(throttle: Throttle, level: float) -> list[int]:
    """Which of some priorities are held under this pressure."""
    limits = limits_of(throttle=throttle)
    limits.pressure.readings = {"cpu": level}
    return [p for p in URGENT_FIRST if limits.lane("a::one", None, p).first_closed(0) is not None]


@pytest.mark.parametrize(
    ("level", "held"),
    [
        (0.0, []),
        (0.50, []),
        (0.500001, [192, 255]),
        (0.75, [192, 255]),
        (0.750001, [128, 191, 192, 255]),
        (1.0, [128, 191, 192, 255]),
    ],
)
def test_background_is_held_above_a_half_and_normal_above_three_quarters(
    level: float, held: list[int]
) -> None:
    assert held_at(Throttle(), level) == held


def test_of_several_limits_that_hold_for_a_priority_the_lowest_counts() -> None:
    assert held_at(Throttle({128: 0.5, 192: 0.9}), 0.6) == [128, 191, 192, 255]


def test_no_limits_hold_nobody_and_a_limit_of_0_holds_under_any_pressure() -> None:
    assert held_at(Throttle({}), 1.0) == []
    assert held_at(Throttle({0: 0.0}), 0.0) == []
    assert held_at(Throttle({0: 0.0}), 0.01) == list(URGENT_FIRST)


def test_the_highest_reading_counts_and_is_named() -> None:
    pressure = Pressure()
    assert (pressure.level, pressure.worst) == (0.0, "")
    pressure.readings = {"cpu": 0.2, "disk": 0.9, "net": 0.3}
    assert (pressure.level, pressure.worst) == (0.9, "disk")
    assert PressureGate(0.9, pressure).is_open(0)
    assert not PressureGate(0.89, pressure).is_open(0)


def test_without_anything_that_measures_nobody_asks_for_pressure() -> None:
    kinds = {gate.kind for gate in limits_of().lane("a::one", None, 255).gates}
    assert GateKind.PRESSURE not in kinds


def test_what_is_held_holds_nothing_else_and_starts_when_the_pressure_falls() -> None:
    yard = Mill(limits_of(throttle=Throttle()))
    idle, normal, high = task(1, priority=255), task(2, priority=128), task(3, priority=64)
    yard.set_pressure(0.8)
    yard.add(idle, normal, high)
    assert checked(yard) == [high]
    yard.set_pressure(0.6)
    assert checked(yard) == [normal]
    yard.set_pressure(0.5)
    assert checked(yard) == [idle]


def test_a_task_that_has_aged_is_held_by_its_base_priority() -> None:
    aging = Aging()
    yard = Mill(limits_of(throttle=Throttle(), aging=aging))
    yard.add(task(1, priority=192))
    yard.set_pressure(0.6)
    yard.wait(100_000)
    assert checked(yard, aging=aging) == []


@pytest.mark.parametrize("limits", [{256: 0.5}, {-1: 0.5}, {128: 1.1}, {128: float("nan")}])
def test_a_throttle_that_cannot_be_meant_is_refused(limits: Mapping[int, float]) -> None:
    with pytest.raises(ConfigurationError, match="throttle"):
        Throttle(limits)


levels = st.sampled_from((0.0, 0.25, 0.5, 0.75, 1.0))


@given(
    st.dictionaries(st.integers(0, 255), levels, max_size=5),
    st.none() | st.integers(0, 255),
    levels,
    st.integers(0, 255),
)
@settings(deadline=None)
def test_every_priority_is_in_a_lane_that_is_held_as_it_has_to_be(
    given_limits: Mapping[int, float], preempt_at: int | None, level: float, priority: int
) -> None:
    """Bands are cut where a limit begins and behind the last priority that preempts."""
    limits: Limits = limits_of(throttle=Throttle(given_limits), preempt_at=preempt_at)
    limits.pressure.readings = {"cpu": level}
    lane = limits.lane("a::one", None, priority)
    held = any(priority >= floor and level > limit for floor, limit in given_limits.items())
    assert (lane.first_closed(0) is not None) == held
    assert lane.is_urgent == (preempt_at is not None and priority <= preempt_at)
    for other in range(256):
        if limits.band(other) == limits.band(priority):
            assert limits.lane("a::one", None, other) is lane
