"""What is paused, or was: as the store keeps it."""

from __future__ import annotations

import enum

import attrs


class PauseScope(enum.StrEnum):
    """What a pause holds."""

    SCHEDULER = "scheduler"
    DOMAIN = "domain"
    GROUP = "group"


@attrs.frozen(kw_only=True)
class PauseRecord:
    """One pause of one scope. Times in milliseconds since 1970."""

    scope: PauseScope
    name: str
    """The domain or the group; empty for the scheduler."""
    since_ms: int
    until_ms: int | None = None
    """When it is to end by itself."""
    ended_ms: int | None = None
    """None while it holds."""
