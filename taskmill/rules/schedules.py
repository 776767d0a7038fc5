"""What is due of the schedules, and what becomes of a schedule that somebody changes."""

from __future__ import annotations

import hashlib

import attrs

from taskmill.model.changes import (
    Fire,
    NewTask,
    PauseUndeclared,
    SetSchedule,
    Steer,
    SteerSchedule,
    Timetable,
)
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.effects import Fired, Placed
from taskmill.model.errors import ConfigurationError
from taskmill.model.record import TaskId
from taskmill.model.schedules import Overlap, ScheduleStatus
from taskmill.rules.dedup import place
from taskmill.rules.pacing import pace_of, with_pace
from taskmill.rules.recurrence import Due, begin, due, rule_from_json, skip, upsert
from taskmill.rules.steps import (
    DropTimetable,
    FindDeclared,
    FindDueTimetables,
    FindNextFire,
    FindStates,
    FindTimetable,
    PutTimetable,
    Rule,
    ask,
)


def fire(change: Fire) -> Rule[Fired]:
    """Make what is due into tasks, as each schedule's rule says."""
    placed: list[tuple[NewTask, Placed]] = []
    skipped: list[tuple[Timetable, int]] = []
    stopped: list[Timetable] = []
    for timetable in (yield from ask(FindDueTimetables(change.now_ms, change.limit))):
        try:
            rule = rule_from_json(timetable.rule)
        except ConfigurationError as error:
            paused = attrs.evolve(timetable, status=ScheduleStatus.PAUSED, reason=str(error))
            yield from ask(PutTimetable(paused))
            stopped.append(paused)
            continue
        is_missed = timetable.next_ms is not None and timetable.next_ms <= change.opened_ms
        is_busy = yield from _is_busy(timetable)
        if is_busy and rule.overlap is Overlap.SKIP and not is_missed:
            found = skip(rule, pace_of(timetable), change.now_ms)
            skipped.append((timetable, found.missed))
        else:
            by_ms = change.opened_ms if is_missed else change.now_ms
            found = due(rule, pace_of(timetable), by_ms, is_opening=is_missed, limit=change.limit)
        last = timetable.last_task if is_busy else None
        occurrences = yield from _occur(timetable, found.times, last, change.now_ms)
        placed += occurrences
        after = _after(timetable, found, occurrences[-1][1].id if occurrences else None)
        yield from ask(PutTimetable(after))
        if found.has_ended:
            stopped.append(after)
    return Fired(
        placed=tuple(placed),
        skipped=tuple(skipped),
        stopped=tuple(stopped),
        next_ms=(yield from ask(FindNextFire())),
    )


def _is_busy(timetable: Timetable) -> Rule[bool]:
    """Whether the latest occurrence has not ended."""
    if timetable.last_task is None:
        return False
    states = yield from ask(FindStates((timetable.last_task,)))
    return any(not status.is_terminal for status in states.values())


def _occur(
    timetable: Timetable, times: tuple[int, ...], last: TaskId | None, now_ms: int
) -> Rule[list[tuple[NewTask, Placed]]]:
    """Insert an occurrence for each time; each waits for the one before it."""
    placed: list[tuple[NewTask, Placed]] = []
    for time in times:
        new = occurrence(timetable, time, last, now_ms)
        effect = yield from place(new)
        if not isinstance(effect, Placed):
            raise AssertionError(
                f"an occurrence of {timetable.name!r} was refused: {effect.reason}"
            )
        placed.append((new, effect))
        last = effect.id
    return placed


