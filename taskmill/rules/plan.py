"""What starts now: the best tasks of the open lanes, as long as a slot is free."""

from __future__ import annotations

from typing import Protocol

from taskmill.model.changes import Ready
from taskmill.rules.gates import Gate, Lane, Limits, Tally, first_closed, has_room


class Queue(Protocol):
    """What the decision needs of the ready queue."""

    def best(self) -> Lane | None:
        """The open lane whose head goes first; None when no lane is open."""
        ...

    def take(self) -> Ready:
        """Take the head of the best lane out of the queue."""
        ...

    def park(self, gate: Gate) -> None:
        """Close the best lane until ``gate`` wakes it."""
        ...

    def woken_by(self) -> Gate | None:
        """The gate that woke the best lane, if it has not been asked since."""
        ...

    def wake(self, gate: Gate) -> None:
        """Open the best lane that is parked at ``gate``, if there is one."""
        ...


def plan(queue: Queue, tally: Tally, limits: Limits) -> list[tuple[Lane, Ready]]:
    """Take out of ``queue`` what may start now, and count it in ``tally``.

    Maximal: when it returns, either every slot is taken or every lane is empty or parked at a
    closed gate. A lane that is held never holds another. What starts is counted at once, so no
    slot is given twice. Each step costs O(log lanes).
    """
    starts: list[tuple[Lane, Ready]] = []
    while tally.total < limits.max_concurrency:
        lane = queue.best()
        if lane is None:
            break
        woken_by = queue.woken_by()
        closed = first_closed(lane, tally, limits)
        if closed is None:
            starts.append((lane, queue.take()))
            tally.add(lane)
        else:
            queue.park(closed)
        if woken_by is not None and has_room(woken_by, tally, limits):
            queue.wake(woken_by)
    return starts
