"""How the figures of an outcome read for people."""

from __future__ import annotations

from datetime import timedelta

from taskmill.model.policies import Priority

MORE = "…"


def group_text(name: str | None, width: int = 24) -> str:
    """The name of a group on one line, cut where it is long."""
    if name is None:
        return "(no group)"
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return shown if len(shown) <= width else shown[: width - 1] + MORE


def priority_text(priority: int) -> str:
    """A priority by its name, where it has one."""
    names = {int(known): known.name for known in Priority}
    return f"{priority} {names[priority]}" if priority in names else str(priority)


def time_text(length: timedelta) -> str:
    """A time of any size in a few characters: ``"250 ms"``, ``"12.5 s"``, ``"3.2 h"``."""
    seconds = length.total_seconds()
    if not seconds:
        return "0 s"
    for limit, unit, size in ((0.9995, "ms", 0.001), (120, "s", 1), (7200, "min", 60)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:,.1f} h"
