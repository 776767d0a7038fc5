"""How checks are made: one after the other, each in bounded time, whatever the others found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from time import perf_counter

import anyio

from taskmill.selftest.place import Place
from taskmill.selftest.values import Absent, Broken, Check, Outcome, Verdict

LIMIT = 120.0
"""Seconds after which a check has failed."""


async def outcomes(
    place: Place, checks: Iterable[Check], *, limit: float = LIMIT
) -> AsyncIterator[Outcome]:
    """What comes of each check, as it does."""
    for check in checks:
        yield await outcome(place, check, limit=limit)


async def outcome(place: Place, check: Check, *, limit: float = LIMIT) -> Outcome:
    """What comes of one check; nothing that it raises is raised but what ends the program."""
    began = perf_counter()
    warnings: tuple[str, ...] = ()
    try:
        with anyio.fail_after(limit):
            shown = await check.look(place)
    except Exception as error:  # noqa: BLE001 - a check that breaks must not hide the others
        verdict, text = _seen(error, limit)
    else:
        verdict, text, warnings = Verdict.OK, shown.figure, shown.warnings
    return Outcome(
        name=check.name,
        promise=check.promise,
        verdict=verdict,
        text=text,
        warnings=warnings,
        seconds=perf_counter() - began,
    )


def _seen(error: Exception, limit: float) -> tuple[Verdict, str]:
    match error:
        case Broken():
            return Verdict.FAILED, str(error)
        case Absent():
            return Verdict.NOT_HERE, str(error)
        case TimeoutError():
            return (
                Verdict.FAILED,
                f"it was not over after {limit:g} s: it hangs, or the machine is too busy",
            )
        case ExceptionGroup() if len(error.exceptions) == 1:
            return _seen(error.exceptions[0], limit)
        case _:
            return Verdict.FAILED, f"it could not be checked: {type(error).__name__}: {error}"
