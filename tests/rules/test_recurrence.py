"""A schedule keeps to its grid, makes each occurrence once, and counts what it missed."""

from __future__ import annotations

import builtins
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from itertools import chain, count, islice, pairwise, takewhile
from types import ModuleType
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.cronline import times_after
from taskmill.model.errors import ConfigurationError
from taskmill.model.schedules import CatchUp, Cron, Every, Overlap, Recurrence
from taskmill.model.times import MILLISECOND, from_ms, to_ms
from taskmill.rules.recurrence import (
    MOST_COUNTED,
    Due,
    Pace,
    begin,
    completed,
    due,
    rule_from_json,
    rule_to_json,
    skip,
    upsert,
)

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = to_ms(NOON)


def running(rule: Recurrence, pace: Pace, now_ms: int, limit: int = 100) -> Due:
    return due(rule, pace, now_ms, is_opening=False, limit=limit)


def opening(rule: Recurrence, pace: Pace, now_ms: int, limit: int = 100) -> Due:
    return due(rule, pace, now_ms, is_opening=True, limit=limit)


def clock(ms: int) -> str:
    return from_ms(ms).strftime("%H:%M:%S")


def clocks(times: Sequence[int]) -> list[str]:
    return [clock(ms) for ms in times]


# --- worked examples -----------------------------------------------------------------------------


def test_an_hourly_schedule_runs_each_hour_however_late_it_is_looked_at() -> None:
    """Begun at noon, and looked at a little late each time."""
    rule = Every(HOUR)
    pace = begin(rule, NOW)
    assert clock(pace.next_ms or 0) == "13:00:00"
    times: list[int] = []
    for late_ms in (0, 7, 59_000, 1, 3_599_999):
        outcome = running(rule, pace, (pace.next_ms or 0) + late_ms)
        assert outcome.missed == 0
        times += outcome.times
        pace = outcome.pace
    assert clocks(times) == ["13:00:00", "14:00:00", "15:00:00", "16:00:00", "17:00:00"]
    assert pace.runs == 5


def test_nothing_is_due_before_its_time() -> None:
    pace = begin(Every(HOUR), NOW)
    before = running(Every(HOUR), pace, NOW + HOUR_MS - 1)
    assert before == Due(times=(), missed=0, pace=pace, has_ended=False)


def test_an_anchor_in_the_past_sets_the_grid_and_one_to_come_is_the_first_time() -> None:
    past = Every(HOUR, anchor=datetime(2020, 1, 1, 0, 20, tzinfo=UTC))
    assert clock(begin(past, NOW).next_ms or 0) == "12:20:00"
    assert begin(Every(HOUR, anchor=NOON), NOW).next_ms == NOW, "now is on its grid"
    to_come = Every(HOUR, anchor=NOON + timedelta(days=400))
    assert begin(to_come, NOW).next_ms == NOW + 400 * 24 * HOUR_MS


def test_the_initial_delay_is_until_the_first_time_only() -> None:
    rule = Every(HOUR, initial_delay=MINUTE)
    first = running(rule, begin(rule, NOW), NOW + 60_000)
    assert clocks(first.times) == ["12:01:00"]
    assert clock(first.pace.next_ms or 0) == "13:01:00"
    assert begin(Every(HOUR, initial_delay=timedelta(0)), NOW).next_ms == NOW


