"""How the queue, what runs, who waits and the streams follow what has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskmill.engine.announce import event_of
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.endings import Endings
from taskmill.engine.hub import Hub
from taskmill.engine.registry import Registry
from taskmill.model.changes import StopCause
from taskmill.model.effects import Move
from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.moves import ready_place

_CAUSES = {
    TaskStatus.CANCELLED: StopCause.CANCELLED,
    TaskStatus.SUPERSEDED: StopCause.SUPERSEDED,
    TaskStatus.FAILED: StopCause.FAILED,
}


class Aftermath:
    """Carries each move of a task to all that keep something about tasks in memory."""

    def __init__(
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        hub: Hub,
        endings: Endings,
        stop: Callable[[TaskId, StopCause], None],
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._hub = hub
        self._endings = endings
        self._stop = stop

    def follow(self, moves: Iterable[Move]) -> None:
        """Follow moves in the order in which they were made."""
        for move in moves:
            self.requeue(move)
            before, after = move.before, move.after
            if after.ends_as is not None and after.status is TaskStatus.RUNNING:
                self._stop(after.id, _CAUSES[after.ends_as])
            if self._hub.is_heard:
                self._tell(move)
            if after.status.is_terminal and not before.status.is_terminal:
                self._endings.ended(after.id)

    def _tell(self, move: Move) -> None:
        event = event_of(self._registry, move)
        if event is not None:
            self._hub.publish(lambda: event)

    def requeue(self, move: Move) -> None:
        """Give a task its new place among those that wait."""
        before, after = move.before, move.after
        left, place = ready_place(before), ready_place(after)
        if left != place:
            if left is not None:
                self._dispatcher.remove(left)
            if place is not None:
                self._dispatcher.add(place)
        if before.due_at != after.due_at:
            is_handled = self._registry.is_handled(after.type)
            if before.due_at is not None:
                self._dispatcher.no_longer_due(retry=is_handled and before.attempt > 0)
            if after.due_at is not None:
                is_retry = is_handled and after.attempt > 0
                self._dispatcher.due(to_ms(after.due_at), retry=is_retry)
        if after.expires_at is not None and not after.status.is_terminal:
            self._dispatcher.expires(to_ms(after.expires_at))
