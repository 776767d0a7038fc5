"""What starts now: the best tasks of the open lanes, as long as a slot is free."""

from __future__ import annotations

from typing import Protocol

import attrs

from taskmill.model.changes import Ready
from taskmill.rules.gates import Gate, Slots
from taskmill.rules.limits import Lane
from taskmill.rules.shares import Share


@attrs.define(eq=False)
class Start:
    """A task that takes a slot now and holds it until it has really stopped."""

    lane: Lane
    ready: Ready
    effective: int
    """Its effective priority at this moment."""
    at_ns: int
    """When, on the monotonic clock."""
    share: Share | None = None
    """The account that pays for the slot; None while shares are off."""
    can_be_preempted: bool = False
    """Whether its handler runs, and may be stopped for something more urgent."""
    is_stopping: bool = False
    """Whether it was told to stop: its slot is promised."""
    is_overdue: bool = False
    """Whether it was told to and has not stopped in time: its slot is not to be counted on."""


class Queue(Protocol):
    """What the decision needs of the ready queue."""

    def best(self) -> Lane | None:
        """The open lane whose head goes first; None when no lane is open."""
        ...

    def take(self, now_ns: int) -> Start:
        """Take the head of the best lane out of the queue, to its group's account."""
        ...

    def park(self, gate: Gate) -> None:
        """Close the best lane until ``gate`` wakes it."""
        ...

    def weigh(self) -> None:
        """Take in what time has changed since the last decision."""
        ...

    def woken_by(self) -> Gate | None:
        """The gate that woke the best lane, if it has not been asked since."""
        ...

    def go_on(self, gate: Gate, held_at: Gate | None) -> None:
        """The lane that ``gate`` woke has started, or is held at another gate: wake the next."""
        ...


def plan(queue: Queue, slots: Slots, now_ns: int) -> list[Start]:
    """Take out of ``queue`` what may start now, and have it enter its gates.

    Maximal: when it returns, either every slot is taken or every lane is empty or parked at a
    closed gate. A lane that is held never holds another, but for a task that is to run alone: in
    its turn it waits for all slots, and nothing else starts. What starts is counted at once, so no
    slot is given twice. Each step costs O(log lanes).
    """
    starts: list[Start] = []
    queue.weigh()
    while slots.is_open(now_ns):
        lane = queue.best()
        if lane is None:
            break
        woken_by = queue.woken_by()
        closed = lane.first_closed(now_ns)
        if closed is None:
            if lane.is_alone and slots.held:
                break  # what runs ends first
            starts.append(queue.take(now_ns))
            slots.enter(now_ns)
            slots.is_taken_alone = lane.is_alone
            for toll in lane.tolls:
                toll.enter(now_ns)
        else:
            queue.park(closed)
        if woken_by is not None:
            queue.go_on(woken_by, closed)
    return starts