@pytest.mark.parametrize(
    ("catch_up", "times", "missed", "following"),
    [
        (CatchUp.SKIP, [], 3, "16:00:00"),
        (CatchUp.ONE, ["15:00:00"], 2, "16:00:00"),
        (CatchUp.ALL, ["13:00:00", "14:00:00", "15:00:00"], 0, "16:00:00"),
    ],
)
@pytest.mark.parametrize("rule", [Every(HOUR), Cron("0 * * * *")])
def test_after_downtime_the_rule_says_what_is_caught_up(
    rule: Recurrence, catch_up: CatchUp, times: list[str], missed: int, following: str
) -> None:
    """Begun at noon, down from then until 15:30."""
    rule = attrs.evolve(rule, catch_up=catch_up)
    outcome = opening(rule, begin(rule, NOW), NOW + 3 * HOUR_MS + HOUR_MS // 2)
    assert clocks(outcome.times) == times
    assert outcome.missed == missed
    assert clock(outcome.pace.next_ms or 0) == following
    assert outcome.pace.runs == len(times)


@pytest.mark.parametrize("catch_up", [CatchUp.SKIP, CatchUp.ONE])
@pytest.mark.parametrize("interval_ms", [1, 100])
def test_a_process_that_was_too_slow_runs_the_latest_of_those_due(
    catch_up: CatchUp, interval_ms: int
) -> None:
    rule = Every(interval_ms * MILLISECOND, catch_up=catch_up)
    outcome = running(rule, begin(rule, NOW), NOW + 5 * interval_ms)
    assert outcome.times == (NOW + 5 * interval_ms,)
    assert outcome.missed == 4
    assert outcome.pace.next_ms == NOW + 6 * interval_ms


@pytest.mark.parametrize("rule", [Every(HOUR, catch_up=CatchUp.ALL), Cron("0 * * * *")])
def test_all_that_was_missed_comes_in_portions(rule: Recurrence) -> None:
    rule = attrs.evolve(rule, catch_up=CatchUp.ALL)
    now = NOW + 5 * HOUR_MS + 1
    first = opening(rule, begin(rule, NOW), now, limit=2)
    assert clocks(first.times) == ["13:00:00", "14:00:00"]
    assert first.pace.next_ms == NOW + 3 * HOUR_MS, "the others are still due"
    second = running(rule, first.pace, now, limit=2)
    third = running(rule, second.pace, now, limit=2)
    assert clocks(second.times + third.times) == ["15:00:00", "16:00:00", "17:00:00"]
    assert third.pace == attrs.evolve(first.pace, next_ms=NOW + 6 * HOUR_MS, runs=5)


def test_a_schedule_ends_with_its_last_run() -> None:
    rule = Every(HOUR, max_runs=2)
    first = running(rule, begin(rule, NOW), NOW + HOUR_MS)
    assert not first.has_ended
    last = running(rule, first.pace, NOW + 2 * HOUR_MS)
    assert last.times == (NOW + 2 * HOUR_MS,)
    assert last.has_ended
    assert last.pace.next_ms is None
    after = running(rule, last.pace, NOW + 9 * HOUR_MS)
    assert after == Due(times=(), missed=0, pace=last.pace, has_ended=True)


def test_what_was_missed_does_not_count_as_a_run() -> None:
    rule = Every(HOUR, max_runs=2)
    outcome = opening(rule, begin(rule, NOW), NOW + 50 * HOUR_MS)
    assert (outcome.missed, outcome.pace.runs, outcome.has_ended) == (50, 0, False)


def test_catching_up_stops_at_the_last_run() -> None:
    rule = Every(HOUR, max_runs=3, catch_up=CatchUp.ALL)
    outcome = opening(rule, begin(rule, NOW), NOW + 50 * HOUR_MS)
    assert clocks(outcome.times) == ["13:00:00", "14:00:00", "15:00:00"]
    assert outcome.has_ended


def test_after_completion_the_next_time_counts_from_the_end_of_the_last_run() -> None:
    rule = Every(HOUR, after_completion=True)
    first = running(rule, begin(rule, NOW), NOW + HOUR_MS)
    assert first.pace.next_ms is None
    assert not first.has_ended
    assert running(rule, first.pace, NOW + 9 * HOUR_MS).times == ()
    pace = completed(rule, first.pace, NOW + 9 * HOUR_MS + 1)
    assert pace.next_ms == NOW + 10 * HOUR_MS + 1


def test_after_completion_has_one_occurrence_to_miss() -> None:
    for catch_up, times in ((CatchUp.SKIP, 0), (CatchUp.ONE, 1), (CatchUp.ALL, 1)):
        rule = Every(HOUR, after_completion=True, catch_up=catch_up)
        outcome = opening(rule, begin(rule, NOW), NOW + 50 * HOUR_MS)
        assert len(outcome.times) == times
        assert outcome.missed == 1 - times
        assert outcome.pace.next_ms == (None if times else NOW + 51 * HOUR_MS)


def test_after_completion_ends_with_its_last_run_too() -> None:
    rule = Every(HOUR, after_completion=True, max_runs=1)
    outcome = running(rule, begin(rule, NOW), NOW + HOUR_MS)
    assert outcome.has_ended
    assert completed(rule, outcome.pace, NOW + 2 * HOUR_MS) == outcome.pace


def test_a_completed_task_changes_nothing_where_nobody_waits_for_it() -> None:
    for rule in (Every(HOUR), Cron("0 * * * *"), Every(HOUR, after_completion=True)):
        pace = begin(rule, NOW)
        assert completed(rule, pace, NOW + 1) == pace


def test_what_an_overlap_or_a_pause_skips_is_no_run_and_keeps_the_grid() -> None:
    rule = Every(HOUR, max_runs=2)
    pace = begin(rule, NOW)
    outcome = skip(rule, pace, NOW + 3 * HOUR_MS + 5)
    assert outcome == Due(
        times=(), missed=3, pace=attrs.evolve(pace, next_ms=NOW + 4 * HOUR_MS), has_ended=False
    )
    assert skip(rule, pace, NOW).pace == pace, "what is to come is kept"


def test_a_schedule_declared_again_keeps_its_pace_and_a_changed_one_begins_anew() -> None:
    rule = Every(HOUR)
    pace = running(rule, begin(rule, NOW), NOW + HOUR_MS).pace
    later = NOW + HOUR_MS + 60_000
    assert upsert(rule_to_json(rule), Every(timedelta(minutes=60)), pace, later) == pace
    for changed in (Every(2 * HOUR), Every(HOUR, max_runs=9), Cron("0 * * * *")):
        assert upsert(rule_to_json(rule), changed, pace, later) == begin(changed, later)


def test_weekdays_at_nine_in_berlin() -> None:
    """Over the change to summer time on Sunday 29 March 2026."""
    rule = Cron("0 9 * * MON-FRI", tz="Europe/Berlin", catch_up=CatchUp.ALL)
    friday = to_ms(datetime(2026, 3, 27, 8, tzinfo=UTC))
    outcome = opening(rule, begin(rule, friday - 1), friday + 5 * 24 * HOUR_MS)
    assert [f"{from_ms(ms):%a %H:%M}" for ms in outcome.times] == [
        "Fri 08:00",
        "Mon 07:00",
        "Tue 07:00",
        "Wed 07:00",
    ]


def test_the_next_time_that_was_announced_is_the_one_that_runs() -> None:
    """The zone's rules may have changed since."""
    pace = Pace(anchor_ms=NOW, next_ms=NOW + 77)
    outcome = running(Cron("0 * * * *"), pace, NOW + 100)
    assert outcome.times == (NOW + 77,)
    assert outcome.pace.next_ms == NOW + HOUR_MS


def test_a_zone_that_skips_all_further_times_ends_the_schedule(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def two(_line: str, _tz: str, after_ms: int) -> Iterator[int]:
        return iter([at for at in (NOW + 1, NOW + 2) if at > after_ms])

    rule = Cron("0 * * * *", catch_up=CatchUp.ALL)
    monkeypatch.setattr("taskmill.rules.recurrence.times_after", two)
    pace = begin(rule, NOW)
    first = running(rule, pace, NOW + 1)
    assert (first.times, first.has_ended) == ((NOW + 1,), False)
    last = running(rule, first.pace, NOW + 9)
    assert (last.times, last.pace.next_ms, last.has_ended) == ((NOW + 2,), None, True)
    assert opening(attrs.evolve(rule, catch_up=CatchUp.SKIP), pace, NOW + 9).has_ended
    assert begin(rule, NOW + 2).next_ms is None


# --- long downtimes ------------------------------------------------------------------------------


def test_a_century_of_milliseconds_is_counted_at_once() -> None:
    rule = Every(MILLISECOND)
    pace = begin(rule, NOW)
    now = NOW + 100 * YEAR_MS
    assert opening(rule, pace, now).missed == 100 * YEAR_MS
    assert running(rule, pace, now).times == (now,)
    every = attrs.evolve(rule, catch_up=CatchUp.ALL)
    assert opening(every, pace, now, limit=3).times == (NOW + 1, NOW + 2, NOW + 3)


def test_years_of_cron_are_counted_up_to_a_bound_and_the_latest_is_found() -> None:
    rule = Cron("* * * * *", tz="Europe/Berlin", catch_up=CatchUp.ONE)
    now = NOW + 10 * YEAR_MS + 1
    outcome = opening(rule, begin(rule, NOW), now)
    assert outcome.times == (now - 1,)
    assert outcome.missed == MOST_COUNTED - 1
    rare = Cron("* 0 29 2 *", catch_up=CatchUp.ONE)
    outcome = opening(rare, begin(rare, NOW), to_ms(datetime(2035, 1, 1, tzinfo=UTC)))
    assert from_ms(outcome.times[0]) == datetime(2032, 2, 29, 0, 59, tzinfo=UTC)


def test_a_large_limit_looks_no_further_than_the_next_time() -> None:
    rule = Cron("0 0 29 2 *", catch_up=CatchUp.ALL)
    now = to_ms(datetime(2033, 1, 1, tzinfo=UTC))
    outcome = opening(rule, begin(rule, NOW), now, limit=1_000_000)
    assert [from_ms(ms).year for ms in outcome.times] == [2028, 2032]
    assert from_ms(outcome.pace.next_ms or 0).year == 2036


# --- what is refused -----------------------------------------------------------------------------


def every(*args: Any, **options: Any) -> object:
    return Every(*args, **options)


def cron(*args: Any, **options: Any) -> object:
    return Cron(*args, **options)


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (timedelta(0), "more than zero"),
        (-HOUR, "from zero"),
        (timedelta(microseconds=999), "whole milliseconds"),
        (timedelta(seconds=1) / 3, "whole milliseconds"),
        (timedelta(days=36_526), "36525 days"),
        (60, "timedelta"),
        (None, "timedelta"),
    ],
)
def test_an_interval_that_is_none_is_refused(interval: object, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Every's interval.*{words}"):
        every(interval)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"anchor": datetime(2026, 1, 1)}, "anchor.*time zone"),  # noqa: DTZ001 - what is refused
        ({"anchor": "2026-01-01"}, "anchor.*time zone"),
        ({"anchor": datetime.max.replace(tzinfo=timezone(-HOUR))}, "anchor.*UTC"),
        ({"max_runs": 0}, "max_runs.*from 1"),
        ({"max_runs": True}, "max_runs.*from 1"),
        ({"max_runs": 2.0}, "max_runs.*from 1"),
        ({"initial_delay": -HOUR}, "initial_delay.*from zero"),
        ({"initial_delay": timedelta(microseconds=1)}, "initial_delay.*whole milliseconds"),
        ({"after_completion": 1}, "after_completion.*True or False"),
        ({"catch_up": "all"}, "catch_up.*CatchUp.ALL"),
        ({"overlap": "queue"}, "overlap.*Overlap.QUEUE"),
        ({"anchor": NOON, "initial_delay": HOUR}, "anchor=.*initial_delay=.*one of them"),
        ({"anchor": NOON, "after_completion": True}, "anchor=.*after_completion=.*one of them"),
    ],
)
def test_options_of_every_that_mean_nothing_are_refused(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        every(HOUR, **options)


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("", {}, "five fields"),
        ("* * * *", {}, "five fields"),
        ("0 * * * * *", {}, "five fields.*take Every"),
        ("@daily", {}, "five fields"),
        (5, {}, "five fields.*not 5"),
        ("0 0 * * " + "1," * 600 + "1", {}, "five fields"),
        ("60 * * * *", {}, "'60 .*bad minute"),
        ("0 24 * * *", {}, "bad hour"),
        ("0 0 0 * *", {}, "bad day-of-month"),
        ("0 0 * * MOO", {}, "bad day-of-week"),
        ("\ud800 0 * * *", {}, "bad minute"),
        ("0 0 30 2 *", {}, "bad day-of-month"),
        ("0 9 * * *", {"tz": "Europe/Atlantis"}, "unknown time zone 'Europe/Atlantis'"),
        ("0 9 * * *", {"tz": "Europe"}, "unknown time zone"),
        ("0 9 * * *", {"tz": "../etc/passwd"}, "unknown time zone"),
        ("0 9 * * *", {"tz": "\ud800"}, "unknown time zone"),
        ("0 9 * * *", {"tz": "x" * 5000}, "unknown time zone"),
        ("0 9 * * *", {"tz": UTC}, "by its name"),
        ("0 9 * * *", {"max_runs": 0}, "Cron's max_runs"),
        ("0 9 * * *", {"catch_up": None}, "Cron's catch_up"),
        ("0 9 * * *", {"overlap": CatchUp.SKIP}, "Cron's overlap"),
    ],
)
def test_a_cron_that_means_nothing_is_refused(
    line: object, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        cron(line, **options)


def test_a_line_whose_only_times_the_zone_skips_is_refused() -> None:
    """In Cairo, summer time begins by skipping the first hour of April's last Friday."""
    assert begin(Cron("30 0 * 4 5L", tz="Africa/Cairo"), NOW).next_ms, "at the end of the gap"
    with pytest.raises(ConfigurationError, match="never due in Africa/Cairo"):
        cron("*/15 0 * 4 5L", tz="Africa/Cairo")


@pytest.mark.parametrize("line", ["0 0 29 2 *", "0 0 * 2 MON#5", "0 0 L * *", "0 0 LW 2 *"])
def test_rare_lines_are_not_taken_for_ones_that_never_match(line: str) -> None:
    assert begin(Cron(line), NOW + 70 * YEAR_MS).next_ms is not None


def test_without_cronsim_cron_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without(name: str, *args: Any, **options: Any) -> ModuleType:
        if name == "cronsim":
            raise ModuleNotFoundError(name)
        return imported(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=r'pip install "taskmill\[cron\]"'):
        Cron("0 9 * * *")
    assert begin(Every(HOUR), NOW).next_ms


def test_cronsim_is_imported_by_the_first_cron() -> None:
    code = (
        "import sys, taskmill.rules.recurrence as r; r.begin(r.Every(r.MILLISECOND), 0);"
        "print('cronsim' in sys.modules); r.Cron('* * * * *'); print('cronsim' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True"]


# --- rules as text -------------------------------------------------------------------------------


def test_a_rule_as_text_holds_what_was_chosen_and_no_defaults() -> None:
    assert rule_to_json(Every(MINUTE)) == '{"every_ms": 60000}'
    assert rule_to_json(Cron("0 9 * * mon-fri", tz="Europe/Berlin", catch_up=CatchUp.ONE)) == (
        '{"catch_up": "one", "cron": "0 9 * * MON-FRI", "tz": "Europe/Berlin"}'
    )
    assert rule_to_json(Every(MINUTE, anchor=NOON, max_runs=3, overlap=Overlap.QUEUE)) == (
        f'{{"anchor_ms": {NOW}, "every_ms": 60000, "max_runs": 3, "overlap": "queue"}}'
    )


def test_ways_to_write_one_rule_are_equal() -> None:
    assert Cron(" 0  9 * * mon ") == Cron("0 9 * * MON")
    berlin = datetime(2026, 3, 2, 13, 0, 0, 999, tzinfo=timezone(HOUR))
    assert Every(HOUR, anchor=berlin) == Every(HOUR, anchor=NOON)


def test_a_stored_rule_with_an_unknown_option_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="jitter_ms"):
        rule_from_json('{"every_ms": 1000, "jitter_ms": 5}')