def occurrence(timetable: Timetable, time: int, last: TaskId | None, now_ms: int) -> NewTask:
    """The task of one occurrence; its identity is the schedule and the time, so there is one."""
    template = timetable.template
    later = now_ms - template.created_at_ms
    text = f"{timetable.domain}\0{timetable.name}\0{time}"
    return attrs.evolve(
        template,
        identity=hashlib.blake2b(text.encode(), digest_size=16).digest(),
        created_at_ms=now_ms,
        ready_at_ms=template.ready_at_ms + later,
        due_at_ms=_shifted(template.due_at_ms, later),
        run_at_ms=_shifted(template.run_at_ms, later),
        expires_at_ms=_shifted(template.expires_at_ms, later),
        schedule=timetable.name,
        scheduled_for_ms=time,
        depends_on=() if last is None else (last,),
        on_dependency_failure=OnDependencyFailure.IGNORE,
    )


def _shifted(moment: int | None, later: int) -> int | None:
    return None if moment is None else moment + later


def _after(timetable: Timetable, found: Due, last: TaskId | None) -> Timetable:
    after = with_pace(timetable, found.pace)
    if last is not None:
        after = attrs.evolve(after, last_task=last, last_ms=found.times[-1])
    if not found.has_ended:
        return after
    return attrs.evolve(after, status=ScheduleStatus.ENDED, reason="no occurrence is left")


# --- changes ---


def set_schedule(change: SetSchedule) -> Rule[Timetable]:
    """Make a schedule, or change the one of that name."""
    before = yield from ask(FindTimetable(change.domain, change.name))
    rule = rule_from_json(change.rule)
    goes_on = before is not None and before.rule == change.rule
    if before is None:
        pace = begin(rule, change.now_ms)
    else:
        pace = upsert(before.rule, rule, pace_of(before), change.now_ms)
    status, reason = ScheduleStatus.ACTIVE, None
    if goes_on and before is not None and before.reason != _UNDECLARED:
        status, reason = before.status, before.reason
    after = Timetable(
        domain=change.domain,
        name=change.name,
        template=change.template,
        rule=change.rule,
        status=status,
        anchor_ms=pace.anchor_ms,
        next_ms=pace.next_ms,
        runs=pace.runs,
        last_task=None if before is None else before.last_task,
        last_ms=None if before is None else before.last_ms,
        reason=reason,
        is_declared=change.is_declared,
        created_at_ms=change.now_ms if before is None else before.created_at_ms,
    )
    yield from ask(PutTimetable(after))
    return after


_UNDECLARED = "its domain does not declare it any more"


def pause_undeclared(change: PauseUndeclared) -> Rule[Fired]:
    """Pause what was declared once and is not any more."""
    stopped: list[Timetable] = []
    for timetable in (yield from ask(FindDeclared(change.domain))):
        is_active = timetable.status is ScheduleStatus.ACTIVE
        if is_active and timetable.name not in change.declared:
            after = attrs.evolve(timetable, status=ScheduleStatus.PAUSED, reason=_UNDECLARED)
            yield from ask(PutTimetable(after))
            stopped.append(after)
    return Fired(stopped=tuple(stopped), next_ms=(yield from ask(FindNextFire())))


def steer_schedule(change: SteerSchedule) -> Rule[Timetable | None]:
    """Pause, resume or cancel a schedule; what came due in a pause is dropped."""
    timetable = yield from ask(FindTimetable(change.domain, change.name))
    if timetable is None:
        return None
    if change.steer is Steer.CANCEL:
        yield from ask(DropTimetable(change.domain, change.name))
        return attrs.evolve(timetable, status=ScheduleStatus.ENDED, reason="cancelled")
    if timetable.status is ScheduleStatus.ENDED:
        return timetable
    if change.steer is Steer.PAUSE:
        after = attrs.evolve(timetable, status=ScheduleStatus.PAUSED, reason="paused")
    elif timetable.status is ScheduleStatus.PAUSED:
        found = skip(rule_from_json(timetable.rule), pace_of(timetable), change.now_ms)
        after = attrs.evolve(
            with_pace(timetable, found.pace), status=ScheduleStatus.ACTIVE, reason=None
        )
    else:
        return timetable
    yield from ask(PutTimetable(after))
    return after
