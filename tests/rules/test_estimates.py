"""Estimates follow what was reported, go on at the pace that was seen, and never run backwards."""

from __future__ import annotations

import math
from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill.rules.estimates import HORIZON, MOST_BYTES, SILENT, Reports, estimate

fractions = st.floats(0, 1)
seconds = st.floats(0, 1e7)
typicals = st.none() | st.floats(0, 1e7)
byte_counts = st.integers(0, 2**50)


@attrs.frozen
class Point:
    """A report of progress and one of bytes, so long after the one before."""

    after: float
    fraction: float
    done: int


points = st.lists(st.builds(Point, st.floats(0, 1e5), fractions, byte_counts), max_size=8)


def told(given: list[Point]) -> tuple[Reports, float]:
    """What a run has said that made these reports, and when it made the last."""
    reports, at = SILENT, 0.0
    for point in given:
        at += point.after
        reports = reports.progressed(point.fraction, None, at).flowed(point.done, None, at)
    return reports, at


# --- worked examples -----------------------------------------------------------------------------


def test_a_run_that_says_nothing_goes_by_what_such_runs_take() -> None:
    """Its type takes 100 s: straight up to 80 s, then ever slower, and never to the end."""
    at = {s: estimate(s, typical=100, report=None) for s in (0, 25, 80, 100, 200, 1e12)}
    assert [at[s].fraction for s in (0, 25, 80)] == pytest.approx([0, 0.25, 0.8])
    assert [at[s].left for s in (0, 25, 80)] == pytest.approx([100, 75, 20])
    assert [at[s].fraction for s in (100, 200)] == pytest.approx([0.9, 1 - 0.04 / 1.4])
    assert (at[1e12].fraction or 0) < 1
    assert [at[s].left for s in (100, 200)] == pytest.approx([10, 4 / 1.4])


def test_nothing_is_known_of_a_run_of_an_unknown_length_that_says_nothing() -> None:
    assert attrs.astuple(estimate(7, typical=None, report=None)) == (None, None)
    assert attrs.astuple(estimate(7, typical=0, report=None)) == (None, None)


def test_a_report_is_carried_on_at_the_pace_of_the_run() -> None:
    """A tenth after 10 s, whatever such runs take otherwise: a hundredth a second from there."""
    reports = SILENT.progressed(0.1, None, 10)
    found = estimate(30, typical=1e6, report=reports.said)
    assert found.fraction == pytest.approx(0.3)
    assert found.left == pytest.approx(70)


def test_the_pace_is_that_from_the_first_report_on() -> None:
    """What went before it may be a preparation, or the work of an earlier run."""
    reports = SILENT.progressed(0.5, None, 100).progressed(0.6, None, 110)
    found = estimate(120, typical=None, report=reports.said)
    assert found.fraction == pytest.approx(0.7)
    assert found.left == pytest.approx(30)


def test_without_a_pace_of_its_own_a_run_has_that_of_its_type() -> None:
    reports = SILENT.progressed(0, None, 5)
    assert estimate(15, typical=20, report=reports.said).fraction == pytest.approx(0.5)
    assert attrs.astuple(estimate(15, typical=None, report=reports.said)) == (0, None)


def test_what_falls_back_begins_anew() -> None:
    reports = SILENT.progressed(0.9, None, 10).progressed(0.1, None, 20).progressed(0.2, None, 30)
    assert estimate(30, typical=None, report=reports.said).fraction == pytest.approx(0.2)
    assert estimate(40, typical=None, report=reports.said).fraction == pytest.approx(0.3)


def test_a_message_stays_until_there_is_another() -> None:
    reports = SILENT.progressed(0.1, "copying", 1).flowed(5, None, 1).progressed(0.2, None, 2)
    assert reports.message == "copying"
    assert reports.progressed(0.3, "", 3).message == ""


def test_a_rate_follows_what_comes_and_falls_when_nothing_does() -> None:
    """100 bytes a second, reported each second; then 10 a second; then none."""
    reports = SILENT.flowed(0, 10_000, 0)
    assert reports.flow is not None
    assert reports.flow.rate(1) is None, "one report is no rate"
    for second in range(1, 11):
        reports = reports.flowed(second * 100, 10_000, second)
    assert reports.flow is not None
    assert reports.flow.rate(10) == pytest.approx(100)
    assert reports.flow.rate(11) == pytest.approx(100), "the next report is not overdue"
    for second in range(11, 21):
        reports = reports.flowed(1000 + (second - 10) * 10, 10_000, second)
    assert reports.flow is not None
    assert reports.flow.rate(20) == pytest.approx(10 + 90 / (1 + math.e), rel=0.01)
    silent = [reports.flow.rate(20 + silence) or 0 for silence in (1, 5, 20, 100)]
    assert silent == sorted(silent, reverse=True)
    assert silent[-1] < 0.01


