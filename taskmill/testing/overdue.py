"""What should have happened by now, and what can still come to its end?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.inline import Row
from taskmill.testing.promises import ENDS
from taskmill.testing.seen import Seen, by_dependent, is_held

S = TaskStatus


class Overdue:
    """Knows since when something could have happened to a task."""

    def __init__(self, seen: Seen, *, wall_ms: Callable[[], int]) -> None:
        self._seen, self._wall_ms = seen, wall_ms
        self._since: dict[tuple[str, int], float] = {}

    def forget(self) -> None:
        """Things are different: it counts from now on."""
        self._since.clear()

    def check(self) -> None:
        """Everything waits and time is to move: what can run, runs."""
        if not self._seen.is_open:
            return
        now, wall = self._seen.now(), self._wall_ms()
        waiting = {(why, row.id) for row, why in self._startable(wall)}
        self._since = {key: self._since.get(key, now) for key in waiting}
        for (why, task), since in sorted(self._since.items()):
            has_jumped = now - self._seen.last_jump < 130
            patience = 62 if why != "startable" and has_jumped else 2
            if now - max(since, self._seen.last_trouble + 12) > patience:
                self._seen.broken("L1", f"task {task} has been {why} for {now - since:.1f} s")
                return

    def _startable(self, wall: int) -> list[tuple[Row, str]]:
        found: list[tuple[Row, str]] = []
        bounds, active = self._seen.bounds, self._active()
        running = [row for row in active if row.status == S.RUNNING]
        domains = Counter(row.domain for row in running)
        groups = Counter(row.group for row in running)
        is_full = len(running) >= (bounds.max_concurrency or 1_000_000)
        has_suspect = any(Stage(row.stage).is_alone for row in active)
        for row in active:
            if row.status not in (S.PENDING, S.BLOCKED):
                continue
            is_fresh = Stage(row.stage).part is Stage.EXECUTE
            if is_fresh and row.expires_at_ms is not None and row.expires_at_ms < wall:
                found.append((row, "expired"))
            elif row.status == S.BLOCKED:
                continue
            elif row.due_at_ms is not None:
                if row.due_at_ms < wall:
                    found.append((row, "due"))
            elif not (
                is_full
                or has_suspect
                or is_held(row, self._seen.pauses)
                or bounds.rates.get(row.type)
                or domains[row.domain] >= _or_any(bounds.domains.get(row.domain))
                or (row.group and groups[row.group] >= _or_any(bounds.groups.get(row.group)))
            ):
                found.append((row, "startable"))
        return found

    def left(self, ties: Iterable[tuple[int, int]]) -> list[Row]:
        """What is active though it could have ended; ``ties`` say who waits for whom.

        What waits for people's decision, for a task it depends on has failed, is not, nor is what
        waits for that.
        """
        waits_for, active = by_dependent(ties), self._active()
        for row in active:
            if row.parent is not None:
                waits_for.setdefault(row.parent, []).append(row.id)
        held = {row.id for row in active if self._is_to_be_decided(row, waits_for)}
        while True:
            behind = {
                row.id
                for row in active
                if row.status in (S.BLOCKED, S.WAITING) and held & {*waits_for.get(row.id, ())}
            }
            behind |= {
                row.id
                for row in active
                for ahead in active
                if row.is_follow_up and row.identity == ahead.identity and ahead.id in held
            }
            if behind <= held:
                return [row for row in active if row.id not in held]
            held |= behind

    def _is_to_be_decided(self, row: Row, waits_for: dict[int, list[int]]) -> bool:
        """Whether it waits for what has ended, and not well, and is held for that."""
        rows = self._seen.rows
        needed = [rows[on] for on in waits_for.get(row.id, ()) if on in rows]
        failed = [each for each in needed if each.status in ENDS and each.status != S.COMPLETED]
        return row.status == S.BLOCKED and row.on_dependency_failure == "hold" and bool(failed)

    def _active(self) -> list[Row]:
        return [row for row in self._seen.rows.values() if row.status not in ENDS]


def _or_any(cap: int | None) -> int:
    return 1_000_000 if cap is None else cap
