"""Means and quantiles, against the definition."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill.rules.quantiles import mean, quantile


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.parametrize(
    ("part", "expected"), [(0, 1), (0.5, 2), (0.51, 3), (0.75, 3), (0.95, 4), (1, 4)]
)
def test_a_quantile_is_a_value_that_is_there(part: float, expected: int) -> None:
    assert quantile([1, 2, 3, 4], part) == seconds(expected)


def test_of_nothing_there_is_neither() -> None:
    assert (mean([]), quantile([], 0.5)) == (None, None)


def test_a_mean_is_the_sum_shared_out() -> None:
    assert mean([1, 2, 6]) == seconds(3)


@given(st.lists(st.integers(0, 50), min_size=1), st.integers(0, 100))
def test_it_is_the_smallest_value_that_so_many_do_not_exceed(
    values: list[int], percent: int
) -> None:
    ordered = sorted(values)
    found = quantile(ordered, percent / 100)
    assert found is not None
    within = [value for value in ordered if seconds(value) <= found]
    below = [value for value in ordered if seconds(value) < found]
    assert len(within) * 100 >= percent * len(ordered)
    assert not below or len(below) * 100 < percent * len(ordered)
