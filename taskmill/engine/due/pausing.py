"""What follows when something is paused or resumed, and the pauses that end by themselves."""

from __future__ import annotations

from taskmill.engine.clock import Alarm, Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.events.hub import Hub
from taskmill.engine.runs.running import Running
from taskmill.engine.writer import Writer
from taskmill.model.changes import Resume, StopCause
from taskmill.model.effects import Effect
from taskmill.model.errors import StoreError
from taskmill.model.events import Paused, Resumed
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskRecord
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.gates import Gate
from taskmill.rules.limits import Limits


class Pausing:
    """Keeps the limits in step with the pauses on record."""

    def __init__(
        self,
        *,
        limits: Limits,
        writer: Writer,
        dispatcher: Dispatcher,
        running: Running,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._limits = limits
        self._writer = writer
        self._dispatcher = dispatcher
        self._running = running
        self._hub = hub
        self._clock = clock
        self.alarm = Alarm(ring=self._resume_due, now=lambda: clock.now().timestamp())

    def load(self) -> None:
        """The store was opened: pauses that end by themselves are watched."""
        self._set_alarm()

    def held(self, record: PauseRecord, *, interrupt: bool) -> None:
        """A scope is held from now on; with ``interrupt`` what runs there is told to stop."""
        self._limits.pauses.hold(record)
        self._hub.publish(
            lambda: Paused(scope=record.scope, name=record.name, until=from_ms(record.until_ms))
        )
        if interrupt:
            self._running.stop_where(lambda task: _is_held(task, record), StopCause.PAUSED)
        self._set_alarm()

    def resumed(self, effect: Effect | StoreError) -> None:
        """A scope is held no longer, if it was."""
        if isinstance(effect, PauseRecord):
            self._limits.pauses.end(effect.scope, effect.name, effect.ended_ms or effect.since_ms)
            self._hub.publish(lambda: Resumed(scope=effect.scope, name=effect.name))
            self._dispatcher.opened(self._gates_of(effect))
        self._set_alarm()

    def _gates_of(self, record: PauseRecord) -> list[Gate]:
        match record.scope:
            case PauseScope.SCHEDULER:
                return []
            case PauseScope.DOMAIN:
                return [self._limits.domain_pause(record.name)]
            case PauseScope.GROUP:
                return [self._limits.group_gates(record.name).pause]

    def _resume_due(self) -> None:
        """End the pauses whose deadline has come."""
        now_ms = to_ms(self._clock.now())
        for record in self._limits.pauses.due(now_ms):
            resume = Resume(scope=record.scope, name=record.name, now_ms=now_ms, due_by_ms=now_ms)
            self._writer.send(resume, self.resumed)

    def _set_alarm(self) -> None:
        end = self._limits.pauses.next_end()
        self.alarm.set(None if end is None else from_ms(end).timestamp())


def _is_held(task: TaskRecord, record: PauseRecord) -> bool:
    match record.scope:
        case PauseScope.SCHEDULER:
            return True
        case PauseScope.DOMAIN:
            return task.domain == record.name
        case PauseScope.GROUP:
            return task.group == record.name
