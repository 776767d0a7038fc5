"""Cron lines in every time zone, against a walk over the minutes by the rules as documented.

The walk knows nothing of folds and gaps. Clocks show one local minute after another; where they
jump forward, a line with fixed minute and hour runs for the minutes that were jumped over, and
where they jump back it has run for those already. A line with ``*`` runs whenever clocks match.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo, available_timezones

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.cronline import times_after
from taskmill.model.times import from_ms, to_ms

MINUTE = 60
HOUR = 60 * MINUTE
DAY = 24 * HOUR
ZERO = timedelta(0)
ZONES = sorted(available_timezones())


@attrs.frozen(kw_only=True)
class Line:
    """A cron line twice: as text, and as what it means."""

    text: str
    minutes: Collection[int] = range(60)
    hours: Collection[int] = range(24)
    is_fixed: bool
    is_day: Callable[[datetime], bool] = lambda _: True

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.is_day(wall)


EVERY_MINUTE = Line(text="* * * * *", is_fixed=False)
LINES = (
    Line(text="*/15 * * * *", minutes=range(0, 60, 15), is_fixed=False),
    Line(text="*/20 0-3,23 * * *", minutes=(0, 20, 40), hours=(0, 1, 2, 3, 23), is_fixed=False),
    Line(text="7 */2 * * *", minutes=(7,), hours=range(0, 24, 2), is_fixed=False),
    Line(text="10,40 0,2 * * *", minutes=(10, 40), hours=(0, 2), is_fixed=True),
    Line(text="0,30,59 0-23 * * *", minutes=(0, 30, 59), is_fixed=True),
    Line(
        text="*/30 0,23 * * 0,2,4,5",
        minutes=(0, 30),
        hours=(0, 23),
        is_fixed=False,
        is_day=lambda wall: wall.isoweekday() in (7, 2, 4, 5),
    ),
    Line(text="45 1,3,23 * * *", minutes=(45,), hours=(1, 3, 23), is_fixed=True),
)


@attrs.frozen
class Stretch:
    """What clocks of a zone show, minute by minute, from ``start`` (in seconds since 1970) on."""

    start: int
    walls: Sequence[datetime]

    @property
    def end(self) -> int:
        return self.start + len(self.walls) * MINUTE


def stretch(zone: tzinfo, start: int, end: int) -> Stretch:
    minutes = range(start, end, MINUTE)
    return Stretch(start, [datetime.fromtimestamp(at, zone).replace(tzinfo=None) for at in minutes])


def walked(line: Line, walls: Stretch) -> list[int]:
    """When the line is due in the stretch, in seconds since 1970."""
    if not line.is_fixed:
        return [
            walls.start + i * MINUTE for i, wall in enumerate(walls.walls) if line.matches(wall)
        ]
    minute = timedelta(minutes=1)
    newest = walls.walls[0] - minute
    times: list[int] = []
    for i, wall in enumerate(walls.walls):
        if wall <= newest:
            continue
        if line.matches(wall) or (
            wall - newest > minute
            and any(line.matches(newest + n * minute) for n in range(1, (wall - newest) // minute))
        ):
            times.append(walls.start + i * MINUTE)
        newest = wall
    return times


def found(line: Line, zone: str, start: int, end: int) -> list[int]:
    """The same from the code that is tested; ``start`` is included, ``end`` is not."""
    times = takewhile(lambda ms: ms < end * 1000, times_after(line.text, zone, start * 1000 - 1))
    return [ms // 1000 for ms in times]


def next_found(line: Line, zone: str, after: int) -> int:
    return next(times_after(line.text, zone, after * 1000)) // 1000


# --- worked examples -----------------------------------------------------------------------------


def local(zone: str, line: str, after: str, count: int) -> list[str]:
    """The next times, as clocks in the zone show them, with the offset."""
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    times = times_after(line, zone, to_ms(start))
    return [
        from_ms(next(times)).astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z")
        for _ in range(count)
    ]


def test_a_fixed_time_that_is_skipped_runs_at_the_end_of_the_gap() -> None:
    """In Berlin clocks go from 02:00 to 03:00 on 29 March 2026."""
    assert local("Europe/Berlin", "30 2 * * *", "2026-03-27 12:00", 3) == [
        "28 02:30 +0100",
        "29 03:00 +0200",
        "30 02:30 +0200",
    ]


def test_what_the_end_of_a_gap_brings_together_runs_once() -> None:
    assert local("Europe/Berlin", "0,30 2,3 * * *", "2026-03-29 00:00", 3) == [
        "29 03:00 +0200",
        "29 03:30 +0200",
        "30 02:00 +0200",
    ]


def test_a_fixed_time_that_comes_twice_runs_the_first_time() -> None:
    """In Berlin clocks go from 03:00 to 02:00 on 25 October 2026."""
    assert local("Europe/Berlin", "30 2 * * *", "2026-10-24 12:00", 2) == [
        "25 02:30 +0200",
        "26 02:30 +0100",
    ]


def test_a_star_drops_what_is_skipped_and_runs_twice_what_comes_twice() -> None:
    assert local("Europe/Berlin", "*/30 2 * * *", "2026-03-28 12:00", 2) == [
        "30 02:00 +0200",
        "30 02:30 +0200",
    ]
    assert local("Europe/Berlin", "*/30 2 * * *", "2026-10-24 12:00", 5) == [
        "25 02:00 +0200",
        "25 02:30 +0200",
        "25 02:00 +0100",
        "25 02:30 +0100",
        "26 02:00 +0100",
    ]


def test_a_midnight_that_is_skipped_is_no_time_of_a_star() -> None:
    """In Cairo clocks go from 00:00 to 01:00 on 24 April 2026."""
    assert local("Africa/Cairo", "*/30 0 * * *", "2026-04-23 12:00", 1) == ["25 00:00 +0300"]


def test_half_an_hour_of_daylight_saving_loses_no_minute() -> None:
    """On Lord Howe Island clocks go from 02:00 to 01:30 on 5 April 2026."""
    assert local("Australia/Lord_Howe", "*/20 1,2 5 4 *", "2026-04-05 01:30", 5) == [
        "05 01:40 +1100",
        "05 01:40 +1030",
        "05 02:00 +1030",
        "05 02:20 +1030",
        "05 02:40 +1030",
    ]


def test_a_day_that_is_skipped_runs_at_the_end_of_it() -> None:
    """In Apia there was no 30 December 2011."""
    assert local("Pacific/Apia", "30 9 30 12 *", "2011-12-01 00:00", 1) == ["31 00:00 +1400"]
    assert local("Pacific/Apia", "30 9,18 * * *", "2011-12-29 09:30", 3) == [
        "29 18:30 -1000",
        "31 00:00 +1400",
        "31 09:30 +1400",
    ]


def test_winter_time_below_standard_time_is_an_offset_like_any_other() -> None:
    """Dublin's standard time is that of summer: what counts is the offset."""
    assert local("Europe/Dublin", "30 1 * * *", "2026-03-28 12:00", 2) == [
        "29 02:00 +0100",
        "30 01:30 +0100",
    ]


