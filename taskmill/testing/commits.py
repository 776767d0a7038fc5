"""What do transactions commit, and does each task go through its life as promised?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.inline import Commit, Move, Row
from taskmill.testing.calls import Calls
from taskmill.testing.handling import Handling
from taskmill.testing.promises import ENDS, LEGAL, REVIVABLE
from taskmill.testing.seen import Seen

S = TaskStatus


class Commits:
    """Checks what a transaction has changed, once `Seen` has it."""

    def __init__(self, seen: Seen, calls: Calls, handling: Handling) -> None:
        self._seen, self._calls, self._handling = seen, calls, handling
        self._claimed: set[int] = set()
        self._occurrences: set[tuple[str, str, int]] = set()

    def opened(self) -> None:
        """A process has opened the store: nothing runs for the one before."""
        left = [task for task in self._running() if task not in self._claimed]
        if left:
            self._seen.broken("L2", f"tasks {left} are still running for a process that is gone")

    def stopped(self) -> None:
        """The scheduler has closed, and could write."""
        left = self._running()
        if left:
            self._seen.broken("L5", f"it closed, and tasks {left} are still running")

    def process_ended(self) -> None:
        """What was claimed was claimed by a process that is gone."""
        self._claimed.clear()

    def rescheduled(self, domain: str, name: str) -> None:
        """A schedule was set anew: its times may come again."""
        self._occurrences = {o for o in self._occurrences if o[:2] != (domain, name)}

    def committed(self, commit: Commit) -> None:
        """A transaction has committed."""
        for at, move in enumerate(commit.moves):
            self._moved(move, commit.moves[at + 1 :])
            if move.now in ENDS and move.now not in (move.was, S.COMPLETED):
                self._check_family(move.id, commit.moves[at + 1 :])
        if commit.moves:
            self._check_identities(commit.rows)

    def _running(self) -> list[int]:
        return sorted(row.id for row in self._seen.rows.values() if row.status == S.RUNNING)

    def _moved(self, move: Move, later: Sequence[Move]) -> None:
        task, was, now = move.id, move.was, move.now
        if was != now:
            run = move.run or 0
            self._seen.tell(f"task {task} {was or 'new'} -> {now or 'deleted'} (run {run})")
        if now is None:
            if was not in ENDS:
                self._seen.broken("S1", f"task {task} was {was} and its row is deleted")
            self._calls.deleted(task)
            return
        self._check_legal(move, now)
        if was == S.BLOCKED and now == S.PENDING and self._calls.is_reviving:
            self._calls.released(task)
        if was == S.PENDING and now == S.RUNNING:
            self._claimed.add(task)
        if now == S.COMPLETED and was != now:
            self._check_completed(move, later)
        row = self._seen.rows.get(task)
        if was is None and row is not None and row.schedule is not None:
            self._check_occurrence(row)

    def _check_legal(self, move: Move, now: str) -> None:
        task, was = move.id, move.was
        if was in ENDS and now != was:
            is_revival = was in REVIVABLE and now in (S.PENDING, S.BLOCKED)
            if not (is_revival and self._calls.is_reviving):
                self._seen.broken("S2", f"task {task} had ended as {was} and is {now}")
            self._calls.revived(task)
        elif was != now and now not in LEGAL[was]:
            self._seen.broken("S2", f"task {task} went from {was} to {now}")
        if move.run_was is not None and move.run is not None:
            expected = move.run_was + (was == S.PENDING and now == S.RUNNING)
            if move.run != expected:
                self._seen.broken("S4", f"task {task}: run {move.run_was} became {move.run}")

    def _check_completed(self, move: Move, later: Sequence[Move]) -> None:
        task, run = move.id, move.run or 0
        if self._calls.is_cancelled(task):
            self._seen.broken("C3", f"task {task} was cancelled and has completed")
        if move.was == S.RUNNING and not self._handling.has_returned(task, run):
            what = f"task {task} completed by run {run}, which has not returned"
            self._seen.broken("S4", what)
        active = [row.id for row in self._active_children(task, later)]
        if active:
            self._seen.broken("C1", f"task {task} completed before its children {active}")

    def _check_occurrence(self, row: Row) -> None:
        at = (row.domain, row.schedule or "", row.scheduled_for_ms or 0)
        if at in self._occurrences:
            what = f"schedule {row.schedule} has two tasks for {row.scheduled_for_ms}"
            self._seen.broken("S9", what)
        self._occurrences.add(at)

    def _check_identities(self, touched: Iterable[Row]) -> None:
        identities = {row.identity for row in touched}
        standing: Counter[tuple[bytes, int]] = Counter(
            (row.identity, row.is_follow_up)
            for row in self._seen.rows.values()
            if row.identity in identities and row.status not in ENDS
        )
        for (identity, _), count in standing.items():
            if count > 1:
                same = [row.id for row in self._seen.rows.values() if row.identity == identity]
                self._seen.broken("S7", f"tasks {same} stand for the same work")

    def _check_family(self, task: int, later: Sequence[Move]) -> None:
        """What ends in any way but COMPLETED takes its subtree along, in the same transaction."""
        for row in self._active_children(task, later):
            if row.stop_cause is None:
                self._seen.broken("C2", f"task {task} has failed and its child {row.id} goes on")

    def _active_children(self, task: int, later: Sequence[Move]) -> list[Row]:
        """Those of a task that has just ended; a retry may revive others ``later``."""
        rows = self._seen.rows.values()
        active = [row for row in rows if row.parent == task and row.status not in ENDS]
        if not active:
            return []
        revived = {move.id for move in later if move.was in ENDS and move.now not in ENDS}
        return [row for row in active if row.id not in revived]
