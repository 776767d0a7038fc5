"""Which ready task goes first, and which lanes wait at which gate."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence

from taskmill.engine.lanes import START, WINDOW, LaneHeap, LaneQueue, Level, Position
from taskmill.model.changes import LevelCount, Ready, Refill
from taskmill.model.record import TaskId
from taskmill.rules.gates import Gate, Lane


class ReadyQueue:
    """All ready tasks, by lane; memory is bounded by the levels in use, not by the backlog.

    ``lane_of`` says which lane a (type, group) belongs to; ``handled`` names the task types that
    can run here. A lane is in the heap of open lanes, or parked in the heap of one gate.
    """

    def __init__(self, lane_of: Callable[[str, str | None], Lane], handled: Container[str]) -> None:
        self._lane_of = lane_of
        self._handled = handled
        self._lanes: dict[tuple[str, str | None], LaneQueue] = {}
        self._open = LaneHeap(lambda queue: queue.parked_at is None)
        self._parked: dict[Gate, LaneHeap] = {}
        self._short: dict[tuple[LaneQueue, int], None] = {}
        self.startable = 0
        """How many ready tasks have a handler here."""

    def load(self, levels: Sequence[LevelCount]) -> None:
        """Start from the counts of a store that was just opened; the windows fill by refills."""
        for counted in levels:
            queue = self._queue(counted.type, counted.group)
            queue.levels[counted.priority] = Level(count=counted.count, tail=START)
            self._counted(queue, counted.count)
            self._note(queue, counted.priority)

    def add(self, ready: Ready) -> None:
        """A task became ready."""
        queue = self._queue(ready.type, ready.group)
        level = queue.levels.get(ready.priority)
        if level is None:
            level = queue.levels[ready.priority] = Level()
        level.add((ready.ready_at_ms, ready.id))
        self._counted(queue, 1)
        if queue.key is None or (ready.priority, ready.ready_at_ms, ready.id) < queue.key:
            self._rekey(queue)

    def remove(self, ready: Ready) -> None:
        """A ready task was cancelled or changed."""
        queue = self._queue(ready.type, ready.group)
        level = queue.levels[ready.priority]
        self._counted(queue, -1)
        if level.remove((ready.ready_at_ms, ready.id)):
            self._rekey(queue)
        self._note(queue, ready.priority)

    def refills(self) -> Iterator[Refill]:
        """What to ask of the store now."""
        for queue, priority in list(self._short):
            del self._short[queue, priority]
            level = queue.levels.get(priority)
            if level is None or not level.is_short or level.tail is None:
                continue
            level.refilling = True
            yield Refill(
                type=queue.lane.type,
                group=queue.lane.group,
                priority=priority,
                after=level.tail,
                limit=WINDOW,
            )

    def refilled(self, refill: Refill, positions: Sequence[Position]) -> None:
        """The store answered a refill."""
        queue = self._queue(refill.type, refill.group)
        level = queue.levels[refill.priority]
        level.refill(refill.after, positions, refill.limit)
        self._rekey(queue)
        self._note(queue, refill.priority)

    def not_refilled(self, refill: Refill) -> None:
        """The store could not answer a refill; it will be asked again."""
        queue = self._queue(refill.type, refill.group)
        queue.levels[refill.priority].refilling = False
        self._note(queue, refill.priority)

    # --- what rules.plan asks ---

    def best(self) -> Lane | None:
        """The open lane whose head goes first; None when no lane is open."""
        queue = self._open.peek()
        return None if queue is None else queue.lane

    def take(self) -> Ready:
        """Take the head of the best lane out of the queue."""
        queue = self._taken()
        priority, ready_at_ms, task = queue.key or (0, 0, 0)
        level = queue.levels[priority]
        del level.window[0]
        level.count -= 1
        self._counted(queue, -1)
        queue.woken_by = None
        self._rekey(queue)
        self._note(queue, priority)
        return Ready(queue.lane.type, queue.lane.group, priority, ready_at_ms, TaskId(task))

    def park(self, gate: Gate) -> None:
        """Close the best lane until ``gate`` wakes it."""
        queue = self._taken()
        queue.parked_at = gate
        queue.woken_by = None
        self._heap_at(gate).push(queue)

    def woken_by(self) -> Gate | None:
        """The gate that woke the best lane, if it has not been asked since."""
        queue = self._open.peek()
        return None if queue is None else queue.woken_by

    def wake(self, gate: Gate) -> None:
        """Open the best lane that is parked at ``gate``, if there is one."""
        heap = self._parked.get(gate)
        if heap is None:
            return
        queue = heap.pop()
        if queue is None:
            del self._parked[gate]
        else:
            self._reopen(queue, gate)

    # --- inside ---

    def _queue(self, task_type: str, group: str | None) -> LaneQueue:
        queue = self._lanes.get((task_type, group))
        if queue is None:
            queue = LaneQueue(self._lane_of(task_type, group))
            self._lanes[task_type, group] = queue
        return queue

    def _taken(self) -> LaneQueue:
        queue = self._open.pop()
        if queue is None:
            raise LookupError("no lane is open; ask best() first")
        return queue

    def _heap_at(self, gate: Gate) -> LaneHeap:
        heap = self._parked.get(gate)
        if heap is None:
            heap = self._parked[gate] = LaneHeap(lambda queue: queue.parked_at == gate)
        return heap

    def _reopen(self, queue: LaneQueue, gate: Gate | None) -> None:
        queue.parked_at = None
        queue.woken_by = gate
        self._open.push(queue)

    def _rekey(self, queue: LaneQueue) -> None:
        """The head of a lane changed: it takes its new place, or none when it is empty.

        A parked lane with a better head is looked at again; one that a gate woke as the best it
        had, and that lost its head, passes the waking on.
        """
        before, queue.key = queue.key, queue.find_head()
        if queue.key is None:
            queue.parked_at = None
            self._pass_on(queue)
        elif queue.parked_at is None:
            self._open.push(queue)
            if before is not None and before < queue.key:
                self._pass_on(queue)
        elif before is None or queue.key < before:
            self._reopen(queue, None)
        else:
            self._heap_at(queue.parked_at).push(queue)

    def _pass_on(self, queue: LaneQueue) -> None:
        gate, queue.woken_by = queue.woken_by, None
        if gate is not None:
            self.wake(gate)

    def _counted(self, queue: LaneQueue, change: int) -> None:
        if queue.lane.type in self._handled:
            self.startable += change

    def _note(self, queue: LaneQueue, priority: int) -> None:
        """Note a level that runs short; forget one that is empty, and a lane without levels."""
        level = queue.levels[priority]
        if level.is_short:
            if queue.lane.type in self._handled:
                self._short[queue, priority] = None
        elif not level.window and level.tail is None:
            del queue.levels[priority]
            if not queue.levels:
                del self._lanes[queue.lane.type, queue.lane.group]
