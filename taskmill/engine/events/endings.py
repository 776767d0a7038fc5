"""Who waits for a task to end."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from taskmill.model.record import TaskId


class Endings:
    """Wakes those who wait for a task once its end has committed."""

    def __init__(self) -> None:
        self._waiting: dict[TaskId, list[anyio.Event]] = {}
        self.is_closed = False
        self._left = 0
        self._every = 0
        self._then: Callable[[], None] = lambda: None

    def every(self, number: int, then: Callable[[], None]) -> None:
        """Call ``then`` after each ``number`` of ends."""
        self._left = self._every = number
        self._then = then

    def expect(self, task: TaskId) -> anyio.Event:
        """An event that is set when the task ends, or when no end will be seen any more."""
        event = anyio.Event()
        if self.is_closed:
            event.set()
        else:
            self._waiting.setdefault(task, []).append(event)
        return event

    def forget(self, task: TaskId, event: anyio.Event) -> None:
        """Whoever waited has gone."""
        waiting = self._waiting.get(task)
        if waiting is not None and event in waiting:
            waiting.remove(event)
            if not waiting:
                del self._waiting[task]

    def ended(self, task: TaskId) -> None:
        """The end of a task has committed."""
        for event in self._waiting.pop(task, ()):
            event.set()
        self._left -= 1
        if not self._left:
            self._left = self._every
            self._then()

    def awaited(self) -> frozenset[TaskId]:
        """The tasks that somebody waits for."""
        return frozenset(self._waiting)

    def close(self) -> None:
        """Wake everybody: the scheduler has shut down."""
        self.is_closed = True
        self._left = 0
        for task in list(self._waiting):
            self.ended(task)
