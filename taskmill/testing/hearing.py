"""What do events say, and is it what was committed, in order, each once?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

from taskmill.model.events import (
    About,
    Cancelled,
    Completed,
    DeadLettered,
    DependencyFailed,
    Dispatched,
    Enqueued,
    Expired,
    Failed,
    Lagged,
    Revived,
    Superseded,
    Waiting,
)
from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.inline import Move
from taskmill.testing.promises import ENDS
from taskmill.testing.seen import Seen

S = TaskStatus

_SAYS: dict[type[About[Any]], str] = {
    Completed: S.COMPLETED,
    DeadLettered: S.DEAD,
    Cancelled: S.CANCELLED,
    Superseded: S.SUPERSEDED,
    Expired: S.EXPIRED,
    DependencyFailed: S.DEPENDENCY_FAILED,
    Waiting: S.WAITING,
}
"""Which state an event says that a task has come to."""


class Hearing:
    """Compares the events of a stream of all events with what was committed."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._happened: Counter[tuple[int, str]] = Counter()
        self._heard: Counter[tuple[int, str]] = Counter()
        self._unheard: Counter[tuple[int, str]] = Counter()
        """What has happened since the stream was opened and was not heard of."""
        self._runs_heard: dict[int, int] = {}
        self._over: set[int] = set()

    def subscribed(self) -> None:
        """Events are heard from now on."""
        self._unheard = Counter()
        self._runs_heard.clear()
        self._over.clear()

    def committed(self, moves: Iterable[Move]) -> None:
        """A transaction has committed: events may speak of it."""
        for move in moves:
            if move.was != move.now:
                self._happened[move.id, str(move.now)] += 1
                self._unheard[move.id, str(move.now)] += 1

    def heard(self, event: object) -> None:
        """An event came out of the stream."""
        if isinstance(event, Lagged):  # more at once than a stream holds
            self.subscribed()
        if not isinstance(event, About):
            return
        about = cast("About[object]", event)  # an isinstance check loses the type
        task, name = int(about.id), type(about).__name__
        status = _SAYS.get(type(about))
        if isinstance(about, Failed) and not about.will_retry:
            status = S.FAILED
        if status is not None:
            self._heard[task, status] += 1
            self._unheard[task, status] -= 1
            if self._heard[task, status] > self._happened[task, status]:
                self._seen.broken("S10", f"{name} of task {task} before its commit")
        if isinstance(about, Dispatched):
            self._heard_start(task, about.run)
        if isinstance(about, Enqueued) and task not in self._seen.known:
            self._seen.broken("S10", f"Enqueued of task {task} before its commit")
        if isinstance(about, Revived):
            self._over.discard(task)
        elif task in self._over and not isinstance(about, Enqueued):
            self._seen.broken("S10", f"{name} of task {task} after its end")
        if status in ENDS:
            self._over.add(task)

    def _heard_start(self, task: int, run: int) -> None:
        if run <= self._runs_heard.get(task, 0):
            what = f"Dispatched of run {run} of task {task} after a later one"
            self._seen.broken("S10", what)
        if not self._happened[task, S.RUNNING]:
            self._seen.broken("S10", f"Dispatched of task {task} before its commit")
        self._runs_heard[task] = run

    def stopped(self) -> None:
        """The scheduler has closed: it has told of every end."""
        for (task, status), count in sorted(self._unheard.items()):
            if status in ENDS and count > 0:
                self._seen.broken("S10", f"task {task} was {status}, and no event says so")
