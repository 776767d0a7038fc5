"""What recurs: how people make, change and see the schedules of an open scheduler."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from anyio.lowlevel import checkpoint

from taskmill.define.task import Task
from taskmill.engine.clock import Clock
from taskmill.engine.registry import Registry
from taskmill.engine.requests.applying import Applying
from taskmill.engine.requests.intake import Intake
from taskmill.model.changes import SetSchedule, Steer, SteerSchedule, Timetable
from taskmill.model.errors import ConfigurationError, UnknownTaskError
from taskmill.model.limits import check_text
from taskmill.model.schedules import Recurrence, ScheduleRecord
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.recurrence import rule_from_json, rule_to_json
from taskmill.store.base import Store

_BREATH = 100
"""How many schedules are put together before others get their turn in the event loop."""


class Schedules:
    """The verbs for schedules."""

    def __init__(
        self, *, store: Store, registry: Registry, applying: Applying, clock: Clock
    ) -> None:
        self._store = store
        self._registry = registry
        self._applying = applying
        self._clock = clock

    async def set(
        self, domain: str, task: Task[Any, Any], rule: Recurrence, name: str | None
    ) -> ScheduleRecord:
        """Make a schedule, or change the one of that name."""
        change = setting(
            self._registry,
            self._clock.now(),
            domain=domain,
            name=name,
            task=task,
            rule=rule,
            is_declared=False,
        )
        effect = await self._applying.apply(change)
        if not isinstance(effect, Timetable):
            raise TypeError(f"a schedule cannot have the effect {effect!r}")
        return record_of(effect)

    async def steer(self, domain: str | None, name: str, steer: Steer) -> ScheduleRecord:
        """Pause, resume or cancel a schedule; LookupError where there is none."""
        check_text(name, "a schedule's name")
        owner = domain or await self._owner_of(name)
        now_ms = to_ms(self._clock.now())
        change = SteerSchedule(domain=owner, name=name, steer=steer, now_ms=now_ms)
        effect = await self._applying.apply(change)
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


def setting(
    registry: Registry,
    now: datetime,
    *,
    domain: str,
    name: str | None,
    task: Task[Any, Any],
    rule: Recurrence,
    is_declared: bool,
) -> SetSchedule:
    """The change that makes a schedule, or changes the one of that name."""
    new = Intake(registry, {}, now).take(task)
    return SetSchedule(
        domain=domain,
        name=new.identity.hex() if name is None else name,
        template=new,
        rule=rule_to_json(rule),
        is_declared=is_declared,
        now_ms=to_ms(now),
    )


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
