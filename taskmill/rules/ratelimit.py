"""How often tasks may start: a token bucket, in exact arithmetic."""

from __future__ import annotations

from datetime import timedelta

from taskmill.model.sharing import RateLimit
from taskmill.rules.gates import GateKind

_MICROSECOND = timedelta(microseconds=1)


class Bucket:
    """A gate that lets a start through for a token.

    The bucket is kept as the time at which it will be full again, times ``permits``: the tokens
    in it are ``burst`` less what that time lies ahead, in units of ``per``. No limit, no waiting.
    """

    __slots__ = (
        "__weakref__",
        "_changed_at",
        "_full_at",
        "_per_ns",
        "_spare",
        "kind",
        "limit",
        "name",
    )

    def __init__(self, kind: GateKind, name: str, limit: RateLimit | None) -> None:
        self.kind = kind
        self.name = name
        self._set(limit)
        self._full_at: int | None = None
        self._changed_at: int | None = None

    def __repr__(self) -> str:
        return f"Bucket({self.kind.value} {self.name!r}: {self.limit})"

    def change(self, limit: RateLimit | None, now_ns: int) -> None:
        """Another limit holds from now on; it keeps the tokens there are, up to its burst."""
        before, per_before = self.limit, self._per_ns
        behind = 0 if before is None else self._behind(before, now_ns)
        self._set(limit)
        self._full_at = None
        self._changed_at = now_ns
        if before is None or limit is None:
            return
        missing = (limit.burst - before.burst) * per_before + behind  # in parts of per_before
        if missing > 0:
            self._full_at = now_ns * limit.permits - (-missing * self._per_ns // per_before)

    def _set(self, limit: RateLimit | None) -> None:
        self.limit = limit
        self._per_ns = 0 if limit is None else limit.per // _MICROSECOND * 1000
        self._spare = 0 if limit is None else (limit.burst - 1) * self._per_ns

    def tokens(self, now_ns: int) -> float:
        """How many tokens there are; infinitely many without a limit."""
        if self.limit is None:
            return float("inf")
        return self.limit.burst - self._behind(self.limit, now_ns) / self._per_ns

    def is_open(self, now_ns: int) -> bool:
        """Whether there is a token."""
        limit = self.limit
        if limit is None or self._full_at is None:
            return True
        return self._full_at - now_ns * limit.permits <= self._spare

    def opens_at(self, now_ns: int) -> int:
        """When there will be a token, on the monotonic clock in nanoseconds."""
        limit = self.limit
        if limit is None or self._full_at is None or self.is_open(now_ns):
            return now_ns
        return -((self._spare - self._full_at) // limit.permits)

    def is_full(self, now_ns: int) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self.limit is None or not self._behind(self.limit, now_ns)

    def enter(self, now_ns: int) -> None:
        """Take a token."""
        if self.limit is not None:
            now, full_at = now_ns * self.limit.permits, self._full_at
            if full_at is None or full_at < now:
                full_at = now
            self._full_at = full_at + self._per_ns

    def give_back(self, taken_at_ns: int) -> None:
        """The start that took a token did not happen after all."""
        is_ours = self._changed_at is None or taken_at_ns >= self._changed_at
        if self._full_at is not None and is_ours:
            self._full_at -= self._per_ns

    def _behind(self, limit: RateLimit, now_ns: int) -> int:
        return 0 if self._full_at is None else max(0, self._full_at - now_ns * limit.permits)
