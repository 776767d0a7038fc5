"""Which tasks wait: all of them, as the store keeps them behind the windows of the queue."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping
from typing import TypeAlias

from taskmill.model.changes import Ready, Refill
from taskmill.model.record import TaskId
from taskmill.simulation.arrivals import Task

Place: TypeAlias = tuple[str, str | None, int]
Position: TypeAlias = tuple[int, int]

_MANY = 4096


class Backlog:
    """The waiting tasks, and their order in each level; a level forgets what has left lazily."""

    def __init__(self) -> None:
        self._tasks: dict[TaskId, Task] = {}
        self._levels: dict[Place, list[Position]] = {}

    @property
    def tasks(self) -> Mapping[TaskId, Task]:
        """What waits now."""
        return self._tasks

    def add(self, task: Task) -> None:
        """A task waits, for the first time or again."""
        ready = task.ready
        self._tasks[ready.id] = task
        level = self._levels.setdefault(_place(ready), [])
        if len(level) > _MANY and len(level) > 4 * len(self._tasks):
            self._forget(level)
        position = (ready.ready_at_ms, int(ready.id))
        if not level or level[-1] < position:
            level.append(position)
            return
        at = bisect_right(level, position)
        if level[at - 1 : at] != [position]:
            insort(level, position)

    def take(self, ready: Ready) -> Task:
        """A task starts."""
        return self._tasks.pop(ready.id)

    def read(self, refill: Refill) -> list[Position]:
        """What the store would answer."""
        level = self._levels[refill.type, refill.group, refill.priority]
        at = bisect_right(level, refill.after)
        if at > _MANY and at > len(level) // 2:
            self._forget(level)
            at = bisect_right(level, refill.after)
        found: list[Position] = []
        while at < len(level) and len(found) < refill.limit:
            if TaskId(level[at][1]) in self._tasks:
                found.append(level[at])
            at += 1
        return found

    def _forget(self, level: list[Position]) -> None:
        level[:] = [position for position in level if TaskId(position[1]) in self._tasks]


def _place(ready: Ready) -> Place:
    return ready.type, ready.group, ready.priority
