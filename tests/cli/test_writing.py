"""How times, texts and values are written and read: for people, for programs, and harmlessly."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from taskmill import Every, IoTotals, TaskStatus
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.harmless import lines, one_line, shortened
from taskmill.cli.moments import away, clock, parse_length, parse_moment, short, utc, when
from taskmill.cli.timetable import rule_text

NOW = datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)


# --- texts ---------------------------------------------------------------------------------------


def test_escape_sequences_and_line_breaks_are_spelt_out() -> None:
    assert one_line("a\x1b[2J\nb\x07") == r"a\x1b[2J\nb\x07"
    assert one_line("\u202egnp.exe") == r"\u202egnp.exe"
    assert one_line("\x9b31m") == r"\x9b31m"
    assert one_line("\ud800") == r"\ud800"


def test_what_shows_is_left_alone() -> None:
    assert one_line("日本語 é 😀 [bold]x[/bold]") == "日本語 é 😀 [bold]x[/bold]"
    assert one_line("a\u3000b\xa0c") == "a b c"
    assert lines("one\r\n\ttwo\x0cthree") == "one\n    two\nthree"
    assert (shortened("abcd", 4), shortened("abcde", 4)) == ("abcd", "abc…")


@given(st.text())
def test_no_text_has_anything_left_that_a_terminal_obeys(text: str) -> None:
    shown = one_line(text)
    assert shown.isprintable()
    assert "\x1b" not in lines(text)
    assert cell_len(shown) >= 0
    shown.encode()


# --- times ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("7d", 604_800),
        ("2W", 1_209_600),
        ("0.5s", 0.5),
        ("250ms", 0.25),
    ],
)
def test_lengths_are_written_with_units(text: str, seconds: float) -> None:
    assert parse_length(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "7", "d", "7 years", "-1h", "1h-", "x7d", "0s", "999999999d"])
def test_other_lengths_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="10m"):
        parse_length(text)


def test_a_moment_is_a_date_a_time_or_how_long_ago() -> None:
    assert parse_moment("2h", NOW) == NOW - timedelta(hours=2)
    assert parse_moment("2031-02-03T04:05Z", NOW) == NOW.replace(second=0)
    assert parse_moment("2031-02-03T05:05+01:00", NOW) == NOW.replace(second=0)
    assert parse_moment("2031-02-03", NOW) == datetime(2031, 2, 3).astimezone(UTC)
    for wrong in ("yesterday", "2031-13-01", "0001-01-01T00:00+14:00", ""):
        with pytest.raises(ValueError, match="no moment"):
            parse_moment(wrong, NOW)


def test_people_read_local_time_and_how_long_ago() -> None:
    at = NOW - timedelta(minutes=3, seconds=10)
    assert when(at, NOW) == f"{at.astimezone():%Y-%m-%d %H:%M:%S} (3 min ago)"
    assert away(NOW + timedelta(hours=2), NOW) == "in 2 h"
    assert away(NOW, NOW) == "now"
    assert [short(s) for s in (0.25, 5, 59, 3600, 200_000)] == [
        "0.25 s",
        "5 s",
        "59 s",
        "1 h",
        "2 d",
    ]
    assert [clock(s) for s in (7, 3723, 3 * 86_400 + 60)] == ["0:07", "1:02:03", "3d 00:01"]


def test_programs_read_utc() -> None:
    berlin = NOW.astimezone(datetime.fromisoformat("2031-02-03T00:00+01:00").tzinfo)
    assert utc(berlin) == utc(NOW) == "2031-02-03T04:05:06Z"


# --- values --------------------------------------------------------------------------------------


def test_values_become_json_with_utc_times_and_seconds() -> None:
    value = {
        None: TaskStatus.DEAD,
        "at": NOW,
        "took": timedelta(minutes=1),
        "io": IoTotals(read=5),
        "statuses": frozenset({TaskStatus.DEAD, TaskStatus.FAILED}),
        "rule": Every(timedelta(seconds=5)),
        "text": "\x1b",
    }
    assert json.loads(dumped(as_document(value))) == {
        "": "dead",
        "at": "2031-02-03T04:05:06Z",
        "took": 60.0,
        "io": {"read": 5, "written": 0, "received": 0, "sent": 0},
        "statuses": ["dead", "failed"],
        "rule": json.loads(dumped(as_document(Every(timedelta(seconds=5))))),
        "text": "\x1b",
    }
    assert "\x1b" not in dumped(as_document(value))


def test_rules_of_schedules_are_told_in_words() -> None:
    assert rule_text(Every(timedelta(minutes=5))) == "every 5 min"
    assert rule_text(Every(timedelta(hours=1), after_completion=True)) == "1 h after the last one"