# --- properties ----------------------------------------------------------------------------------

moments = st.integers(NOW - YEAR_MS, NOW + YEAR_MS)
lengths = st.one_of(
    st.integers(1, 50), st.integers(1, 10 * HOUR_MS), st.integers(1, 36_525 * 24 * HOUR_MS)
)
LINES = ("* * * * *", "*/7 * * * *", "30 2 * * *", "0 */6 * * SUN", "0 0 1 1 *", "15 3 29 2 *")
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana")


@st.composite
def everys(draw: st.DrawFn, interval: st.SearchStrategy[int] = lengths) -> Every:
    begins = draw(st.sampled_from(["anchor", "delay", "after", "neither"]))
    return Every(
        draw(interval) * MILLISECOND,
        anchor=from_ms(draw(moments)) if begins == "anchor" else None,
        initial_delay=draw(st.integers(0, HOUR_MS)) * MILLISECOND if begins == "delay" else None,
        after_completion=begins == "after",
        max_runs=draw(st.none() | st.integers(1, 30)),
        catch_up=draw(st.sampled_from(CatchUp)),
        overlap=draw(st.sampled_from(Overlap)),
    )


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    return Cron(
        draw(st.sampled_from(LINES)),
        tz=draw(st.sampled_from(ZONES)),
        max_runs=draw(st.none() | st.integers(1, 30)),
        catch_up=draw(st.sampled_from(CatchUp)),
        overlap=draw(st.sampled_from(Overlap)),
    )


