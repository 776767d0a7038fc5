"""How the end of a task is noticed that runs in another process."""

from __future__ import annotations

from datetime import timedelta

import anyio
from anyio.abc import TaskGroup

from taskmill.client.line import Line, NobodyThere
from taskmill.engine.events.endings import Endings
from taskmill.model.errors import TaskmillError
from taskmill.model.record import TaskId


class Ends(Endings):
    """Wakes those who wait for a task when the dispatcher says so, or to look for themselves."""

    def __init__(self, *, line: Line, poll_interval: timedelta) -> None:
        super().__init__()
        self._line = line
        self._interval = poll_interval.total_seconds()
        self._followed: dict[TaskId, anyio.CancelScope] = {}

    def load(self, background: TaskGroup) -> None:
        """The scheduler was opened."""
        self._background = background

    def expect(self, task: TaskId) -> anyio.Event:
        """An event that is set when the task has ended, or may have."""
        event = super().expect(task)
        if task not in self._followed and not self.is_closed:
            scope = self._followed[task] = anyio.CancelScope()
            self._background.start_soon(self._follow, task, scope)
        return event

    def forget(self, task: TaskId, event: anyio.Event) -> None:
        """Whoever waited has gone."""
        super().forget(task, event)
        if task not in self.awaited() and task in self._followed:
            self._followed.pop(task).cancel()

    async def _follow(self, task: TaskId, scope: anyio.CancelScope) -> None:
        with scope:
            try:
                await self._line.ask("end", task=task)
            except (NobodyThere, TaskmillError):
                await anyio.sleep(self._interval)
            self._followed.pop(task, None)
            self.ended(task)
