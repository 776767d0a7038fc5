"""What do handlers meet: one run at a time, that is committed, outside of transactions?"""

from __future__ import annotations

from collections.abc import Callable

from taskmill.executors.base import Success
from taskmill.model.record import TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.testing.seen import Seen


class Handling:
    """Follows the calls of handlers, each from its beginning to its end."""

    def __init__(self, seen: Seen, *, is_in_transaction: Callable[[], bool]) -> None:
        self._seen, self._is_in_transaction = seen, is_in_transaction
        self._under_way: dict[int, int] = {}
        """The fences of the runs whose handlers have not returned, by task."""
        self._fences: dict[int, int] = {}
        self._returned: set[tuple[int, int]] = set()

    def has_returned(self, task: int, run: int) -> bool:
        """Whether the handler of this run came to its end without raising."""
        return (task, run) in self._returned

    def began(self, record: TaskRecord, part: Stage, fence: int) -> None:
        """A handler is called."""
        broken = self._seen.broken
        task, row = int(record.id), self._seen.rows.get(int(record.id))
        self._seen.tell(f"task {task} {part.name or 'run'} begins (run {record.run})")
        if self._is_in_transaction():
            broken("S11", f"task {task} is handled inside a transaction")
        if row is None or row.status != TaskStatus.RUNNING or row.run != record.run:
            at = "gone" if row is None else f"{row.status} (run {row.run})"
            broken("S3", f"run {record.run} of task {task} began, and on record it is {at}")
        other = self._under_way.get(task)
        if other is not None:
            broken("S3", f"task {task} is handled twice at once, as {other} and {fence}")
        known = self._fences.get(task, -1)
        if fence < known or (fence == known and part is not Stage.UNDO):
            broken("S3", f"task {task} has fence {fence} after {known}")
        self._fences[task] = fence
        self._under_way[task] = fence

    def ended(self, record: TaskRecord, part: Stage, outcome: object) -> None:
        """A handler has returned or raised."""
        task = int(record.id)
        self._seen.tell(f"task {task} {part.name or 'run'} ends: {_said(outcome)}")
        self._under_way.pop(task, None)
        if isinstance(outcome, Success) and part is not Stage.UNDO:
            self._returned.add((task, record.run))

    def stopped(self) -> None:
        """The scheduler has closed: it waited for its handlers."""
        if self._under_way:
            what = f"it closed while tasks {sorted(self._under_way)} were being handled"
            self._seen.broken("L5", what)

    def process_ended(self) -> None:
        """Handlers are gone with their process."""
        self._under_way.clear()


def _said(outcome: object) -> str:
    name = type(outcome).__name__
    return name if isinstance(outcome, BaseException) else name.lower()
