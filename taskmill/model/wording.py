"""How times, lengths and rates are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def length(seconds: float) -> str:
    """A length of time in its two largest units: ``"2 min 3 s"``, ``"0.4 s"``, ``"12 ms"``."""
    if seconds < 0.1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 10:
        return f"{seconds:.2g} s"
    left = round(seconds)
    parts: list[str] = []
    for size, unit in _UNITS:
        if left >= size and len(parts) < 2:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts)


def moment(at: datetime) -> str:
    """A time to the second, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def rate(bytes_per_second: float) -> str:
    """Bytes per second: ``"80 MB/s"``."""
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if bytes_per_second >= size:
            return f"{bytes_per_second / size:.3g} {unit}/s"
    return f"{bytes_per_second:.3g} B/s"


def counts(by_name: Mapping[str, int]) -> str:
    """What there is of each, the most first: ``"work::nap 3, work::scan 1"``."""
    most_first = sorted(by_name.items(), key=lambda item: (-item[1], item[0]))
    shown = ", ".join(f"{name} {count}" for name, count in most_first[:4])
    return shown if len(most_first) <= 4 else f"{shown} and {len(most_first) - 4} more types"


def plural(count: int, noun: str, many: str = "") -> str:
    """``"1 task"``, ``"2 tasks"``; ``many`` is a plural that has no s."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {many or f'{noun}s'}"