def test_rules_go_on_where_the_table_of_a_zone_ends() -> None:
    """Files of zones list changes up to 2037 and then give a rule."""
    assert local("America/New_York", "30 2 * * *", "2060-03-13 12:00", 2) == [
        "14 03:00 -0400",
        "15 02:30 -0400",
    ]


def test_asked_in_the_second_pass_a_fixed_line_does_not_go_back_to_the_first() -> None:
    second_pass = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 for the second time
    times = times_after("45 2 * * *", "Europe/Berlin", to_ms(second_pass))
    assert from_ms(next(times)) == datetime(2026, 10, 26, 1, 45, tzinfo=UTC)


# --- every zone ----------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Change:
    """Clocks of a zone are set at this moment, in seconds since 1970."""

    zone: str
    at: int


def offset(zone: tzinfo, at: int) -> timedelta | None:
    return datetime.fromtimestamp(at, zone).utcoffset()


def changes_of(zone: tzinfo, first: int, last: int) -> Iterator[int]:
    """All but those that are undone within three days; none has been."""
    for start, end in pairwise(range(first, last, 3 * DAY)):
        before = offset(zone, start)
        if offset(zone, end) != before:
            low, high = start, end
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == before else (low, middle)
            yield high


@cache
def changes() -> tuple[Change, ...]:
    """The changes of 2020 to 2040, one of those that are the same to clocks for three days round.

    From 2038 on zones follow a rule instead of their table: those changes are others.
    """
    first, by_rule, last = (
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2020, 2038, 2041)
    )
    unlike: dict[object, Change] = {}
    for name in ZONES:
        zone = ZoneInfo(name)
        moments = list(changes_of(zone, first, last))
        for at in moments:
            near = [other for other in moments if abs(other - at) <= 3 * DAY]
            offsets = (offset(zone, at - 3 * DAY), *(offset(zone, other) for other in near))
            key = (at % DAY, offsets, tuple(other - at for other in near), at >= by_rule)
            unlike.setdefault(key, Change(zone=name, at=at))
    return tuple(unlike.values())


