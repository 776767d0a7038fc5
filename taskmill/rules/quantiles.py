"""The middle and the upper end of a list of lengths of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta


def mean(seconds: Sequence[float]) -> timedelta | None:
    """The mean; None of nothing."""
    return timedelta(seconds=sum(seconds) / len(seconds)) if seconds else None


def quantile(ordered: Sequence[float], part: float) -> timedelta | None:
    """The smallest value that at least this part of them, 0 to 1, does not exceed."""
    if not ordered:
        return None
    least = -int(-part * len(ordered) // 1)  # rounded up
    return timedelta(seconds=ordered[max(least, 1) - 1])
