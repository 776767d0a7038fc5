"""A ready queue with its limits next to plain lists of what waits and what runs, and an oracle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from taskmill.engine.queue.ready import ReadyQueue
from taskmill.model.changes import Ready
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskId
from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit, Throttle
from taskmill.model.stages import Stage
from taskmill.rules.aging import AgingRule
from taskmill.rules.gates import Gate, GateKind, Slots
from taskmill.rules.limits import Kind, Lane, Limits, Outage
from taskmill.rules.plan import Queue, Start, plan

MS = 1_000_000
SECOND = 1000 * MS
INLINE, THREAD = "inline", "thread"
TYPES = ("a::one", "a::two", "a::threaded", "b::one", "b::threaded", "c::one")
GROUPS = (None, "red", "green")


def task(
    number: int,
    task_type: str = "a::one",
    group: str | None = None,
    *,
    priority: int = 128,
    at: int = 0,
    stage: Stage = Stage.EXECUTE,
) -> Ready:
    return Ready(task_type, group, priority, at, TaskId(number), int(stage))


def tasks(
    numbers: Iterable[int], task_type: str = "a::one", group: str | None = None, *, at: int = 0
) -> list[Ready]:
    """Tasks of one lane."""
    return [task(number, task_type, group, at=at) for number in numbers]


def kind_of(task_type: str, *, io: IoBudget | None = None, is_handled: bool = True) -> Kind:
    return Kind(
        type=task_type,
        domain=task_type.partition("::")[0],
        executor=THREAD if task_type.endswith("threaded") else INLINE,
        io=io,
        is_handled=is_handled,
    )


def limits_of(
    *,
    slots: int = 16,
    domains: Mapping[str, int | None] | None = None,
    executors: Mapping[str, int | None] | None = None,
    groups: Mapping[str, int | GroupPolicy | None] | None = None,
    default: GroupPolicy | None = None,
    handled: Iterable[str] = TYPES,
    rates: Mapping[str, RateLimit] | None = None,
    io: Mapping[str, IoBudget] | None = None,
    io_capacity: IoBudget | None = None,
    fair: bool | None = None,
    aging: Aging | None = None,
    preempt_at: int | None = 0,
    throttle: Throttle | None = None,
) -> Limits:
    """Limits on `TYPES`; of a group, a number is its cap."""
    io = io or {}
    return Limits(
        max_concurrency=slots,
        kinds={name: kind_of(name, io=io.get(name)) for name in handled},
        executors=executors,
        domains=domains,
        groups={name: policy_of(given) for name, given in (groups or {}).items()},
        group_default=default,
        rates=rates,
        fair=fair,
        aging=aging,
        preempt_at=preempt_at,
        throttle=throttle,
        is_throttled=throttle is not None,
        io_capacity=io_capacity,
    )


def policy_of(given: int | GroupPolicy | None) -> GroupPolicy:
    return given if isinstance(given, GroupPolicy) else GroupPolicy(max_concurrency=given)


@attrs.define
class Mill:
    """What waits and what runs, as the dispatcher keeps it, driven without an engine.

    ``started`` is the order of all starts. The wall clock is the monotonic one in milliseconds.
    """

    limits: Limits
    now_ns: int = 0
    waiting: dict[TaskId, Ready] = attrs.field(factory=dict[TaskId, Ready])
    running: dict[TaskId, Start] = attrs.field(factory=dict[TaskId, Start])
    started: list[Ready] = attrs.field(factory=list[Ready])
    queue: ReadyQueue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.queue = ReadyQueue(self.limits)
        self.look()

    @property
    def now_ms(self) -> int:
        return self.now_ns // MS

    def look(self) -> None:
        """Tell the queue what time it is."""
        self.queue.at(self.now_ns, self.now_ms)

    # --- what happens ---

    def add(self, *ready: Ready) -> None:
        """Tasks become ready; whoever tells the queue so looks at the time first."""
        self.queue.at(self.now_ns, self.now_ms)
        for one in ready:
            self.waiting[one.id] = one
            self.queue.add(one)

    def cancel(self, ready: Ready) -> None:
        del self.waiting[ready.id]
        self.queue.remove(ready)

    def finish(self, *ready: Ready, is_whole: bool = True) -> None:
        """Handlers have stopped: their slots are free, and the gates they ran behind may open."""
        for one in ready:
            start = self.running.pop(one.id)
            self.limits.all.leave()
            if start.lane.stage.is_alone:
                self.limits.all.is_taken_alone = False
            self.queue.release(start, self.now_ns, is_whole=is_whole)

    def wait(self, seconds: float) -> None:
        """Time passes, and nobody looks at it before the next decision."""
        self.now_ns += round(seconds * SECOND)

    def start(self, *, through: Callable[[Queue], Queue] = lambda queue: queue) -> list[Ready]:
        """Make one decision; return what starts."""
        self.look()
        self.refill()
        starts = plan(through(self.queue), self.limits.all, self.now_ns)
        for start in starts:
            del self.waiting[start.ready.id]
            self.running[start.ready.id] = start
        ready = [start.ready for start in starts]
        self.started += ready
        return ready

    def refill(self) -> None:
        """Answer what the queue asks of the store."""
        for refill in list(self.queue.refills()):
            level = (refill.type, refill.group, refill.priority, refill.stage)
            positions = sorted(
                (ready.ready_at_ms, ready.id)
                for ready in self.waiting.values()
                if (ready.type, ready.group, ready.priority, ready.stage) == level
                and (ready.ready_at_ms, ready.id) > refill.after
            )
            self.queue.refilled(refill, positions[: refill.limit])

    def runs(self) -> Counter[str | None]:
        """How many tasks of each group run."""
        return Counter(start.ready.group for start in self.running.values())

    # --- changes at run time, as Steering and Dispatcher make them ---

    def opened(self, gates: Iterable[Gate]) -> None:
        self.look()
        for gate in gates:
            self.queue.wake(gate)

    def set_cap(self, slots: Slots, cap: int | None) -> None:
        self.opened(self.limits.set_cap(slots, cap))

    def set_rate(self, task_type: str, limit: RateLimit | None) -> None:
        self.opened(self.limits.set_rate(task_type, limit, self.now_ns))

    def set_group(self, group: str, policy: GroupPolicy) -> None:
        before = self.limits.policy(group)
        gates = self.limits.set_group(group, policy, self.now_ns)
        if (before.weight, before.min_slots) != (policy.weight, policy.min_slots):
            self.regroup()
        self.opened(gates)

    def regroup(self) -> None:
        self.look()
        if self.limits.shares.is_fair:
            for start in self.running.values():
                if start.share is None:
                    self.queue.charge(start, self.limits.share(start.lane.group))
        self.queue.regroup()

    def set_pressure(self, level: float) -> None:
        self.limits.pressure.readings = {"test": level}
        self.look()
        for gate in self.limits.pressure_gates:
            self.queue.wake(gate)

    def set_outage(self, executor: str, outage: Outage | None) -> None:
        self.look()
        self.limits.set_outage(executor, outage)
        self.queue.reroute()

    def pause(self, scope: PauseScope, name: str) -> None:
        if not self.limits.pauses.is_held(scope, name):
            self.limits.pauses.hold(PauseRecord(scope=scope, name=name, since_ms=self.now_ms))

    def resume(self, scope: PauseScope, name: str) -> None:
        self.limits.pauses.end(scope, name, self.now_ms)
        match scope:
            case PauseScope.SCHEDULER:
                self.opened([])
            case PauseScope.DOMAIN:
                self.opened([self.limits.domain_pause(name)])
            case PauseScope.GROUP:
                self.opened([self.limits.group_gates(name).pause])


def mill(
    waiting: Sequence[Ready] = (),
    *,
    slots: int = 16,
    domains: Mapping[str, int | None] | None = None,
    executors: Mapping[str, int | None] | None = None,
    groups: Mapping[str, int | GroupPolicy | None] | None = None,
    handled: Iterable[str] = TYPES,
    rates: Mapping[str, RateLimit] | None = None,
    fair: bool | None = None,
    aging: Aging | None = None,
) -> Mill:
    limits = limits_of(
        slots=slots,
        domains=domains,
        executors=executors,
        groups=groups,
        handled=handled,
        rates=rates,
        fair=fair,
        aging=aging,
    )
    yard = Mill(limits)
    yard.add(*waiting)
    return yard


@attrs.define
class Counting(Queue):
    """A queue that counts the lanes it is asked for."""

    inner: Queue
    asked: int = 0

    def count(self, _: Queue) -> Queue:
        return self

    def best(self) -> Lane | None:
        self.asked += 1
        return self.inner.best()

    def take(self, now_ns: int) -> Start:
        return self.inner.take(now_ns)

    def park(self, gate: Gate) -> None:
        self.inner.park(gate)

    def woken_by(self) -> Gate | None:
        return self.inner.woken_by()

    def weigh(self) -> None:
        self.inner.weigh()

    def go_on(self, gate: Gate, held_at: Gate | None) -> None:
        self.inner.go_on(gate, held_at)


# --- the oracle: from nothing but the rules and plain lists ---------------------------------------


@attrs.define
class Oracle(Queue):
    """A queue that holds every decision of the one it wraps against a scan over all tasks."""

    yard: Mill
    inner: Queue
    rule: AgingRule
    gone: set[TaskId] = attrs.field(factory=set[TaskId])
    expected: Ready | None = None
    is_asked: bool = False
    asked: int = 0

    def best(self) -> Lane | None:
        self.asked += 1
        if not self.is_asked:
            self.expected, self.is_asked = self.first(), True
        return self.inner.best()

    def take(self, now_ns: int) -> Start:
        best = None if self.expected is None else _merit(self.place(self.expected))
        places = {ready.id: self.place(ready) for ready in self.yard.waiting.values()}
        start = self.inner.take(now_ns)
        if start.ready != self.expected:
            assert _merit(places[start.ready.id]) == best, "the best goes first"
        beside = [*self.yard.running, *self.gone]
        assert not (is_alone(start.ready) and beside), "it runs alone"
        assert not any(is_alone(run.ready) for run in self.yard.running.values())
        self.gone.add(start.ready.id)
        self.is_asked = False
        return start

    def park(self, gate: Gate) -> None:
        self.inner.park(gate)

    def woken_by(self) -> Gate | None:
        return self.inner.woken_by()

    def weigh(self) -> None:
        self.inner.weigh()

    def go_on(self, gate: Gate, held_at: Gate | None) -> None:
        self.inner.go_on(gate, held_at)

    def first(self) -> Ready | None:
        """The best of all tasks whose gates are open now."""
        able = [
            ready
            for ready in self.yard.waiting.values()
            if ready.id not in self.gone and gates_are_open(self.yard, ready)
        ]
        return min(able, key=self.place, default=None)

    def place(self, ready: Ready) -> tuple[object, ...]:
        """The order of the rules: urgent, minimums, shares, then the order inside a group."""
        limits = self.yard.limits
        effective = self.effective(ready)
        own = (effective, ready.ready_at_ms, ready.id)
        may_preempt = limits.preempt_at is not None and ready.priority <= limits.preempt_at
        if may_preempt or effective <= self.rule.urgent:
            return (0, own)
        shares = limits.shares
        if not shares.is_fair:
            return (2, own)
        share = limits.share(ready.group)
        if share.held < share.min_slots:
            return (1, share.held / share.min_slots, share.name, own)
        return (2, shares.tick(share, self.yard.now_ns), share.held / share.weight, own)

    def effective(self, ready: Ready) -> int:
        clock = self.yard.limits.pauses.age_clock(ready.type.partition("::")[0], ready.group)
        waited = clock.waited(ready.ready_at_ms, self.yard.now_ms)
        return self.rule.effective(ready.priority, waited)


def _merit(place: tuple[object, ...]) -> tuple[object, ...]:
    """The part of a place that matters: of groups that have used the same, any may go."""
    return place[:2] if place[0] == 2 and len(place) == 4 else place


def gates_are_open(yard: Mill, ready: Ready) -> bool:
    """Whether nothing but the cap of the scheduler could hold a task; asks no lane and no list."""
    limits, now = yard.limits, yard.now_ns
    kind = limits.kind(ready.type)
    place = limits.place(kind.executor)
    if place in limits.outages:
        return False
    gates: list[Gate] = [
        limits.executors.get(place) or Slots(GateKind.EXECUTOR, "", None),
        limits.domains.get(kind.domain) or Slots(GateKind.DOMAIN, "", None),
    ]
    is_rated = Stage(ready.stage).part is Stage.EXECUTE
    gates += [limits.rates[ready.type]] if is_rated and ready.type in limits.rates else []
    if ready.group is not None:
        own = limits.group_gates(ready.group)
        gates += [own.slots, own.rate] if is_rated else [own.slots]
    if not kind.is_handled or limits.pauses.holds(kind.domain, ready.group):
        return False
    allowed = yard.limits.lane(ready.type, ready.group, ready.priority, ready.stage)
    pressed = any(
        gate.kind in (GateKind.PRESSURE, GateKind.IO) and not gate.is_open(now)
        for gate in allowed.gates
    )
    return not pressed and all(gate.is_open(now) for gate in gates)


def checked(yard: Mill, *, aging: Aging | None = None) -> list[Ready]:
    """Make one decision and hold it against every promise."""
    oracles: list[Oracle] = []

    def through(queue: Queue) -> Queue:
        oracles.append(Oracle(yard, queue, AgingRule(aging)))
        return oracles[0]

    starts = yard.start(through=through)
    holds_every_cap(yard)
    if yard.limits.all.is_open(yard.now_ns):
        oracle = oracles[-1]
        held = [ready for ready in yard.waiting.values() if gates_are_open(yard, ready)]
        if any(map(is_alone, held)) and yard.running:
            best = min(_merit(oracle.place(ready)) for ready in held)
            held = [ready for ready in held if _merit(oracle.place(ready)) == best]
            held = [] if any(map(is_alone, held)) else held
        assert not held, "nothing that may start waits while a slot is free, but for what is alone"
    return starts


def is_alone(ready: Ready) -> bool:
    return Stage(ready.stage).is_alone


def holds_every_cap(yard: Mill) -> None:
    """What is counted is what runs; only a lowered cap is ever passed, by what ran before."""
    limits = yard.limits
    assert limits.all.held == len(yard.running)
    domains = Counter(start.lane.kind.domain for start in yard.running.values())
    executors = Counter(start.lane.executor for start in yard.running.values())
    groups = yard.runs()
    for name, slots in limits.domains.items():
        assert slots.held == domains[name]
    for name, slots in limits.executors.items():
        assert slots.held == executors[name]
    for group in groups:
        if group is not None:
            assert limits.group_gates(group).slots.held == groups[group]
        if limits.shares.is_fair:
            assert limits.share(group).held == groups[group]
