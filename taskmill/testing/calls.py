"""What have callers asked for and been told, and does what is on record agree with it?"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager

from taskmill.testing.promises import ENDS
from taskmill.testing.seen import Seen


class Calls:
    """The ids that callers were given, and what they have cancelled and retried."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._accepted: set[int] = set()
        self._needs: dict[int, tuple[int, ...]] = {}
        self._cancelled: set[int] = set()
        self._under_way = 0
        self._revived_at: dict[int, int] = {}
        self._to_run_anyway: set[int] = set()

    @property
    def is_reviving(self) -> bool:
        """Whether a call of retry is under way."""
        return self._under_way != 0

    def needs(self, task: int) -> tuple[int, ...]:
        """What a task was to depend on when it was submitted."""
        return self._needs.get(task, ())

    def is_cancelled(self, task: int) -> bool:
        """Whether a cancel of it has returned True, and no retry came behind it."""
        return task in self._cancelled

    def is_to_run_anyway(self, task: int) -> bool:
        """Whether somebody may have said to run it whatever became of what it needs."""
        return task in self._to_run_anyway

    # --- calls of the scheduler ---

    def accepted(self, task: int, depends_on: Sequence[int], *, is_new: bool) -> None:
        """A submit has returned this id."""
        if task not in self._seen.known:
            self._seen.broken("S1", f"task {task} was accepted before it was committed")
        self._accepted.add(task)
        if is_new:
            self._needs[task] = tuple(depends_on)

    def cancelled(self, task: int, since: int) -> None:
        """A cancel has returned True that was asked for after so many `Seen.changes`."""
        if self._revived_at.get(task, -1) >= since:
            return  # a retry came right behind it
        row = self._seen.rows.get(task)
        if row is not None and row.status not in ENDS and row.stop_cause is None:
            self._seen.broken("C3", f"task {task} is {row.status} after its cancel returned True")
        self._cancelled.add(task)

    @contextmanager
    def reviving(self, task: int | None = None) -> Generator[None]:
        """A retry is under way: meanwhile ends may be left, and what is held may run anyway."""
        self._under_way += 1
        if task is not None:
            self._to_run_anyway.add(task)
        try:
            yield
        finally:
            self._under_way -= 1

    # --- what came of them ---

    def revived(self, task: int) -> None:
        """A task has left its end."""
        self._cancelled.discard(task)
        self._to_run_anyway.add(task)
        self._revived_at[task] = self._seen.changes

    def released(self, task: int) -> None:
        """A task that was held was let go by a retry."""
        self._to_run_anyway.add(task)

    def deleted(self, task: int) -> None:
        """A row is gone; nobody counts on it any more."""
        self._accepted.discard(task)

    def opened(self) -> None:
        """A process has opened the store: what was accepted is there."""
        for task in sorted(self._accepted):
            if task not in self._seen.rows:
                self._seen.broken("S1", f"task {task} was accepted, and is gone after a restart")

    def process_ended(self) -> None:
        """No call is under way."""
        self._under_way = 0
