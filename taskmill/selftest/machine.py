"""Whether what the machine brings is fit: time zones, clocks, SQLite, and the files of this run."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import available_timezones

import attrs

from taskmill.engine.clock import Clock, SystemClock
from taskmill.model.cronline import check_cron, times_after
from taskmill.model.errors import ConfigurationError
from taskmill.model.times import from_ms, to_ms
from taskmill.model.wording import length, plural
from taskmill.selftest.place import Place
from taskmill.selftest.values import Absent, Broken, Shown
from taskmill.store.sqlite.doctor import LAST_WITH_RESET_BUG, examine
from taskmill.store.sqlite.findings import Severity

OLDEST_SQLITE = (3, 40, 0)
"""The oldest that the statements of the store are tested with."""

_LINE = "30 9 * * *"
_DAYS = {
    # The days before and after a change of the clocks, and when it is 9:30 there, in UTC.
    "Europe/Berlin": (datetime(2024, 3, 30, tzinfo=UTC), "08:30", "07:30"),
    "America/New_York": (datetime(2024, 11, 2, tzinfo=UTC), "13:30", "14:30"),
    "Asia/Kolkata": (datetime(2024, 3, 30, tzinfo=UTC), "04:00", "04:00"),
    "Australia/Lord_Howe": (datetime(2024, 4, 5, tzinfo=UTC), "22:30", "23:00"),
}

READINGS = 20_000
_FIRST_YEAR = 2024
_AGREE = 1.0
"""Seconds that the wall clock may have gone differently from the steady one."""


async def zones_are_there(_: Place) -> Shown:
    """Ask when a cron line is due around changes of the clocks that are long over."""
    zones = available_timezones()
    if not zones:
        raise Absent("this machine has no time zones, which Cron needs; install tzdata")
    for zone, (start, before, after) in _DAYS.items():
        try:
            check_cron(_LINE, zone)
        except ConfigurationError as error:
            raise Absent(str(error)) from error
        due = [f"{from_ms(t):%H:%M}" for t in islice(times_after(_LINE, zone, to_ms(start)), 2)]
        if due != [before, after]:
            raise Broken(
                f"half past nine in {zone} is {due[0]} and {due[1]} UTC around {start:%Y-%m-%d}, "
                f"and not {before} and {after}; bring tzdata up to date"
            )
    return Shown(
        figure=f"{plural(len(zones), 'zone')}; a daily line follows the clocks in "
        f"{plural(len(_DAYS), 'of them', 'of them')}"
    )


@attrs.define
class Watch:
    """Watches the clocks from when it is made until it is asked."""

    clock: Clock = attrs.field(factory=SystemClock)
    _wall: datetime = attrs.field(init=False)
    _steady: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._wall, self._steady = self.clock.now(), self.clock.monotonic()

    async def clocks_go_on(self, _: Place) -> Shown:
        """Read the clocks many times, and compare how far they have come."""
        last = self.clock.monotonic()
        for _reading in range(READINGS):
            now = self.clock.monotonic()
            if now < last:
                raise Broken(f"the steady clock went back by {length(last - now)}")
            last = now
        wall = self.clock.now()
        if wall.year < _FIRST_YEAR:
            raise Broken(f"the wall clock says {wall:%Y-%m-%d}; set it")
        passed = self.clock.monotonic() - self._steady
        apart = (wall - self._wall).total_seconds() - passed
        if passed <= 0:
            raise Broken("the steady clock stands still")
        figure = f"{READINGS:,} readings, none before the last"
        if abs(apart) > _AGREE:
            way = "forward" if apart > 0 else "back"
            warning = (
                f"the wall clock was set {way} by {length(abs(apart))} during this run: due times "
                "and cron follow it, timeouts and rates do not"
            )
            return Shown(figure=figure, warnings=(warning,))
        return Shown(figure=f"{figure}; the wall clock kept step over {length(passed)}")


async def sqlite_is_fit(
    _: Place, *, version: tuple[int, int, int] = sqlite3.sqlite_version_info
) -> Shown:
    """Compare the version of SQLite with what the store needs."""
    text = ".".join(map(str, version))
    if version < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise Broken(f"the linked SQLite is {text}, and {oldest} is the oldest that is tested")
    if sqlite3.threadsafety == 0:
        raise Broken(f"the linked SQLite {text} was built without threads")
    warnings: list[str] = []
    if version <= LAST_WITH_RESET_BUG:
        warnings.append(
            "up to 3.51.2 a second program that checkpoints at the wrong instant can damage a "
            "file; taskmill never does, others should not either"
        )
    return Shown(figure=f"the linked SQLite is {text}", warnings=tuple(warnings))


async def databases_are_sound(place: Place) -> Shown:
    """Have the doctor examine every database that the other checks have left."""
    paths = sorted(place.folder.glob("*.db"))
    if not paths:
        raise Absent("no check has left a database")
    for path in paths:
        for finding in await examine(path):
            if finding.severity is Severity.PROBLEM:
                raise Broken(f"{path.name}: {finding.subject}: {finding.sentence}")
    return Shown(figure=f"{plural(len(paths), 'database')} examined, page by page and row by row")
