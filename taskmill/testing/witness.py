"""Who checks which promise of an explored scheduler, and who is to know of what, in which order?

All of them go by what can be seen from outside: what the database commits, what handlers meet,
what events say and what calls return. They ask the scheduler nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from taskmill.model.changes import Change, Settlement
from taskmill.store.sqlite.inline import Commit
from taskmill.testing.calls import Calls
from taskmill.testing.claims import Claims
from taskmill.testing.commits import Commits
from taskmill.testing.handling import Handling
from taskmill.testing.hearing import Hearing
from taskmill.testing.overdue import Overdue
from taskmill.testing.promises import Bounds, Broken
from taskmill.testing.seen import Seen


class Witness:
    """All that is seen of one exploration, and those that check it.

    What concerns one of them is said to it; what concerns several is said here.
    """

    def __init__(
        self,
        bounds: Bounds,
        *,
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        is_in_transaction: Callable[[], bool],
        report: Callable[[Broken], None],
        tell: Callable[[str], None],
    ) -> None:
        self.seen = Seen(bounds, now=now, report=report, tell=tell)
        self.calls = Calls(self.seen)
        self.handling = Handling(self.seen, is_in_transaction=is_in_transaction)
        self.hearing = Hearing(self.seen)
        self.commits = Commits(self.seen, self.calls, self.handling)
        self.claims = Claims(self.seen, self.calls)
        self.overdue = Overdue(self.seen, wall_ms=wall_ms)
        self.late: list[Settlement] = []
        """What was being settled when a process died."""
        self._in_flight: list[Settlement] = []

    def opened(self) -> None:
        """A process has opened the store and dispatches."""
        self.seen.is_open = True
        self.commits.opened()
        self.calls.opened()

    def died(self) -> None:
        """The process is gone, with all that it had not committed."""
        self.late += self._in_flight
        self._process_ended()

    def stopped(self, *, is_whole: bool) -> None:
        """The scheduler has closed; ``is_whole`` unless the disk was in trouble."""
        self.handling.stopped()
        if is_whole:
            self.commits.stopped()
            self.hearing.stopped()
        self._process_ended()

    def _process_ended(self) -> None:
        self._in_flight = []
        self.seen.process_ended()
        self.calls.process_ended()
        self.handling.process_ended()
        self.commits.process_ended()
        self.claims.process_ended()
        self.overdue.forget()

    def freed(self, bounds: Bounds) -> None:
        """The caps of the scheduler and of its domains are again what they were at first."""
        self.seen.bounds.max_concurrency = bounds.max_concurrency
        self.seen.bounds.domains = dict(bounds.domains)
        self.overdue.forget()

    def applying(self, changes: Sequence[Change]) -> None:
        """A batch was cut, and is handed to the store."""
        self._in_flight = [change for change in changes if isinstance(change, Settlement)]
        self.claims.cut()

    def committed(self, commit: Commit) -> None:
        """A transaction has committed."""
        was_paused = self.seen.pauses
        self.seen.committed(commit)
        self.hearing.committed(commit.moves)
        self.commits.committed(commit)
        self.claims.committed(commit, was_paused)
