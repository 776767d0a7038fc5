"""What recurs: the schedules of an open scheduler, and the tasks that they make."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import partial
from typing import Any

from anyio.lowlevel import checkpoint

from taskmill.define.domain import Domain
from taskmill.define.task import Task
from taskmill.engine.aftermath import Aftermath
from taskmill.engine.announce import load_of
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.hub import Hub
from taskmill.engine.intake import Intake
from taskmill.engine.registry import Registry
from taskmill.engine.timed import Timed
from taskmill.engine.writer import Writer
from taskmill.model.changes import (
    Change,
    Fire,
    PauseUndeclared,
    SetSchedule,
    Steer,
    SteerSchedule,
    Timetable,
)
from taskmill.model.effects import Effect, Fired
from taskmill.model.errors import ConfigurationError, UnknownTaskError
from taskmill.model.events import ScheduleEnded, ScheduleSkipped
from taskmill.model.limits import check_text
from taskmill.model.schedules import Recurrence, ScheduleRecord, ScheduleStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.recurrence import rule_from_json, rule_to_json
from taskmill.store.base import Store

log = logging.getLogger("taskmill.schedules")

_BREATH = 100
"""How many schedules are put together before others get their turn in the event loop."""
FIRE = 1000
"""How many schedules, and how many occurrences of each, are looked at in one batch."""


class Schedules:
    """Makes the occurrences of schedules into tasks, and lets people see and change schedules."""

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
                await self._set(domain.name, name, each.task, each.rule, is_declared=True)
            if any(t.domain == domain.name and t.name not in declared for t in known):
                names = frozenset(declared)
                change = PauseUndeclared(domain=domain.name, declared=names, now_ms=self._now_ms())
                await self._writer.apply(change, self._retired)
        self._dispatcher.watch(self._timed)
        self._timed.by(next_ms)
        self._dispatcher.rearm()

    # --- what people do ---

    async def set(
        self, domain: str, task: Task[Any, Any], rule: Recurrence, name: str | None
    ) -> ScheduleRecord:
        """Make a schedule, or change the one of that name."""
        timetable = await self._set(domain, name, task, rule, is_declared=False)
        self._soon(timetable)
        return record_of(timetable)

    async def steer(self, domain: str | None, name: str, steer: Steer) -> ScheduleRecord:
        """Pause, resume or cancel a schedule; LookupError where there is none."""
        check_text(name, "a schedule's name")
        owner = domain or await self._owner_of(name)
        change = SteerSchedule(domain=owner, name=name, steer=steer, now_ms=self._now_ms())
        effect = await self._writer.apply(change, self._steered)
        if not isinstance(effect, Timetable):
            raise UnknownTaskError(f"domain {owner!r} has no schedule {name!r}")
        return record_of(effect)

    async def all(self, domain: str | None) -> list[ScheduleRecord]:
        """The schedules of a domain, or of all, by name."""
        with self._clock.hold():
            timetables = await self._store.timetables(domain)
        records: list[ScheduleRecord] = []
        for timetable in timetables:
            records.append(record_of(timetable))
            if len(records) % _BREATH == 0:
                await checkpoint()
        return records

    async def _owner_of(self, name: str) -> str:
        owners = {record.domain for record in await self.all(None) if record.name == name}
        if len(owners) == 1:
            return owners.pop()
        if not owners:
            raise UnknownTaskError(f"no domain has a schedule {name!r}")
        raise ConfigurationError(
            f"domains {', '.join(sorted(owners))} each have a schedule {name!r}; "
            "ask the handle of the one that is meant"
        )

    async def _set(
        self,
        domain: str,
        name: str | None,
        task: Task[Any, Any],
        rule: Recurrence,
        *,
        is_declared: bool,
    ) -> Timetable:
        new = Intake(self._registry, {}, self._clock.now()).take(task)
        change = SetSchedule(
            domain=domain,
            name=new.identity.hex() if name is None else name,
            template=new,
            rule=rule_to_json(rule),
            is_declared=is_declared,
            now_ms=self._now_ms(),
        )
        effect = await self._writer.apply(change, self._steered)
        if not isinstance(effect, Timetable):
            raise TypeError(f"a schedule cannot have the effect {effect!r}")
        return effect

    # --- what comes of it ---

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

    def _steered(self, effect: Effect) -> None:
        if isinstance(effect, Timetable):
            self._soon(effect)
            if effect.status is ScheduleStatus.ENDED:
                self._hub.publish(partial(_ended, effect))

    def _soon(self, timetable: Timetable) -> None:
        if timetable.status is ScheduleStatus.ACTIVE and self._timed.by(timetable.next_ms):
            self._dispatcher.rearm()

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


def record_of(timetable: Timetable) -> ScheduleRecord:
    """A schedule as people see it."""
    return ScheduleRecord(
        name=timetable.name,
        domain=timetable.domain,
        type=timetable.template.type,
        rule=rule_from_json(timetable.rule),
        payload=timetable.template.payload,
        status=timetable.status,
        next_at=from_ms(timetable.next_ms),
        runs=timetable.runs,
        last_task=timetable.last_task,
        last_at=from_ms(timetable.last_ms),
        reason=timetable.reason,
        created_at=from_ms(timetable.created_at_ms),
    )


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
