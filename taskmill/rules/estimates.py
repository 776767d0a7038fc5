"""How far a running task is, and how long it still takes: what it reported, carried on to now.

Times are seconds since the start of the run; a pace is a fraction of the whole per second.
"""

from __future__ import annotations

import math

import attrs

HORIZON = 10.0
"""Seconds after which what was moved counts for 1/e of what is moved now in a rate of bytes."""
STEADY = 0.8
"""The part of what is left that an estimate covers at its pace, before it slows down."""
MOST_BYTES = 2**63 - 1

_LAST = math.nextafter(1.0, 0.0)


@attrs.frozen
class Said:
    """How far a run last said it is, and what it said first, by which its pace is measured."""

    fraction: float
    at: float
    first_fraction: float
    first_at: float

    @property
    def pace(self) -> float | None:
        """From the first report to this one, or from the start where that shows none."""
        grown, seconds = self.fraction - self.first_fraction, self.at - self.first_at
        if not (grown > 0 and seconds > 0):
            grown, seconds = self.fraction, self.at
        return _positive(grown / seconds) if seconds > 0 else None


@attrs.frozen
class Estimate:
    """How far a run is by now, as far as that can be known."""

    fraction: float | None
    """0 to just below 1."""
    left: float | None
    """How long it still takes, at the pace that it is held to have; more than 0."""


def estimate(elapsed: float, *, typical: float | None, report: Said | None) -> Estimate:
    """Carry on from the last report at the pace of the run; without one, at that of its type.

    ``typical`` is the seconds that runs of its type take. The fraction never falls as time passes,
    and is never below the reported one, but for a reported 1. A run that takes longer than its
    pace promised comes ever closer to 1.
    """
    usual = None if typical is None or typical <= 0 else _positive(1 / typical)
    base, since, pace = 0.0, 0.0, usual
    if report is not None:
        base, since = min(report.fraction, _LAST), report.at
        pace = report.pace or usual
    if pace is None:
        return Estimate(None if report is None else base, None)
    rest = 1 - base
    covered = max(elapsed - since, 0) * pace / rest
    if covered > STEADY:
        covered = 1 - (1 - STEADY) ** 2 / (1 - 2 * STEADY + covered)
    fraction = min(max(base, base + rest * covered), _LAST)
    return Estimate(fraction, (1 - fraction) / pace)


@attrs.frozen(kw_only=True)
class Flow:
    """How many bytes a run last said it has done, and how fast they came lately."""

    done: int
    total: int | None
    at: float
    moved: float = 0.0
    """Bytes, less the longer ago they came."""
    seconds: float = 0.0
    """In which they came, less in the same way; 0 before there are two reports."""
    gap: float = 0.0
    """The longest silence between reports, less the longer ago it was."""

    def rate(self, at: float) -> float | None:
        """Bytes per second; falls once a silence is longer than those before. None if unknown."""
        silence = at - self.at - self.gap
        keep, weight = _fading(silence) if silence > 0 else (1.0, 0.0)
        seconds = self.seconds * keep + weight
        if self.seconds <= 0 or seconds <= 0:
            return None
        rate = self.moved * keep / seconds
        return rate if math.isfinite(rate) else None


@attrs.frozen
class Reports:
    """What a run has said so far. A further report makes another value; ``at`` is its time."""

    said: Said | None = None
    message: str | None = None
    flow: Flow | None = None

    @property
    def fraction(self) -> float | None:
        """How far the run says it is, 0 to 1."""
        return None if self.said is None else self.said.fraction

    def progressed(self, fraction: float, message: str | None, at: float) -> Reports:
        """It says how far it is, 0 to 1; less than before begins anew. The last message stays."""
        before = self.said
        if before is None or fraction < before.fraction:
            said = Said(fraction, at, fraction, at)
        else:
            at = max(at, before.at)
            said = Said(fraction, at, before.first_fraction, before.first_at)
        return Reports(said, self.message if message is None else message, self.flow)

    def flowed(self, done: int, total: int | None, at: float) -> Reports:
        """It says how many bytes are done, of how many; fewer than before begin anew.

        Raises what ``int`` raises for what is no number; it is cut to 0 to `MOST_BYTES`.
        """
        done = min(max(int(done), 0), MOST_BYTES)
        total = None if total is None else min(max(int(total), 0), MOST_BYTES)
        before = self.flow
        if before is None or done < before.done:
            return Reports(self.said, self.message, Flow(done=done, total=total, at=at))
        length = max(at - before.at, 0.0)
        keep, weight = _fading(length)
        part = weight / length if length > 0 else 1.0
        flow = Flow(
            done=done,
            total=total,
            at=before.at + length,
            moved=before.moved * keep + (done - before.done) * part,
            seconds=before.seconds * keep + weight,
            gap=max(length, before.gap * keep),
        )
        return Reports(self.said, self.message, flow)


SILENT = Reports()
"""Nothing yet."""


def _fading(length: float) -> tuple[float, float]:
    """What counts still of what came before, and for how many seconds this length counts."""
    return math.exp(-length / HORIZON), -math.expm1(-length / HORIZON) * HORIZON


def _positive(pace: float) -> float | None:
    return pace if 0 < pace < math.inf else None
