"""How the queue, what runs, who waits and the streams follow what has committed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.events.announce import Load, enqueued, event_of
from taskmill.engine.events.endings import Endings
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.registry import Registry
from taskmill.model.changes import NewTask, StopCause
from taskmill.model.effects import Move, Placed
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.moves import ready_place

_CAUSES = {
    TaskStatus.CANCELLED: StopCause.CANCELLED,
    TaskStatus.SUPERSEDED: StopCause.SUPERSEDED,
    TaskStatus.FAILED: StopCause.FAILED,
}


_NEW = (SubmitOutcome.INSERTED, SubmitOutcome.REQUEUED, SubmitOutcome.SUPERSEDED)


class Aftermath:
    """Carries each move of a task to all that keep something about tasks in memory."""

    def __init__(
        self,
        *,
        registry: Registry,
        dispatcher: Dispatcher,
        hub: Hub,
        endings: Endings,
        meters: Meters,
        stop: Callable[[TaskId, StopCause], None],
    ) -> None:
        self._registry = registry
        self._dispatcher = dispatcher
        self._hub = hub
        self._endings = endings
        self._meters = meters
        self._stop = stop
        self.on_occurrence_ended: Callable[[], None] = lambda: None
        """Called when the task of a schedule has ended."""

    def arrived(self, new: NewTask, placed: Placed, load: Load) -> None:
        """Follow what became of a task that was submitted; ``load`` gives its payload."""
        self._meters.submitted(new.type, placed.outcome)
        if placed.ready is not None:
            self._dispatcher.add(placed.ready)
        elif placed.is_due and new.due_at_ms is not None:
            self._dispatcher.due(new.due_at_ms)
        if placed.expires_at_ms is not None:
            self._dispatcher.expires(placed.expires_at_ms)
        if placed.outcome in _NEW:
            self._hub.publish(lambda: enqueued(new, placed, load))
        if placed.moves:
            self.follow(placed.moves)

    def follow(self, moves: Iterable[Move]) -> None:
        """Follow moves in the order in which they were made."""
        for move in moves:
            self.requeue(move)
            before, after = move.before, move.after
            if after.ends_as is not None and after.status is TaskStatus.RUNNING:
                self._stop(after.id, _CAUSES[after.ends_as])
            if self._hub.is_heard:
                self._tell(move)
            if after.status is not before.status:
                self._meters.moved(move)
            if after.status.is_terminal and not before.status.is_terminal:
                self._endings.ended(after.id)
                if after.schedule is not None:
                    self.on_occurrence_ended()

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
