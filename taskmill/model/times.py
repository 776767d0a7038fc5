"""How aware datetimes and the integer milliseconds of rows become each other, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import overload

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


@overload
def from_ms(ms: int) -> datetime: ...
@overload
def from_ms(ms: None) -> None: ...
@overload
def from_ms(ms: int | None) -> datetime | None: ...
def from_ms(ms: int | None) -> datetime | None:
    """The moment ``ms`` milliseconds after 1970, in UTC."""
    return None if ms is None else _moment(ms)


@lru_cache(maxsize=1024)  # what is submitted or claimed together has one time
def _moment(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def to_ms(moment: datetime) -> int:
    """Whole milliseconds since 1970; what is finer is cut off."""
    return (moment - EPOCH) // MILLISECOND


def ceil_ms(length: timedelta) -> int:
    """The milliseconds that ``length`` takes up; a started one counts."""
    return -(-length // MILLISECOND)


FIRST_MS = to_ms(datetime.min.replace(tzinfo=UTC))
LAST_MS = to_ms(datetime.max.replace(tzinfo=UTC))
"""The range of moments that are datetimes in UTC."""
