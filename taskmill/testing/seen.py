"""What is known of an explored scheduler by now: its tasks, pauses, limits and troubles."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskmill.store.sqlite.inline import Commit, Row
from taskmill.testing.promises import Bounds, Broken


class Seen:
    """What all that check promises go by. ``report`` gets what does not hold."""

    def __init__(
        self,
        bounds: Bounds,
        *,
        now: Callable[[], float],
        report: Callable[[Broken], None],
        tell: Callable[[str], None],
    ) -> None:
        self.bounds = bounds.copy()
        self._first = bounds.copy()
        self.now, self.tell = now, tell
        self._report = report
        self.rows: dict[int, Row] = {}
        self.known: set[int] = set()
        """Every task that was ever committed."""
        self.pauses: frozenset[tuple[str, str]] = frozenset()
        self.changes = 0
        """How many changes of rows were committed."""
        self.is_open = False
        """Whether a process has opened the store and dispatches."""
        self.last_trouble = -1e9
        self.last_jump = -1e9

    def broken(self, promise: str, what: str) -> None:
        """A promise does not hold."""
        self._report(Broken(promise, what))

    def committed(self, commit: Commit) -> None:
        """A transaction has committed."""
        self.pauses = commit.pauses
        self.changes += len(commit.moves)
        for move in commit.moves:
            self.known.add(move.id)
            if move.now is None:
                self.rows.pop(move.id, None)
        for row in commit.rows:
            self.rows[row.id] = row

    def troubled(self) -> None:
        """The store is in trouble, or was until now."""
        self.last_trouble = self.now()

    def jumped(self) -> None:
        """The wall clock was set."""
        self.last_jump = self.now()

    def process_ended(self) -> None:
        """The next process has the limits again that the first one had."""
        self.is_open = False
        self.bounds = self._first.copy()


def is_held(row: Row, pauses: frozenset[tuple[str, str]]) -> bool:
    """Whether one of ``pauses`` keeps a task from being started."""
    return (
        ("scheduler", "") in pauses
        or ("domain", row.domain) in pauses
        or (row.group is not None and ("group", row.group) in pauses)
    )


def by_dependent(ties: Iterable[tuple[int, int]]) -> dict[int, list[int]]:
    """What each task depends on."""
    found: dict[int, list[int]] = {}
    for task, on in ties:
        found.setdefault(task, []).append(on)
    return found
