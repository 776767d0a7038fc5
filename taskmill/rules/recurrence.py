"""Which occurrences of a schedule become tasks now, and when the next one is due.

Times are milliseconds since 1970. Counting is arithmetic for Every, whatever the downtime; for
Cron it walks over at most `MOST_COUNTED` occurrences and then looks for the latest by bisection.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, islice, takewhile
from typing import Any, TypeGuard, assert_never, cast

import attrs

from taskmill.model.cronline import times_after
from taskmill.model.errors import ConfigurationError
from taskmill.model.schedules import CatchUp, Cron, Every, Overlap, Recurrence
from taskmill.model.times import MILLISECOND, from_ms, to_ms

MOST_COUNTED = 1_000
"""Up to how many occurrences of Cron that have passed are counted one by one."""


@attrs.frozen(kw_only=True)
class Pace:
    """How far a schedule has come."""

    anchor_ms: int
    """Where the grid of Every begins; for Cron, when the schedule was begun."""
    next_ms: int | None
    """None once it has ended, and while the next occurrence counts from an active one's end."""
    runs: int = 0
    """Occurrences that became tasks."""


@attrs.frozen(kw_only=True)
class Due:
    """What came of looking at a schedule."""

    times: tuple[int, ...]
    """The intended times of the occurrences that become tasks now, oldest first."""
    missed: int
    """Occurrences that came due and were dropped; `MOST_COUNTED` of Cron may stand for more."""
    pace: Pace
    """How far the schedule has come with that, ``times`` counted as runs."""
    has_ended: bool
    """Whether no occurrence is left."""


