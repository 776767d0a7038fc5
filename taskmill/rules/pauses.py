"""What is paused now, and how much of a task's waiting was under a pause."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import attrs

from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.rules.aging import AgeClock, Interval
from taskmill.rules.gates import GateKind

_NEVER = 2**62
_UNPAUSED = AgeClock(())
_KINDS = {
    PauseScope.SCHEDULER: GateKind.SCHEDULER_PAUSE,
    PauseScope.DOMAIN: GateKind.DOMAIN_PAUSE,
    PauseScope.GROUP: GateKind.GROUP_PAUSE,
}


class PauseGate:
    """The gate of one scope, closed while its pause holds."""

    __slots__ = ("__weakref__", "_held", "_place", "kind", "name")

    def __init__(
        self, scope: PauseScope, name: str, held: Collection[tuple[PauseScope, str]]
    ) -> None:
        self.kind = _KINDS[scope]
        self.name = name
        self._place = (scope, name)
        self._held = held

    def __repr__(self) -> str:
        return f"PauseGate({self.kind.value} {self.name!r})"

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Whether no such pause holds."""
        return not self._held or self._place not in self._held


class Pauses:
    """The pauses that hold, by scope and name, and the closed ones that still matter for aging."""

    def __init__(self) -> None:
        self._held: dict[tuple[PauseScope, str], PauseRecord] = {}
        self._closed: dict[tuple[PauseScope, str], list[Interval]] = {}
        self._clocks: dict[tuple[str | None, str | None], AgeClock] = {}
        self.changes = 0
        """Goes up whenever another `age_clock` may hold."""

    def load(self, records: Iterable[PauseRecord]) -> None:
        """Start from what the store held."""
        self._held.clear()
        self._closed.clear()
        self._forget_clocks()
        for record in records:
            if record.ended_ms is None:
                self._held[record.scope, record.name] = record
            else:
                self.close(record, record.ended_ms)

    def hold(self, record: PauseRecord) -> None:
        """A pause holds from now on, or its deadline has moved."""
        self._held[record.scope, record.name] = record
        self._forget_clocks()

    def find(self, scope: PauseScope, name: str = "") -> PauseRecord | None:
        """The pause of this scope that holds now."""
        return self._held.get((scope, name))

    def gate(self, scope: PauseScope, name: str = "") -> PauseGate:
        """A gate that this pause closes."""
        return PauseGate(scope, name, self._held)

    def is_held(self, scope: PauseScope, name: str = "") -> bool:
        """Whether a pause of this scope holds now."""
        return bool(self._held) and (scope, name) in self._held

    def end(self, scope: PauseScope, name: str, ended_ms: int) -> None:
        """A pause holds no longer."""
        record = self._held.pop((scope, name), None)
        if record is not None:
            self._forget_clocks()
            self.close(record, ended_ms)

    def close(self, record: PauseRecord, ended_ms: int) -> None:
        """Remember a pause that has ended."""
        if ended_ms > record.since_ms:
            intervals = self._closed.setdefault((record.scope, record.name), [])
            intervals.append((record.since_ms, ended_ms))
            self._forget_clocks()

    def forget(self, ended_by_ms: int) -> None:
        """No task that is still active waited through the pauses that had ended by then."""
        for place, intervals in list(self._closed.items()):
            kept = [interval for interval in intervals if interval[1] > ended_by_ms]
            if kept:
                self._closed[place] = kept
            else:
                del self._closed[place]
        self._forget_clocks()

    def clock_jumped(self, from_ms: int, to_ms: int) -> None:
        """The wall clock was set forward; what it left out is nobody's waiting."""
        jump = PauseRecord(scope=PauseScope.SCHEDULER, name="", since_ms=from_ms)
        self.close(jump, to_ms)

    @property
    def any_held(self) -> bool:
        """Whether any pause holds now."""
        return bool(self._held)

    def held(self) -> list[PauseRecord]:
        """The pauses that hold now."""
        return list(self._held.values())

    def holds(self, domain: str, group: str | None) -> bool:
        """Whether tasks of this domain and group are held by any pause."""
        held = self._held
        return bool(held) and (
            (PauseScope.SCHEDULER, "") in held
            or (PauseScope.DOMAIN, domain) in held
            or (group is not None and (PauseScope.GROUP, group) in held)
        )

    def next_end(self) -> int | None:
        """When the next pause is to end by itself."""
        return min(
            (r.until_ms for r in self._held.values() if r.until_ms is not None), default=None
        )

    def due(self, now_ms: int) -> list[PauseRecord]:
        """The pauses that are to have ended by now."""
        return [r for r in self._held.values() if r.until_ms is not None and r.until_ms <= now_ms]

    def age_clock(self, domain: str, group: str | None) -> AgeClock:
        """The clock by which tasks of this domain and group age."""
        if not (self._held or self._closed):
            return _UNPAUSED
        own_domain = domain if self._matters(PauseScope.DOMAIN, domain) else None
        own_group = group if group is not None and self._matters(PauseScope.GROUP, group) else None
        clock = self._clocks.get((own_domain, own_group))
        if clock is None:
            clock = AgeClock(self._intervals(own_domain, own_group))
            self._clocks[own_domain, own_group] = clock
        return clock

    def _forget_clocks(self) -> None:
        self._clocks.clear()
        self.changes += 1

    def _matters(self, scope: PauseScope, name: str) -> bool:
        return (scope, name) in self._held or (scope, name) in self._closed

    def _intervals(self, domain: str | None, group: str | None) -> Iterable[Interval]:
        scopes = [(PauseScope.SCHEDULER, "")]
        if domain is not None:
            scopes.append((PauseScope.DOMAIN, domain))
        if group is not None:
            scopes.append((PauseScope.GROUP, group))
        for scope in scopes:
            yield from self._closed.get(scope, ())
            if scope in self._held:
                yield (self._held[scope].since_ms, _NEVER)


def moved(record: PauseRecord, until_ms: int | None) -> PauseRecord:
    """The pause with another deadline."""
    return attrs.evolve(record, until_ms=until_ms)