def test_reports_may_come_as_they_like() -> None:
    """The same stream of bytes, told in bursts or evenly, or once a minute, has the same rate."""
    for times in ([1, 2, 3, 4, 5, 6], [0.001, 0.002, 3, 3.001, 6], [60, 120, 180]):
        reports = SILENT.flowed(0, None, 0)
        for at in times:
            reports = reports.flowed(round(at * 1e6), None, at)
        assert reports.flow is not None
        assert reports.flow.rate(times[-1]) == pytest.approx(1e6, rel=1e-6)


def test_fewer_bytes_than_before_begin_anew() -> None:
    reports = SILENT.flowed(100, None, 0).flowed(200, None, 1).flowed(10, None, 2)
    assert reports.flow is not None
    assert (reports.flow.done, reports.flow.rate(2)) == (10, None)
    again = reports.flowed(30, None, 3).flow
    assert again is not None
    assert again.rate(3) == pytest.approx(20)


def test_what_is_no_number_of_bytes_is_cut_or_refused() -> None:
    cut = SILENT.flowed(-5, -1, 1).flow
    assert cut is not None
    assert (cut.done, cut.total) == (0, 0)
    most = SILENT.flowed(10**400, 10**400, 1).flow
    assert most is not None
    assert (most.done, most.total) == (MOST_BYTES, MOST_BYTES)
    for wrong in (math.nan, math.inf, "many"):
        with pytest.raises((ValueError, OverflowError)):
            SILENT.flowed(wrong, None, 1)  # type: ignore[arg-type] # which checkers refuse


# --- what always holds ---------------------------------------------------------------------------


@given(points, typicals, seconds)
def test_an_estimate_is_below_one_and_no_less_than_reported(
    given: list[Point], typical: float | None, later: float
) -> None:
    reports, at = told(given)
    found = estimate(at + later, typical=typical, report=reports.said)
    if found.fraction is None:
        assert reports.said is None
    else:
        assert 0 <= found.fraction < 1
        assert found.fraction >= min(reports.fraction or 0, math.nextafter(1, 0))
    assert found.left is None or found.left > 0


@given(points, typicals, st.lists(seconds, min_size=2))
def test_while_nothing_is_reported_an_estimate_never_falls(
    given: list[Point], typical: float | None, later: list[float]
) -> None:
    reports, at = told(given)
    found = [estimate(at + s, typical=typical, report=reports.said) for s in sorted(later)]
    shown = [each.fraction for each in found if each.fraction is not None]
    assert shown == sorted(shown)
    left = [each.left for each in found if each.left is not None]
    assert left == sorted(left, reverse=True)
    assert len({each.fraction is None for each in found}) == 1


@given(points, typicals)
def test_at_a_report_the_estimate_is_what_was_reported(
    given: list[Point], typical: float | None
) -> None:
    reports, at = told([*given, Point(1, 0.5, 0)])
    assert estimate(at, typical=typical, report=reports.said).fraction == 0.5


@given(points, st.lists(seconds, min_size=2))
def test_a_rate_is_no_faster_than_any_report_and_never_rises_in_silence(
    given: list[Point], later: list[float]
) -> None:
    reports, at = told(given)
    if reports.flow is None:
        return
    rates = [reports.flow.rate(at + silence) for silence in sorted(later)]
    known = [rate for rate in rates if rate is not None]
    assert known in ([], rates)
    assert all(rate >= 0 for rate in known)
    for before, after in pairwise(known):
        assert after <= before * (1 + 1e-9)


@given(st.integers(1, 10**9), st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=30))
def test_an_even_stream_has_its_rate_however_it_is_told(rate: int, lengths: list[float]) -> None:
    reports, at = SILENT.flowed(0, None, 0), 0.0
    for length in lengths:
        at += length
        reports = reports.flowed(round(at * rate), None, at)
    assert reports.flow is not None
    rounding = 1 / (min(lengths) * rate)
    assert reports.flow.rate(at) == pytest.approx(rate, rel=1e-6 + 2 * rounding)


@given(st.integers(1, 100), st.integers(1, 100))
def test_an_old_rate_is_forgotten_within_a_few_horizons(old: int, new: int) -> None:
    reports = SILENT.flowed(0, None, 0).flowed(old * 100, None, 100)
    done = old * 100
    for second in range(1, round(6 * HORIZON) + 1):
        done += new
        reports = reports.flowed(done, None, 100 + second)
    assert reports.flow is not None
    assert reports.flow.rate(reports.flow.at) == pytest.approx(new, abs=0.01 * (old + new))
