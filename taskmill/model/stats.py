"""How the tasks of one type have ended, and how long they took."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import attrs

from taskmill.model.resources import IoTotals
from taskmill.model.status import TaskStatus

RECENT = 1000
"""Of how many tasks, those that completed last, the durations are."""


@attrs.frozen(kw_only=True)
class TypeStats:
    """What is on record of the tasks of one type that have ended, as far as they are kept."""

    type: str
    counts: Mapping[TaskStatus, int]
    """How many there are of each end."""
    failure_rate: float | None
    """The part that is FAILED or DEAD of those that completed or are one of these; None of none."""
    duration_mean: timedelta | None
    """Of the last 1,000 that completed, from the start of the last run to the end."""
    duration_p50: timedelta | None
    duration_p95: timedelta | None
    io: IoTotals
    """What those have moved in all, as far as their handlers said so."""