def begin(rule: Recurrence, now_ms: int) -> Pace:
    """The pace of a schedule that is made now."""
    match rule:
        case Every(interval=interval, anchor=anchor):
            if anchor is None:
                wait = interval if rule.initial_delay is None else rule.initial_delay
                origin = now_ms + _ms(wait)
            else:
                origin = to_ms(anchor)
            steps = max(0, -((origin - now_ms) // _ms(interval)))
            return Pace(anchor_ms=origin, next_ms=origin + steps * _ms(interval))
        case Cron():
            return Pace(anchor_ms=now_ms, next_ms=_next_time(rule, now_ms))
        case _:
            assert_never(rule)


def due(rule: Recurrence, pace: Pace, now_ms: int, *, is_opening: bool, limit: int) -> Due:
    """Make what is due by now into tasks, or drop it, as the rule's ``catch_up`` says.

    On opening, all that is due came while no process was running. At most ``limit`` (1 or more)
    become tasks; with ALL the others stay due, and ``pace.next_ms`` is in the past.
    """
    next_ms = pace.next_ms
    if next_ms is None or next_ms > now_ms:
        return _outcome(rule, pace, (), next_ms)
    match rule.catch_up:
        case CatchUp.SKIP if is_opening:
            return skip(rule, pace, now_ms)
        case CatchUp.SKIP | CatchUp.ONE:
            count, latest, following = _passed(rule, next_ms, now_ms)
            return _outcome(rule, pace, (latest,), following, missed=count - 1)
        case CatchUp.ALL:
            room = limit if rule.max_runs is None else min(limit, rule.max_runs - pace.runs)
            times, following = _oldest(rule, next_ms, now_ms, room)
            return _outcome(rule, pace, times, following)
        case _:
            assert_never(rule.catch_up)


def skip(rule: Recurrence, pace: Pace, now_ms: int) -> Due:
    """Drop all that is due by now: for an overlap, or at the end of a pause."""
    next_ms = pace.next_ms
    if next_ms is None or next_ms > now_ms:
        return _outcome(rule, pace, (), next_ms)
    count, _, following = _passed(rule, next_ms, now_ms)
    return _outcome(rule, pace, (), following, missed=count)


def completed(rule: Recurrence, pace: Pace, now_ms: int) -> Pace:
    """The pace when the last occurrence's task has ended, now; another only if that is waited for.

    To be called however that task ended, else a rule with ``after_completion`` stops there.
    """
    if not _counts_from_end(rule) or pace.next_ms is not None or _is_spent(rule, pace.runs):
        return pace
    return attrs.evolve(pace, next_ms=now_ms + _ms(rule.interval))


def upsert(rule_before_json: str, rule: Recurrence, pace: Pace, now_ms: int) -> Pace:
    """The pace under ``rule``: the same rule keeps it, another one begins and counts anew."""
    return pace if rule_before_json == rule_to_json(rule) else begin(rule, now_ms)


def rule_to_json(rule: Recurrence) -> str:
    """The rule as a row holds it: equal rules, and no others, have equal texts.

    What is left at its default is not written, so that an option added later changes no text.
    """
    own: dict[str, object] = {"max_runs": rule.max_runs}
    if rule.catch_up is not CatchUp.SKIP:
        own["catch_up"] = rule.catch_up.value
    if rule.overlap is not Overlap.SKIP:
        own["overlap"] = rule.overlap.value
    match rule:
        case Every(interval=interval, anchor=anchor, initial_delay=delay):
            own["every_ms"] = _ms(interval)
            own["anchor_ms"] = None if anchor is None else to_ms(anchor)
            own["initial_delay_ms"] = None if delay is None else _ms(delay)
            own["after_completion"] = rule.after_completion or None
        case Cron(line=line, tz=tz):
            own["cron"], own["tz"] = line, tz
        case _:
            assert_never(rule)
    return json.dumps({key: own[key] for key in sorted(own) if own[key] is not None})


def rule_from_json(text: str) -> Recurrence:
    """The rule that `rule_to_json` wrote.

    Raises ConfigurationError for one that this version, or this machine, cannot follow: an option
    it does not know, a time zone it does not have, a Cron without the extra.
    """
    own = cast("dict[str, Any]", json.loads(text))  # as rule_to_json wrote it
    max_runs: int | None = own.pop("max_runs", None)
    catch_up = CatchUp(own.pop("catch_up", CatchUp.SKIP))
    overlap = Overlap(own.pop("overlap", Overlap.SKIP))
    rule: Recurrence
    if "cron" in own:
        rule = Cron(
            own.pop("cron"),
            tz=own.pop("tz"),
            max_runs=max_runs,
            catch_up=catch_up,
            overlap=overlap,
        )
    else:
        anchor_ms: int | None = own.pop("anchor_ms", None)
        delay_ms: int | None = own.pop("initial_delay_ms", None)
        rule = Every(
            own.pop("every_ms") * MILLISECOND,
            anchor=from_ms(anchor_ms),
            max_runs=max_runs,
            initial_delay=None if delay_ms is None else delay_ms * MILLISECOND,
            after_completion=own.pop("after_completion", False),
            catch_up=catch_up,
            overlap=overlap,
        )
    if own:
        raise ConfigurationError(
            f"the stored rule {text} says {', '.join(own)}, which this version does not know; "
            "open it with the version that wrote it"
        )
    return rule


def _outcome(
    rule: Recurrence, pace: Pace, times: tuple[int, ...], following: int | None, *, missed: int = 0
) -> Due:
    """What comes of making ``times`` into tasks, ``following`` being the next on the calendar."""
    runs = pace.runs + len(times)
    is_spent = _is_spent(rule, runs)
    counts_from_end = _counts_from_end(rule)
    next_ms = None if is_spent or (times and counts_from_end) else following
    return Due(
        times=times,
        missed=missed,
        pace=attrs.evolve(pace, next_ms=next_ms, runs=runs),
        has_ended=is_spent or (next_ms is None and not counts_from_end),
    )


def _passed(rule: Recurrence, first_ms: int, now_ms: int) -> tuple[int, int, int | None]:
    """How many occurrences there are from ``first_ms`` to now, the latest, and the next after."""
    match rule:
        case Every(after_completion=True):
            return 1, first_ms, now_ms + _ms(rule.interval)
        case Every():
            interval = _ms(rule.interval)
            count = (now_ms - first_ms) // interval + 1
            return count, first_ms + (count - 1) * interval, first_ms + count * interval
        case Cron():
            until_now = takewhile(lambda time: time <= now_ms, _times_from(rule, first_ms))
            counted = list(islice(until_now, MOST_COUNTED))
            latest = counted[-1]
            if len(counted) == MOST_COUNTED:
                latest = _latest(rule, latest, now_ms)
            return len(counted), latest, _next_time(rule, now_ms)
        case _:
            assert_never(rule)


def _oldest(
    rule: Recurrence, first_ms: int, now_ms: int, most: int
) -> tuple[tuple[int, ...], int | None]:
    """The first of the occurrences from ``first_ms`` to now, and the next after those."""
    match rule:
        case Every():
            interval = _ms(rule.interval)
            count = min(_passed(rule, first_ms, now_ms)[0], most)
            end = first_ms + count * interval
            return tuple(range(first_ms, end, interval)), end
        case Cron():
            until_now = takewhile(lambda time: time <= now_ms, _times_from(rule, first_ms))
            times = tuple(islice(until_now, most))
            return times, _next_time(rule, times[-1])
        case _:
            assert_never(rule)


def _latest(rule: Cron, known_ms: int, now_ms: int) -> int:
    """The last time by now, at or after ``known_ms``, which is one."""
    latest, end = known_ms, now_ms
    while latest < end:
        middle = (latest + end) // 2
        found = _next_time(rule, middle)
        if found is None or found > now_ms:
            end = middle
        else:
            latest = found
    return latest


def _times_from(rule: Cron, first_ms: int) -> Iterator[int]:
    return chain((first_ms,), times_after(rule.line, rule.tz, first_ms))


def _next_time(rule: Cron, after_ms: int) -> int | None:
    return next(times_after(rule.line, rule.tz, after_ms), None)


def _counts_from_end(rule: Recurrence) -> TypeGuard[Every]:
    return isinstance(rule, Every) and rule.after_completion


def _is_spent(rule: Recurrence, runs: int) -> bool:
    return rule.max_runs is not None and runs >= rule.max_runs


def _ms(length: timedelta) -> int:
    return length // MILLISECOND
