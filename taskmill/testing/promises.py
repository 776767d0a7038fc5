"""What is an explored scheduler held to: the life of a task, limits, and how a breach is named."""

from __future__ import annotations

import attrs

from taskmill.model.sharing import RateLimit
from taskmill.model.status import TaskStatus

S = TaskStatus

ENDS = frozenset(
    {S.COMPLETED, S.FAILED, S.DEAD, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.DEPENDENCY_FAILED}
)

LEGAL: dict[str | None, frozenset[str]] = {
    None: frozenset({S.PENDING, S.BLOCKED, S.DEPENDENCY_FAILED}),
    S.PENDING: frozenset({S.RUNNING, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.FAILED}),
    S.BLOCKED: frozenset({S.PENDING, S.CANCELLED, S.SUPERSEDED, S.EXPIRED, S.DEPENDENCY_FAILED}),
    S.RUNNING: frozenset(
        {S.PENDING, S.WAITING, S.COMPLETED, S.FAILED, S.DEAD, S.CANCELLED, S.SUPERSEDED}
    ),
    S.WAITING: frozenset({S.PENDING, S.COMPLETED, S.FAILED, S.CANCELLED, S.SUPERSEDED}),
}
"""The moves of a task's life, as docs/lifecycle.md has them; an end is left by a retry alone."""

REVIVABLE = frozenset({S.FAILED, S.DEAD, S.CANCELLED, S.DEPENDENCY_FAILED})


class Broken(AssertionError):
    """A promise does not hold. ``promise`` is its short name, such as ``"S3"``."""

    def __init__(self, promise: str, what: str) -> None:
        super().__init__(f"{promise}: {what}")
        self.promise = promise


@attrs.define
class Bounds:
    """The limits a scheduler is explored with, so that it can be checked that they hold.

    None, and what is missing, is not checked. Operations that change a limit at run time change
    it here too.
    """

    max_concurrency: int | None = None
    domains: dict[str, int | None] = attrs.field(factory=dict[str, int | None])
    groups: dict[str, int | None] = attrs.field(factory=dict[str, int | None])
    rates: dict[str, RateLimit | None] = attrs.field(factory=dict[str, RateLimit | None])
    """By the stored names of task types."""

    def copy(self) -> Bounds:
        """One that is changed on its own."""
        return Bounds(
            max_concurrency=self.max_concurrency,
            domains=dict(self.domains),
            groups=dict(self.groups),
            rates=dict(self.rates),
        )
