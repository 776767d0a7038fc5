"""Which states a task can be in, and which moves between them are legal."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType


class TaskStatus(enum.StrEnum):
    """Where a task is in its life.

    Active: PENDING (ready or not yet due), BLOCKED (by a dependency, or by the task it follows),
    RUNNING, WAITING (for its children); PAUSED is how a PENDING task is reported while a pause
    holds it, and is never stored. The others are ends: FAILED by an error that is not retried,
    DEAD with its retries spent.
    """

    PENDING = "pending"
    BLOCKED = "blocked"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    DEPENDENCY_FAILED = "dependency_failed"

    @property
    def is_terminal(self) -> bool:
        """Whether the task has ended."""
        return self in TERMINAL


_S = TaskStatus
TERMINAL = frozenset(
    {
        _S.COMPLETED,
        _S.FAILED,
        _S.DEAD,
        _S.CANCELLED,
        _S.SUPERSEDED,
        _S.EXPIRED,
        _S.DEPENDENCY_FAILED,
    }
)
ACTIVE = frozenset({_S.PENDING, _S.PAUSED, _S.BLOCKED, _S.RUNNING, _S.WAITING})

TRANSITIONS: Mapping[TaskStatus, frozenset[TaskStatus]] = MappingProxyType(
    {
        _S.PENDING: frozenset({_S.RUNNING, _S.CANCELLED, _S.SUPERSEDED, _S.EXPIRED, _S.FAILED}),
        _S.BLOCKED: frozenset(
            {_S.PENDING, _S.CANCELLED, _S.SUPERSEDED, _S.EXPIRED, _S.DEPENDENCY_FAILED}
        ),
        _S.RUNNING: frozenset(
            {_S.PENDING, _S.WAITING, _S.COMPLETED, _S.FAILED, _S.DEAD, _S.CANCELLED, _S.SUPERSEDED}
        ),
        _S.WAITING: frozenset({_S.PENDING, _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.SUPERSEDED}),
        _S.FAILED: frozenset({_S.PENDING}),
        _S.DEAD: frozenset({_S.PENDING}),
        _S.CANCELLED: frozenset({_S.PENDING, _S.BLOCKED}),
        _S.DEPENDENCY_FAILED: frozenset({_S.PENDING, _S.BLOCKED}),
    }
)
"""Legal moves; a status that is missing here is never left."""
