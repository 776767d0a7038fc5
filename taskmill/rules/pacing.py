"""How far a stored schedule has come, and what the end of an occurrence does to that."""

from __future__ import annotations

import attrs

from taskmill.model.changes import Timetable
from taskmill.model.errors import ConfigurationError
from taskmill.model.record import TaskId
from taskmill.rules.recurrence import Pace, completed, rule_from_json
from taskmill.rules.steps import FindTimetable, PutTimetable, Rule, ask


def occurrence_ended(domain: str, name: str, task: TaskId, now_ms: int) -> Rule[None]:
    """Where the next occurrence counts from the end of the last one, that is now."""
    timetable = yield from ask(FindTimetable(domain, name))
    if timetable is None or timetable.last_task != task:
        return
    try:
        rule = rule_from_json(timetable.rule)
    except ConfigurationError:
        return  # it is paused, with the reason, when it is due
    pace = completed(rule, pace_of(timetable), now_ms)
    if pace != pace_of(timetable):
        yield from ask(PutTimetable(with_pace(timetable, pace)))


def pace_of(timetable: Timetable) -> Pace:
    """How far a schedule has come."""
    return Pace(anchor_ms=timetable.anchor_ms, next_ms=timetable.next_ms, runs=timetable.runs)


def with_pace(timetable: Timetable, pace: Pace) -> Timetable:
    """The schedule, come so far."""
    return attrs.evolve(timetable, anchor_ms=pace.anchor_ms, next_ms=pace.next_ms, runs=pace.runs)
