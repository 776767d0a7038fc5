"""How requests are carried out where the dispatcher is, and what follows in memory."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from taskmill.define.task import Task
from taskmill.engine.aftermath import Aftermath
from taskmill.engine.due.firing import Firing
from taskmill.engine.due.pausing import Pausing
from taskmill.engine.events.announce import load_of
from taskmill.engine.registry import Registry
from taskmill.engine.writer import Writer
from taskmill.model.changes import Pause, Request, Submit, Timetable
from taskmill.model.effects import Changed, Effect
from taskmill.model.pauses import PauseRecord


class Local:
    """Carries requests out in the process that dispatches."""

    def __init__(
        self,
        *,
        registry: Registry,
        writer: Writer,
        aftermath: Aftermath,
        pausing: Pausing,
        firing: Firing,
    ) -> None:
        self._registry = registry
        self._writer = writer
        self._aftermath = aftermath
        self._pausing = pausing
        self._firing = firing

    async def apply(self, request: Request, tasks: Sequence[Task[Any, Any]] = ()) -> Effect:
        """Carry out ``request`` and return its effect; StoreError if the store could not."""
        return await self._writer.apply(request, partial(self.follow, request, tasks))

    def follow(self, request: Request, tasks: Sequence[Task[Any, Any]], effect: Effect) -> None:
        """Follow in memory what a request did, once that has committed.

        ``tasks`` are those of a submit, where they are at hand.
        """
        match effect:
            case Changed():
                self._aftermath.follow(effect.moves)
            case PauseRecord():
                if isinstance(request, Pause):
                    self._pausing.held(effect, interrupt=request.interrupt)
                else:
                    self._pausing.resumed(effect)
            case Timetable():
                self._firing.steered(effect)
            case tuple() if isinstance(request, Submit):
                loads = [partial(_same, task) for task in tasks]
                for index, (new, placed) in enumerate(zip(request.tasks, effect, strict=True)):
                    load = loads[index] if loads else load_of(self._registry, new)
                    self._aftermath.arrived(new, placed, load)
            case _:
                pass  # what was refused, or deleted, was not in memory


def _same(task: Task[Any, Any]) -> Task[Any, Any]:
    return task
