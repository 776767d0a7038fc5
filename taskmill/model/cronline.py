"""When a cron line is due in a time zone, in milliseconds since 1970.

A line has five fields. Where neither minute nor hour begins with ``*``, a local time that the zone
skips runs at the first moment after the gap, together with whatever else is due then, and a local
time that comes twice runs the first time only. Otherwise skipped times are dropped and doubled
ones run twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import MAX_TEXT
from taskmill.model.showing import shown
from taskmill.model.times import from_ms, to_ms

_REACH = 50
"""Years without any match after which a line is taken to have none left.

Leap days on one weekday are the rarest: 40 years apart where a century has no leap year.
"""

_BASE_MS = to_ms(datetime(2025, 1, 1, tzinfo=UTC))
"""Where the check of a line begins to look; the calendar repeats itself within the reach."""


def plain_line(line: str) -> str:
    """The line in capitals with single spaces, by which equal lines are told; else as it came."""
    if not isinstance(line, str):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
        return line
    return " ".join(line.upper().split())


def check_cron(line: str, tz: str) -> None:
    """Raise ConfigurationError for a line that is none or never due, an unknown zone, no extra."""
    zone = _zone(tz)
    try:
        from cronsim import CronSimError
    except ImportError as error:
        raise ConfigurationError(
            'Cron needs the extra "cron": pip install "taskmill[cron]"'
        ) from error
    is_text = isinstance(line, str)  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
    if not is_text or len(line) > MAX_TEXT or len(line.split()) != 5:
        raise ConfigurationError(
            f"a cron line has five fields (minute, hour, day of month, month, day of week), "
            f"such as '0 9 * * MON-FRI', not {shown(line)}; for less than a minute take Every"
        )
    try:
        first = next(_times_after(line, zone, _BASE_MS), None)
    except CronSimError as error:
        raise ConfigurationError(
            f"cron line {shown(line)}: {str(error).lower()}; "
            "write it as minute, hour, day of month, month, day of week, such as '0 9 * * MON-FRI'"
        ) from error
    if first is None:
        raise ConfigurationError(
            f"cron line {shown(line)} is never due in {tz}; choose days and times that come"
        )


def times_after(line: str, tz: str, after_ms: int) -> Iterator[int]:
    """The times after ``after_ms``, rising, each once; ends where no more come in 50 years."""
    return _times_after(line, _zone(tz), after_ms)


def _times_after(line: str, zone: tzinfo, after_ms: int) -> Iterator[int]:
    is_fixed = not any(field.startswith("*") for field in line.split()[:2])
    last_ms = after_ms
    doubled: deque[int] = deque()
    for wall in _walls_after(line, zone, after_ms):
        if wall.year > from_ms(last_ms).year + _REACH:
            break
        moments = _moments(wall, zone, is_fixed=is_fixed)
        if not moments:
            continue
        while doubled and doubled[0] < moments[0]:
            yield (last_ms := doubled.popleft())
        if moments[0] > last_ms:
            yield (last_ms := moments[0])
        doubled.extend(moment for moment in moments[1:] if moment > last_ms)
    yield from doubled


def _walls_after(line: str, zone: tzinfo, after_ms: int) -> Iterator[datetime]:
    """The local times that match, as the calendar has them, gaps and all.

    CronSim is asked about the calendar alone and the zone is applied here. Given a zone, 2.8
    returns midnights that are skipped, returns the first pass when it begins in the second, and
    loses matches after changes of half an hour or of three hours.
    """
    from cronsim import CronSim

    here = from_ms(after_ms).astimezone(zone)
    first, second = _offsets(here.replace(tzinfo=None), zone)
    start = here.replace(tzinfo=None, fold=0) - max(first - second, timedelta(0))
    return CronSim(line, start)


def _moments(wall: datetime, zone: tzinfo, *, is_fixed: bool) -> tuple[int, ...]:
    """When clocks in ``zone`` show ``wall``, as far as it is due then."""
    first, second = _offsets(wall, zone)
    if first == second:
        return (_at(wall, first),)
    if first > second:
        return (_at(wall, first),) if is_fixed else (_at(wall, first), _at(wall, second))
    return (_end_of_gap(wall, zone),) if is_fixed else ()


def _end_of_gap(wall: datetime, zone: tzinfo) -> int:
    """The first moment after the gap that ``wall`` is in."""
    before, after = _offsets(wall, zone)
    early, late = wall - after, wall - before
    while late - early > timedelta(seconds=1):
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if middle.replace(tzinfo=UTC).astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return _at(late, timedelta(0))


def _offsets(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """The offsets at ``wall``: rising over a gap, falling where it comes twice, else the same."""
    first = wall.replace(tzinfo=zone, fold=0).utcoffset()
    second = wall.replace(tzinfo=zone, fold=1).utcoffset()
    return first or timedelta(0), second or timedelta(0)


def _at(wall: datetime, offset: timedelta) -> int:
    return to_ms(wall.replace(tzinfo=UTC)) - offset // timedelta(milliseconds=1)


def _zone(tz: str) -> tzinfo:
    from zoneinfo import ZoneInfo

    if not isinstance(tz, str):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
        raise ConfigurationError(
            f"a time zone is given by its name, such as 'Europe/Berlin', not {shown(tz)}"
        )
    if tz == "UTC":
        return UTC
    try:
        return ZoneInfo(tz)
    except (KeyError, ValueError, OSError) as error:  # OSError: the name of a folder of zones
        raise ConfigurationError(
            f"unknown time zone {shown(tz)}; take a name such as 'Europe/Berlin'. Where the "
            "machine has no time zones, install tzdata"
        ) from error
