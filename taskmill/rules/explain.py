"""Why a task is not running: every gate that holds it, in order, with its figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime, timedelta

import attrs

from taskmill.model.explanation import GroupPlace, Hold
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.model.wording import counts, length, moment, plural, rate
from taskmill.rules.entitlement import Demand, allocate
from taskmill.rules.gates import Gate, GateKind, Slots
from taskmill.rules.iobudget import USABLE, IoGate
from taskmill.rules.limits import Lane, Limits
from taskmill.rules.plan import Start
from taskmill.rules.ratelimit import Bucket
from taskmill.rules.throttle import PressureGate

_SECOND = timedelta(seconds=1)
_VERBS = {"read": "read", "written": "write", "received": "receive", "sent": "send"}


@attrs.frozen(kw_only=True)
class Scene:
    """What the gates look like at one moment."""

    limits: Limits
    running: Collection[Start]
    now: datetime
    now_ns: int


def holds_of(record: TaskRecord, lane: Lane, scene: Scene) -> Iterator[Hold]:
    """Every gate that holds a waiting task, in the order in which they are asked."""
    if record.due_at is not None and record.due_at > scene.now:
        yield due_hold(record, record.due_at, scene.now)
    kinds = list(GateKind)
    scheduler_pause = scene.limits.pauses.gate(PauseScope.SCHEDULER)
    gates: list[Gate] = [*lane.gates, scene.limits.all, scheduler_pause]
    for gate in sorted(gates, key=lambda gate: kinds.index(gate.kind)):
        if not gate.is_open(scene.now_ns):
            yield _hold(gate, lane, record, scene)


def due_hold(record: TaskRecord, due_at: datetime, now: datetime) -> Hold:
    """A start time that has not come."""
    left = (due_at - now) / _SECOND
    sentence = f"It is due at {moment(due_at)}, in {length(left)}."
    if record.attempt and record.last_error is not None:
        error = record.last_error
        sentence = (
            f"Attempt {record.attempt} failed ({error.type}: {error.message:.80}); "
            f"the next one is due at {moment(due_at)}, in {length(left)}."
        )
    return Hold(gate="due", name="", sentence=sentence, figures={"due_at": due_at, "in": left})


def unreadable_hold(record: TaskRecord) -> Hold:
    """What is stored of a task does not fit its type."""
    error = record.last_error
    why = "." if error is None else f": {error.message}."
    sentence = (
        f"What is stored of it does not fit {record.type!r} any more{why} Correct the code and "
        f"open the scheduler again, which tries it anew, as retry({record.id}) does; or cancel it."
    )
    figures: dict[str, object] = {} if error is None else {"error": error.message}
    return Hold(gate=GateKind.PAYLOAD.value, name=record.type, sentence=sentence, figures=figures)


def _hold(gate: Gate, lane: Lane, record: TaskRecord, scene: Scene) -> Hold:
    match gate:
        case Slots():
            sentence, figures = _slots(gate, scene)
        case Bucket():
            sentence, figures = _bucket(gate, scene)
        case IoGate():
            sentence, figures = _io(gate, scene)
        case PressureGate():
            sentence, figures = _pressure(gate, record)
        case _ if gate.kind is GateKind.PAYLOAD:
            return unreadable_hold(record)
        case _:
            sentence, figures = _flag(gate, lane, scene)
    return Hold(gate=gate.kind.value, name=gate.name, sentence=sentence, figures=figures)


def _slots(gate: Slots, scene: Scene) -> tuple[str, dict[str, object]]:
    behind = [s for s in scene.running if gate is scene.limits.all or gate in s.lane.slots]
    by_type = Counter(start.lane.kind.type for start in behind)
    whose = {
        GateKind.GLOBAL: "The scheduler",
        GateKind.EXECUTOR: f"Executor {gate.name!r}",
        GateKind.DOMAIN: f"Domain {gate.name!r}",
        GateKind.GROUP: f"Group {gate.name!r}",
    }[gate.kind]
    sentence = f"{whose} uses {gate.held} of {gate.cap} slots: {counts(by_type)}."
    overdue = [start for start in behind if start.is_overdue]
    stopping = [start for start in behind if start.is_stopping and not start.is_overdue]
    if stopping:
        these = "One of these" if len(stopping) == 1 else f"{len(stopping)} of these"
        sentence += f" {these} will stop soon."
    for start in overdue[:3]:
        sentence += (
            f" Task {start.ready.id} ({start.lane.kind.type}) was told to stop, has not in time, "
            "and keeps its slot."
        )
    return sentence, {
        "cap": gate.cap,
        "held": gate.held,
        "held_by": dict(by_type),
        "overdue": tuple(start.ready.id for start in overdue),
    }


def _bucket(gate: Bucket, scene: Scene) -> tuple[str, dict[str, object]]:
    limit = gate.limit
    left = (gate.opens_at(scene.now_ns) - scene.now_ns) / 1e9
    whose = "Type" if gate.kind is GateKind.TYPE_RATE else "Group"
    tokens = gate.tokens(scene.now_ns)
    figures: dict[str, object] = {"tokens": tokens, "next_token_in": left, "limit": limit}
    if limit is None:
        return "", figures
    return (
        f"{whose} {gate.name!r} may start {plural(limit.permits, 'task')} each "
        f"{length(limit.per / _SECOND)} (burst {limit.burst}) and has used them up; "
        f"the next token comes in {length(left)}."
    ), figures


def _io(gate: IoGate, scene: Scene) -> tuple[str, dict[str, object]]:
    ledger = scene.limits.io
    parts: list[str] = []
    figures: dict[str, object] = {}
    for axis in gate.full_axes():
        expected, room, needs = ledger.expected(axis), ledger.room(axis), gate.needs[axis]
        parts.append(
            f"running tasks are expected to {_VERBS[axis]} {rate(expected)} of the {rate(room)} "
            f"that may be planned ({USABLE:.0%} of the capacity), and it needs {rate(needs)}"
        )
        figures[axis] = {"expected": expected, "room": room, "needs": needs}
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}.", figures


def _pressure(gate: PressureGate, record: TaskRecord) -> tuple[str, dict[str, object]]:
    pressure = gate.pressure
    sources = ", ".join(f"{name} {x:.2f}" for name, x in sorted(pressure.readings.items()))
    return (
        f"The pressure is {pressure.level:.2f} ({sources}); "
        f"tasks of priority {record.priority} start at {gate.limit:.2f} or below."
    ), {"pressure": pressure.level, "limit": gate.limit, "sources": dict(pressure.readings)}


def _flag(gate: Gate, lane: Lane, scene: Scene) -> tuple[str, dict[str, object]]:
    pauses = scene.limits.pauses
    match gate.kind:
        case GateKind.SCHEDULER_PAUSE:
            return paused("The scheduler", pauses.find(PauseScope.SCHEDULER))
        case GateKind.DOMAIN_PAUSE:
            record = pauses.find(PauseScope.DOMAIN, gate.name)
            return paused(f"Domain {gate.name!r}", record)
        case GateKind.GROUP_PAUSE:
            return paused(f"Group {gate.name!r}", pauses.find(PauseScope.GROUP, gate.name))
        case GateKind.UNROUTABLE:
            return _unroutable(lane, scene)
        case _:
            return f"No domain here has a handler for {lane.kind.type!r}.", {}


def _unroutable(lane: Lane, scene: Scene) -> tuple[str, dict[str, object]]:
    """Nothing that runs will make room: where it would run is down."""
    parts: list[str] = []
    figures: dict[str, object] = {}
    name: str | None = lane.kind.executor
    while name is not None and (outage := scene.limits.outages.get(name)) is not None:
        parts.append(f"executor {name!r} is down since {moment(outage.since)} ({outage.reason})")
        figures[name] = {"since": outage.since, "reason": outage.reason}
        name = outage.fallback
    text = "; its fallback, ".join(parts)
    return f"Nothing can run it: {text}; there is no other fallback.", figures


def paused(whose: str, record: PauseRecord | None) -> tuple[str, dict[str, object]]:
    """A pause, in words and in figures."""
    if record is None:
        return f"{whose} is paused.", {}
    since, until = from_ms(record.since_ms), from_ms(record.until_ms)
    end = "until it is resumed" if until is None else f"until {moment(until)}"
    return f"{whose} is paused since {moment(since)}, {end}.", {"since": since, "until": until}


def group_place(
    lane: Lane, limits: Limits, running: Collection[Start], waiting: Mapping[str | None, int]
) -> GroupPlace | None:
    """How the group of a task stands; None while shares are off."""
    if not limits.shares.is_fair:
        return None
    held = Counter(start.lane.group for start in running)
    demands: dict[str | None, Demand] = {}
    for group in {*waiting, *held}:
        policy = limits.policy(group)
        demands[group] = Demand(
            tasks=waiting.get(group, 0) + held[group],
            weight=policy.weight,
            min_slots=policy.min_slots,
            cap=policy.max_concurrency,
        )
    entitled = allocate(limits.all.cap or 0, demands)
    policy = limits.policy(lane.group)
    return GroupPlace(
        group=lane.group,
        weight=policy.weight,
        min_slots=policy.min_slots,
        held=held[lane.group],
        entitled=entitled.get(lane.group, 0),
    )


def story_of(record: TaskRecord, now: datetime) -> str:
    """What happened to a task that waits at no gate: it runs, is blocked, or has ended."""
    name = f"Task {record.id} ({record.type})"
    match record.status:
        case TaskStatus.RUNNING:
            since = record.started_at or now
            return (
                f"{name} is running: run {record.run}, attempt {record.attempt}, "
                f"for {length((now - since) / _SECOND)}.{_stopping(record)}"
            )
        case TaskStatus.BLOCKED:
            return f"{name} is blocked."
        case TaskStatus.WAITING:
            return f"{name} waits for its children."
        case _:
            return f"{name} {_ending(record)}"


def _ending(record: TaskRecord) -> str:
    words = {
        TaskStatus.COMPLETED: "completed",
        TaskStatus.FAILED: "failed",
        TaskStatus.DEAD: "is dead, its retries spent,",
        TaskStatus.CANCELLED: "was cancelled",
        TaskStatus.SUPERSEDED: "was superseded",
        TaskStatus.EXPIRED: "expired before it could start",
        TaskStatus.DEPENDENCY_FAILED: "was given up: a task it depended on failed",
    }
    text = words.get(record.status, f"is {record.status}")
    if record.finished_at is not None:
        text += f" at {moment(record.finished_at)}"
    if record.run:
        text += f", after {plural(record.attempt, 'attempt')}"
        if record.duration is not None and record.status is TaskStatus.COMPLETED:
            text += f"; the last run took {length(record.duration / _SECOND)}"
    return f"{text}: {record.reason}." if record.reason else f"{text}."


def _stopping(record: TaskRecord) -> str:
    if record.ends_as is None:
        return ""
    return f" It was told to stop, and will end as {record.ends_as}: {record.reason}."


def purpose_of(record: TaskRecord) -> str:
    """What the next run of a task is for, where that is not its handler; empty otherwise."""
    match record.stage.part:
        case Stage.FINALIZE:
            return " Its handler has returned; its finalize is next."
        case Stage.UNDO:
            return f" It is to end as {record.ends_as} ({record.reason}); its on_cancel is next."
        case _:
            return ""


def effective_priority(record: TaskRecord, limits: Limits, now: datetime) -> int:
    """The priority by which a waiting task is ordered now."""
    return limits.aging.effective(record.priority, waited_ms(record, limits, now))


def waited_ms(record: TaskRecord, limits: Limits, now: datetime) -> int:
    """For how long a pending task has waited, as aging counts it."""
    clock = limits.pauses.age_clock(record.domain, record.group)
    return clock.waited(to_ms(record.ready_at), to_ms(now))
