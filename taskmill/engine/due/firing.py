"""What schedules make of themselves: the tasks that they are due to make, and what follows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from taskmill.define.domain import Domain
from taskmill.engine.aftermath import Aftermath
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.due.timed import Timed
from taskmill.engine.events.announce import load_of
from taskmill.engine.events.hub import Hub
from taskmill.engine.registry import Registry
from taskmill.engine.requests.schedules import setting
from taskmill.engine.writer import Writer
from taskmill.model.changes import Change, Fire, PauseUndeclared, Timetable
from taskmill.model.effects import Effect, Fired
from taskmill.model.events import ScheduleEnded, ScheduleSkipped
from taskmill.model.schedules import ScheduleStatus
from taskmill.model.times import to_ms
from taskmill.store.base import Store

log = logging.getLogger("taskmill.schedules")

FIRE = 1000
"""How many schedules, and how many occurrences of each, are looked at in one batch."""


class Firing:
    """Makes the occurrences of schedules into tasks."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        writer: Writer,
        dispatcher: Dispatcher,
        aftermath: Aftermath,
        hub: Hub,
        clock: Clock,
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._dispatcher = dispatcher
        self._aftermath = aftermath
        self._hub = hub
        self._clock = clock
        self._opened_ms = 0
        self._timed = Timed(self._fire, self._fired)

    async def load(self, next_ms: int | None, domains: Iterable[Domain[Any]]) -> None:
        """The store was opened: what is declared is set, what is not any more is paused."""
        self._opened_ms = self._now_ms() - 1  # what is due right now is in time
        with self._clock.hold():
            known = await self._store.timetables(None)
        for domain in domains:
            declared = {each.name: each for each in domain.schedules}
            for name, each in declared.items():
                change = setting(
                    self._registry,
                    self._clock.now(),
                    domain=domain.name,
                    name=name,
                    task=each.task,
                    rule=each.rule,
                    is_declared=True,
                )
                await self._writer.apply(change, self.steered)
            if any(t.domain == domain.name and t.name not in declared for t in known):
                names = frozenset(declared)
                retired = PauseUndeclared(domain=domain.name, declared=names, now_ms=self._now_ms())
                await self._writer.apply(retired, self._retired)
        self._dispatcher.watch(self._timed)
        self._timed.by(next_ms)
        self._dispatcher.rearm()

    def occurrence_ended(self) -> None:
        """The task of a schedule has ended: the next one may count from now."""
        self._timed.by(self._now_ms())
        self._dispatcher.rearm()

    def _fire(self, now_ms: int) -> Change:
        return Fire(now_ms=now_ms, opened_ms=self._opened_ms, limit=FIRE)

    def _fired(self, effect: Effect) -> int | None:
        if not isinstance(effect, Fired):
            return None
        for new, placed in effect.placed:
            self._aftermath.arrived(new, placed, load_of(self._registry, new))
        for timetable, count in effect.skipped:
            self._hub.publish(partial(_skipped, timetable, count))
        for timetable in effect.stopped:
            self._stopped(timetable)
        return effect.next_ms

    def _retired(self, effect: Effect) -> None:
        if isinstance(effect, Fired):
            for timetable in effect.stopped:
                self._stopped(timetable)

    def _stopped(self, timetable: Timetable) -> None:
        if timetable.status is ScheduleStatus.PAUSED:
            log.warning(
                "schedule %r of domain %r is paused: %s",
                timetable.name,
                timetable.domain,
                timetable.reason,
            )
        self._hub.publish(partial(_ended, timetable))

    def steered(self, effect: Effect) -> None:
        """A schedule was made or changed."""
        if isinstance(effect, Timetable):
            self._soon(effect)
            if effect.status is ScheduleStatus.ENDED:
                self._hub.publish(partial(_ended, effect))

    def _soon(self, timetable: Timetable) -> None:
        if timetable.status is ScheduleStatus.ACTIVE and self._timed.by(timetable.next_ms):
            self._dispatcher.rearm()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def _skipped(timetable: Timetable, count: int) -> ScheduleSkipped:
    return ScheduleSkipped(
        name=timetable.name, domain=timetable.domain, type=timetable.template.type, count=count
    )


def _ended(timetable: Timetable) -> ScheduleEnded:
    return ScheduleEnded(
        name=timetable.name,
        domain=timetable.domain,
        type=timetable.template.type,
        reason=timetable.reason or "",
    )