def test_the_changes_of_all_zones_are_there_to_be_tested() -> None:
    assert len(ZONES) > 400, "where the machine has no time zones, tzdata must be installed"
    assert len(changes()) > 80
    steps = {
        (offset(ZoneInfo(change.zone), change.at) or ZERO)
        - (offset(ZoneInfo(change.zone), change.at - 1) or ZERO)
        for change in changes()
    }
    hour = timedelta(hours=1)
    assert {hour, -hour, hour / 2, -hour / 2, 2 * hour, -2 * hour} <= steps


def test_three_days_round_every_change_in_every_zone() -> None:
    for change in changes():
        walls = stretch(ZoneInfo(change.zone), change.at - 3 * DAY, change.at + 3 * DAY)
        for line in LINES:
            times = walked(line, walls)
            assert found(line, change.zone, walls.start, walls.end) == times, (change, line)
            for after in range(change.at - 3 * HOUR, change.at + 3 * HOUR, 11 * MINUTE - 1):
                expected = times[bisect_right(times, after)]
                assert next_found(line, change.zone, after) == expected, (change, line, after)


def test_each_minute_round_every_change_is_due_once() -> None:
    for change in changes():
        start, end = change.at - 4 * HOUR, change.at + 4 * HOUR
        assert found(EVERY_MINUTE, change.zone, start, end) == list(range(start, end, MINUTE))


# --- whole years ---------------------------------------------------------------------------------

DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


@st.composite
def fields(draw: st.DrawFn, last: int) -> tuple[str, Collection[int]]:
    """A field for minutes or hours, and the numbers it means."""
    start = draw(st.integers(0, last - 1))
    end = draw(st.integers(start + 1, last))  # cronsim takes 5-5/3 for 5/3
    step = draw(st.integers(1, last))
    one_by_one = sorted(draw(st.sets(st.integers(0, last), min_size=1, max_size=4)))
    return draw(
        st.sampled_from(
            [
                ("*", range(last + 1)),
                (f"*/{step}", range(0, last + 1, step)),
                (f"{start}-{end}", range(start, end + 1)),
                (f"{start}-{end}/{step}", range(start, end + 1, step)),
                (",".join(map(str, one_by_one)), one_by_one),
            ]
        )
    )


def is_last(day: datetime, days: int) -> bool:
    return (day + timedelta(days=days)).month != day.month


@st.composite
def lines(draw: st.DrawFn) -> Line:
    minute, minutes = draw(fields(59))
    hour, hours = draw(fields(23))
    day, month, weekday = (
        draw(st.integers(1, 31)),
        draw(st.integers(1, 12)),
        draw(st.integers(0, 6)),
    )
    nth = draw(st.integers(1, 4))

    def is_month(wall: datetime) -> bool:
        return wall.month == month

    def is_date(wall: datetime) -> bool:
        return wall.day == day

    def is_weekday(wall: datetime) -> bool:
        return wall.isoweekday() % 7 == weekday

    days: list[tuple[str, Callable[[datetime], bool]]] = [
        ("* * *", lambda _: True),
        (f"{day} * *", is_date),
        (f"* {month} *", is_month),
        ("L * *", lambda wall: is_last(wall, 1)),
        (f"* * {DAYS[weekday]}", is_weekday),
        (f"* * {weekday}#{nth}", lambda wall: is_weekday(wall) and (wall.day + 6) // 7 == nth),
        (f"* * {weekday}L", lambda wall: is_weekday(wall) and is_last(wall, 7)),
        (f"*/2 * {weekday}", lambda wall: is_weekday(wall) and wall.day % 2 == 1),
        (f"{day} * {weekday}", lambda wall: is_weekday(wall) or is_date(wall)),
    ]
    rest, is_day = draw(st.sampled_from(days))
    return Line(
        text=f"{minute} {hour} {rest}",
        minutes=minutes,
        hours=hours,
        is_fixed=not minute.startswith("*") and not hour.startswith("*"),
        is_day=is_day,
    )


@pytest.mark.nightly
@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.integers(2020, 2070), st.lists(lines(), min_size=4, max_size=4))
def test_whole_years_in_any_zone(zone: str, year: int, some: list[Line]) -> None:
    start, end = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 1))
    walls = stretch(ZoneInfo(zone), start, end)
    for line in some:
        assert found(line, zone, start, end) == walked(line, walls), line
