"""How times are written for people and programs, and how people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from taskmill.model.wording import length

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
_MOST = timedelta(days=36_525)


def when(at: datetime, now: datetime) -> str:
    """A moment in local time, and how far away: ``"2031-02-03 04:05:06 (3 min ago)"``."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S} ({away(at, now)})"


def away(at: datetime, now: datetime) -> str:
    """How far a moment is from now: ``"3 min ago"``, ``"in 2 h"``."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {short(seconds)}" if seconds > 0 else f"{short(-seconds)} ago"


def short(seconds: float) -> str:
    """A length in its largest unit, for a column: ``"3 min"``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return length(seconds) if seconds < 10 else f"{int(seconds)} s"


def clock(seconds: float) -> str:
    """A length for a narrow column: ``"0:07"``, ``"1:02:03"``, ``"3d 01:02"``."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24}d {hours % 24:02}:{minutes:02}"
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def utc(at: datetime) -> str:
    """A moment for programs: ISO 8601, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_length(text: str) -> timedelta:
    """A length that a person wrote: ``"90s"``, ``"1h30m"``, ``"7d"``; else ValueError."""
    plain, seconds, end = text.strip().lower(), 0.0, 0
    for found in _LENGTH.finditer(plain):
        if found.start() != end or found[2] not in _UNITS:
            break
        seconds += float(found[1]) * _UNITS[found[2]]
        end = found.end()
    if not plain or end != len(plain) or not 0 < seconds <= _MOST.total_seconds():
        raise ValueError(
            f"{text!r} is no length of time; write 90s, 10m, 1h30m, 7d or 2w, up to 100 years"
        )
    return timedelta(seconds=seconds)


def parse_moment(text: str, now: datetime) -> datetime:
    """A moment that a person wrote: ISO 8601, in local time unless it says otherwise, or a length.

    A length is that long ago. ValueError for anything else.
    """
    try:
        return now - parse_length(text)
    except ValueError:
        pass
    except OverflowError as error:
        raise ValueError(f"{text!r} is too long ago") from error
    try:
        return parse_iso(text)
    except ValueError as error:
        raise ValueError(f"{error}, or how long ago it was: 2h, 7d") from None


def parse_iso(text: str) -> datetime:
    """A moment in ISO 8601, in local time unless it says otherwise; else ValueError."""
    try:
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write 2031-02-03, 2031-02-03T04:05:06 or 2031-02-03T04:05Z"
        ) from None