rules = st.one_of(everys(), crons())


def calendar(rule: Recurrence, first_ms: int) -> Iterator[int]:
    """All times from the first on, one by one."""
    match rule:
        case Every():
            return count(first_ms, rule.interval // MILLISECOND)
        case Cron():
            return chain((first_ms,), times_after(rule.line, rule.tz, first_ms))


@given(rules, rules)
def test_texts_are_equal_where_rules_are_and_come_back(one: Recurrence, other: Recurrence) -> None:
    for rule in (one, other):
        assert rule_from_json(rule_to_json(rule)) == rule
    assert (rule_to_json(one) == rule_to_json(other)) == (one == other)


@given(everys(), moments)
def test_the_first_time_is_the_first_of_the_grid_that_is_not_over(rule: Every, now: int) -> None:
    pace = begin(rule, now)
    interval = rule.interval // MILLISECOND
    first = pace.next_ms
    assert first is not None
    assert pace.runs == 0
    assert first >= now
    assert (first - pace.anchor_ms) % interval == 0
    assert first == pace.anchor_ms or first - now < interval


@settings(deadline=None)
@given(rules, moments, st.integers(1, 40), st.booleans(), st.data())
def test_what_is_due_is_what_a_walk_over_the_calendar_finds(
    rule: Recurrence, start: int, limit: int, is_opening: bool, data: st.DataObject
) -> None:
    """Against the definition of each catch_up, on a list of all that is due."""
    pace = attrs.evolve(
        begin(rule, start), runs=data.draw(st.integers(0, (rule.max_runs or 9) - 1))
    )
    first = pace.next_ms
    assert first is not None
    is_counting_ends = isinstance(rule, Every) and rule.after_completion
    ahead = list(islice(calendar(rule, first), 201))
    place = data.draw(st.integers(-1, 199))
    now = first - 1 if place < 0 else data.draw(st.integers(ahead[place], ahead[place + 1] - 1))
    listed = list(takewhile(lambda ms: ms <= now, ahead[: 1 if is_counting_ends else None]))
    room = 10**9 if rule.max_runs is None else rule.max_runs - pace.runs
    expected = listed[-1:]
    if rule.catch_up is CatchUp.ALL:
        expected = listed[: min(limit, room)]
    elif rule.catch_up is CatchUp.SKIP and is_opening:
        expected = []
    has_ended = len(expected) == room
    if rule.catch_up is CatchUp.ALL:
        missed, rest = 0, ahead[len(expected)]
    else:
        missed, rest = len(listed) - len(expected), ahead[len(listed)]
    following: int | None = rest
    if has_ended or (expected and is_counting_ends):
        following = None
    elif listed and is_counting_ends:
        following = now + rule.interval // MILLISECOND if isinstance(rule, Every) else None

    outcome = due(rule, pace, now, is_opening=is_opening, limit=limit)
    assert outcome == Due(
        times=tuple(expected),
        missed=missed,
        pace=attrs.evolve(pace, next_ms=following, runs=pace.runs + len(expected)),
        has_ended=has_ended,
    )


@settings(deadline=None)
@given(
    st.one_of(everys(st.integers(1, 2000)), crons()),
    st.lists(
        st.tuples(st.integers(0, 5_000) | st.integers(0, 30 * HOUR_MS), st.booleans()),
        max_size=30,
    ),
    st.integers(1, 50),
)
def test_no_occurrence_is_made_twice_or_off_the_grid_or_beyond_the_last(
    rule: Recurrence, looks: Sequence[tuple[int, bool]], limit: int
) -> None:
    """A schedule over many looks, with restarts, the same declaration again, and ends of tasks."""
    now = NOW
    pace = begin(rule, now)
    times: list[int] = []
    for step, is_opening in looks:
        now += step
        pace = upsert(rule_to_json(rule), rule, pace, now)
        outcome = due(rule, pace, now, is_opening=is_opening, limit=limit)
        assert all(at <= now for at in outcome.times)
        assert outcome.has_ended == (rule.max_runs == len(times) + len(outcome.times))
        assert len(outcome.times) <= limit
        times += outcome.times
        pace = completed(rule, outcome.pace, now)
        if pace.next_ms is not None and rule.catch_up is not CatchUp.ALL:
            assert pace.next_ms > now
    assert all(earlier < later for earlier, later in pairwise(times))
    assert pace.runs == len(times) <= (rule.max_runs or len(times))
    assert (pace.next_ms is None) == (rule.max_runs == len(times))
    if isinstance(rule, Every) and not rule.after_completion:
        assert {(at - pace.anchor_ms) % (rule.interval // MILLISECOND) for at in times} <= {0}


@settings(deadline=None)
@given(crons(), moments, st.integers(0, 5 * YEAR_MS))
def test_the_latest_time_of_a_long_downtime_is_the_last_one(
    rule: Cron, start: int, downtime: int
) -> None:
    rule = attrs.evolve(rule, catch_up=CatchUp.ONE, max_runs=None)
    pace = begin(rule, start)
    outcome = opening(rule, pace, start + downtime)
    if not outcome.times:
        assert (pace.next_ms or 0) > start + downtime
        return
    (latest,) = outcome.times
    assert latest <= start + downtime
    assert next(times_after(rule.line, rule.tz, latest)) == outcome.pace.next_ms
    assert (outcome.pace.next_ms or 0) > start + downtime
    assert outcome.missed < MOST_COUNTED
