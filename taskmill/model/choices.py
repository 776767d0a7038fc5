"""What an option can choose between."""

from __future__ import annotations

import enum


class OnDuplicate(enum.StrEnum):
    """What a submit does where an active task stands for the same work already."""

    KEEP = "keep"
    """Join the task that waits, at the better of both priorities; follow the one that runs."""
    SUPERSEDE = "supersede"
    """Take its place: it ends as SUPERSEDED, and what depended on it depends on the new one."""
    REJECT = "reject"
    """Change nothing."""


class OnDependencyFailure(enum.StrEnum):
    """What becomes of a task when one that it depends on ends in any way but COMPLETED."""

    CANCEL = "cancel"
    """It ends as DEPENDENCY_FAILED."""
    HOLD = "hold"
    """It stays BLOCKED until the other is revived and completes, or until somebody decides."""
    IGNORE = "ignore"
    """It runs anyway."""


class TtlFrom(enum.StrEnum):
    """When the time to live of a task begins."""

    SUBMISSION = "submission"
    FIRST_ATTEMPT = "first_attempt"
    """So it bounds the retries, not the wait before the first run."""
