"""Does each claim keep to caps, pauses and rates, and to what the task needs?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from taskmill.model.sharing import RateLimit
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.inline import Commit, Row
from taskmill.testing.calls import Calls
from taskmill.testing.promises import ENDS
from taskmill.testing.seen import Seen, by_dependent, is_held

S = TaskStatus

EPSILON = 1e-6


class Claims:
    """Checks each start of a task, by what held when its batch was cut, and when it committed."""

    def __init__(self, seen: Seen, calls: Calls) -> None:
        self._seen, self._calls = seen, calls
        self._cut_at = 0.0
        self._cut_with = seen.bounds.copy()
        self._starts: dict[str, list[float]] = defaultdict(list)
        self._rated_at: dict[str, float] = {}

    def rated(self, task_type: str, limit: RateLimit | None) -> None:
        """A type has another rate from now on."""
        self._seen.bounds.rates[task_type] = limit
        self._starts.pop(task_type, None)
        self._rated_at[task_type] = self._seen.now()

    def cut(self) -> None:
        """A batch was cut: what it claims was decided now."""
        self._cut_at = self._seen.now()
        self._cut_with = self._seen.bounds.copy()

    def process_ended(self) -> None:
        """The next process counts its starts anew."""
        self._starts.clear()

    def committed(self, commit: Commit, was_paused: frozenset[tuple[str, str]]) -> None:
        """A transaction has committed; ``was_paused`` are the pauses before."""
        rows = self._seen.rows
        claims = [
            rows[move.id]
            for move in commit.moves
            if move.was == S.PENDING and move.now == S.RUNNING and move.id in rows
        ]
        if not claims:
            return
        running = [row for row in rows.values() if row.status == S.RUNNING]
        ties = by_dependent(commit.ties)
        self._check_caps(claims, running)
        for row in claims:
            if is_held(row, was_paused) and is_held(row, self._seen.pauses):
                self._seen.broken("P1", f"task {row.id} was started under a pause")
            if Stage(row.stage).part is Stage.EXECUTE:
                self._check_rate(row)
                self._check_needs(row, ties.get(row.id, []))
            if Stage(row.stage).is_alone and len(running) > 1:
                self._seen.broken("P2", f"suspect {row.id} does not run alone")

    def _check_caps(self, claims: Sequence[Row], running: Sequence[Row]) -> None:
        caps = (self._cut_with, self._seen.bounds)
        self._hold_cap("all", len(running), [each.max_concurrency for each in caps])
        for name in sorted({row.domain for row in claims}):
            count = sum(row.domain == name for row in running)
            self._hold_cap(f"domain {name}", count, [each.domains.get(name) for each in caps])
        for group in sorted({row.group for row in claims if row.group is not None}):
            count = sum(row.group == group for row in running)
            self._hold_cap(f"group {group}", count, [each.groups.get(group) for each in caps])

    def _hold_cap(self, of: str, running: int, caps: Sequence[int | None]) -> None:
        if all(cap is not None and running > cap for cap in caps):
            self._seen.broken("S5", f"{running} tasks of {of} run, and its cap is {caps[-1]}")

    def _check_rate(self, row: Row) -> None:
        limit = self._seen.bounds.rates.get(row.type)
        if limit is None or self._cut_at < self._rated_at.get(row.type, 0.0):
            return
        starts = self._starts[row.type]
        starts.append(self._cut_at)
        per_second = limit.permits / limit.per.total_seconds()
        for index, since in enumerate(starts):
            count, span = len(starts) - index, self._cut_at - since
            if count > limit.burst + per_second * span + EPSILON:
                self._seen.broken("S6", f"{count} tasks of {row.type} started in {span:.3f} s")
                return

    def _check_needs(self, row: Row, ties: Iterable[int]) -> None:
        rows, is_to_run_anyway = self._seen.rows, self._calls.is_to_run_anyway
        if is_to_run_anyway(row.id):
            return
        if row.on_dependency_failure == "ignore":
            known = [on for on in ties if on in rows and not is_to_run_anyway(on)]
            active = [on for on in known if rows[on].status not in ENDS]
            if active:
                self._seen.broken("S8", f"task {row.id} was started before {active} ended")
            return
        for on in {*ties, *self._calls.needs(row.id)}:
            needed = rows.get(on)
            if needed is not None and needed.status not in (S.COMPLETED, S.SUPERSEDED):
                what = f"task {row.id} was started while {on} is {needed.status}"
                self._seen.broken("S8", what)
