"""Which limits are in force, and which gates they put before which tasks."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Mapping
from datetime import datetime
from weakref import WeakValueDictionary

import attrs

from taskmill.model.pauses import PauseScope
from taskmill.model.policies import Priority
from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit, Throttle
from taskmill.model.stages import Stage
from taskmill.rules.aging import AgingRule
from taskmill.rules.gates import Gate, GateKind, Held, Shut, Slots, Toll
from taskmill.rules.iobudget import IoGate, IoLedger
from taskmill.rules.pauses import PauseGate, Pauses
from taskmill.rules.ratelimit import Bucket
from taskmill.rules.shares import Share, Shares
from taskmill.rules.throttle import Pressure, PressureGate

_RECENT = 1024
"""How many lanes are kept for tasks that may come."""


@attrs.frozen(kw_only=True)
class Kind:
    """What the limits look at in a task type."""

    type: str
    domain: str
    executor: str
    io: IoBudget | None = None
    is_handled: bool = True
    has_undo: bool = False
    """Whether its handler has an ``on_cancel``."""


@attrs.frozen(kw_only=True)
class Outage:
    """An executor that is down: since when, why, and who stands in for it."""

    since: datetime
    reason: str
    fallback: str | None


@attrs.frozen(eq=False)
class GroupGates:
    """The gates of one group."""

    pause: PauseGate
    slots: Slots
    rate: Bucket


@attrs.frozen(eq=False, kw_only=True)
class Lane:
    """What tasks have in common that the gates look at: an open gate is open for all of them."""

    kind: Kind
    group: str | None
    is_urgent: bool
    """Whether its tasks go before all shares, and may preempt."""
    gates: tuple[Gate, ...]
    """The gates it has to pass, in order, besides the cap of the scheduler."""
    tolls: tuple[Toll, ...]
    """Those of them that count what starts."""
    held: tuple[Held, ...]
    """Those of them that count what runs."""
    slots: tuple[Slots, ...]
    """Those of them that are caps."""
    group_gates: GroupGates | None
    executor: str = ""
    """Where its tasks run now: the executor of their kind or, while that is down, its fallback."""
    stage: Stage = Stage.EXECUTE
    """What its tasks do next; only the first part of their lives is under rates."""
    is_alone: bool = False
    """Whether they run while nothing else does."""

    def first_closed(self, now_ns: int) -> Gate | None:
        """The first gate that holds it; None when only the cap of the scheduler could."""
        for gate in self.gates:
            if not gate.is_open(now_ns):
                return gate
        return None


class Limits:
    """The limits of one scheduler. Changing one holds from the next decision."""

    def __init__(
        self,
        *,
        max_concurrency: int,
        kinds: Mapping[str, Kind],
        executors: Mapping[str, int | None] | None = None,
        domains: Mapping[str, int | None] | None = None,
        groups: Mapping[str, GroupPolicy] | None = None,
        group_default: GroupPolicy | None = None,
        rates: Mapping[str, RateLimit] | None = None,
        fair: bool | None = None,
        aging: Aging | None = None,
        preempt_at: int | None = Priority.REALTIME,
        max_preemptions: int = 3,
        throttle: Throttle | None = None,
        is_throttled: bool = False,
        io_capacity: IoBudget | None = None,
    ) -> None:
        self.all = Slots(GateKind.GLOBAL, "", max_concurrency)
        self.pauses = Pauses()
        self.pressure = Pressure()
        self.io = IoLedger(io_capacity)
        self.aging = AgingRule(aging)
        self.preempt_at = preempt_at
        self.max_preemptions = max_preemptions
        self.groups = dict(groups or {})
        self.group_default = group_default or GroupPolicy()
        self._fair = fair
        policies = (*self.groups.values(), self.group_default)
        self.shares = Shares(
            {policy.weight for policy in policies}, is_fair=self._wants_fairness(policies)
        )
        self.executors = {
            name: Slots(GateKind.EXECUTOR, name, cap) for name, cap in (executors or {}).items()
        }
        self.outages: dict[str, Outage] = {}
        """The executors that are down."""
        self.domains = {
            name: Slots(GateKind.DOMAIN, name, cap) for name, cap in (domains or {}).items()
        }
        self.rates = {
            name: Bucket(GateKind.TYPE_RATE, name, (rates or {}).get(name)) for name in kinds
        }
        self._kinds = dict(kinds)
        self._first: dict[str, tuple[Gate, ...]] = {}
        self._unreadable: dict[str, Shut] = {}
        self._domain_pauses: dict[str, PauseGate] = {}
        self._io_gates: dict[str, IoGate] = {}
        self._group_gates: WeakValueDictionary[str, GroupGates] = WeakValueDictionary()
        self._spent: dict[str, GroupGates] = {}
        self._most_spent = _RECENT
        self._lanes: WeakValueDictionary[tuple[str, str | None, int, int], Lane] = (
            WeakValueDictionary()
        )
        self._recent: deque[Lane] = deque(maxlen=_RECENT)
        self._throttle = (throttle or Throttle()) if is_throttled else Throttle({})
        self._pressure_gates: dict[float, PressureGate] = {}
        edges = {*self._throttle.limits}
        if preempt_at is not None:
            edges.add(preempt_at + 1)
        self._edges = sorted(edges)
        self._bands = [bisect_right(self._edges, priority) for priority in range(256)]

    # --- lanes ---

    def lane(self, task_type: str, group: str | None, priority: int, stage: int = 0) -> Lane:
        """The lane of the tasks of this type, group and base priority that do this next."""
        key = (task_type, group, self._bands[priority], stage)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane(task_type, group, priority, Stage(stage))
            self._recent.append(lane)
        return lane

    def group_rates(self) -> list[Bucket]:
        """The buckets of the groups that have a rate; by the default, of those that have tasks."""
        names = dict.fromkeys(name for name, policy in self.groups.items() if policy.rate)
        if self.group_default.rate is not None:
            names |= dict.fromkeys([*self._group_gates])
        return [self.group_gates(name).rate for name in names]

    def band(self, priority: int) -> int:
        """Which lane of its type and group a priority belongs to."""
        return self._bands[priority]

    def share(self, group: str | None) -> Share:
        """The account of a group."""
        policy = self.policy(group)
        return self.shares.open(group, policy.weight, policy.min_slots)

    def policy(self, group: str | None) -> GroupPolicy:
        """What holds for a group; for tasks without one, the weight of the default."""
        if group is None:
            return GroupPolicy(weight=self.group_default.weight)
        return self.groups.get(group, self.group_default)

    def kind(self, task_type: str) -> Kind:
        """What is known of a type; one that nobody knows has no handler."""
        kind = self._kinds.get(task_type)
        if kind is None:
            domain = task_type.partition("::")[0]
            kind = Kind(type=task_type, domain=domain, executor="", is_handled=False)
        return kind

    def domain_pause(self, domain: str) -> PauseGate:
        """The gate that a pause of a domain closes."""
        gate = self._domain_pauses.get(domain)
        if gate is None:
            gate = self._domain_pauses[domain] = self.pauses.gate(PauseScope.DOMAIN, domain)
        return gate

    def group_gates(self, group: str) -> GroupGates:
        """The gates of a group."""
        gates = self._group_gates.get(group)
        if gates is None:
            policy = self.policy(group)
            gates = GroupGates(
                self.pauses.gate(PauseScope.GROUP, group),
                Slots(GateKind.GROUP, group, policy.max_concurrency),
                Bucket(GateKind.GROUP_RATE, group, policy.rate),
            )
            self._group_gates[group] = gates
        return gates

    def _new_lane(self, task_type: str, group: str | None, priority: int, stage: Stage) -> Lane:
        kind = self.kind(task_type)
        if stage.is_unreadable:
            kind = attrs.evolve(kind, is_handled=False)
        own = None if group is None else self.group_gates(group)
        place = self.place(kind.executor)
        executor, domain = self._executor(place), self._domain(kind.domain)
        limit = self._throttle.limit_of(priority)
        gates: list[Gate] = [*self._first_gates(self.kind(task_type))]
        if stage.is_unreadable:
            gates.insert(0, self._unreadable_gate(task_type))
        if own is not None:
            gates.append(own.pause)
        if place in self.outages:
            gates.append(Shut(GateKind.UNROUTABLE, place))
        slots = (executor, domain) if own is None else (executor, domain, own.slots)
        gates += slots
        held: list[Held] = [*slots]
        if limit is not None:
            gates.append(self._pressure_gate(limit))
        if (io := self._io_gate(kind)) is not None:
            held.append(io)
        tolls: list[Toll] = [*held]
        is_rated = stage.part is Stage.EXECUTE
        if is_rated and (rate := self.rates.get(task_type)) is not None:
            tolls.append(rate)
        if is_rated and own is not None:
            tolls.append(own.rate)
        return Lane(
            kind=kind,
            group=group,
            is_urgent=self.preempt_at is not None and priority <= self.preempt_at,
            gates=(*gates, *tolls[len(slots) :]),
            tolls=tuple(tolls),
            held=tuple(held),
            slots=slots,
            group_gates=own,
            executor=place,
            stage=stage,
            is_alone=stage.is_alone,
        )

    def _first_gates(self, kind: Kind) -> tuple[Gate, ...]:
        gates = self._first.get(kind.type)
        if gates is None:
            gates = (self.domain_pause(kind.domain),)
            if not kind.is_handled:
                gates = (Shut(GateKind.HANDLER, kind.type), *gates)
            self._first[kind.type] = gates
        return gates

    def _unreadable_gate(self, task_type: str) -> Shut:
        """What holds the tasks of a type whose payloads do not fit it."""
        if task_type not in self._unreadable:
            closed = Shut(GateKind.PAYLOAD, task_type)
            self._unreadable[task_type] = closed
        return self._unreadable[task_type]

    def place(self, executor: str) -> str:
        """The executor that takes the tasks of this one now: the first one up, else the last."""
        outage = self.outages.get(executor)
        while outage is not None and outage.fallback is not None:
            executor = outage.fallback
            outage = self.outages.get(executor)
        return executor

    def _executor(self, name: str) -> Slots:
        return self.executors.setdefault(name, Slots(GateKind.EXECUTOR, name, None))

    def _domain(self, name: str) -> Slots:
        return self.domains.setdefault(name, Slots(GateKind.DOMAIN, name, None))

    def _io_gate(self, kind: Kind) -> IoGate | None:
        if kind.io is None or not any(kind.io.on(axis) for axis in self.io.axes):
            return None
        if kind.type not in self._io_gates:
            self._io_gates[kind.type] = IoGate(kind.type, kind.io, self.io)
        return self._io_gates[kind.type]

    def _pressure_gate(self, limit: float) -> PressureGate:
        return self._pressure_gates.setdefault(limit, PressureGate(limit, self.pressure))

    @property
    def pressure_gates(self) -> Collection[PressureGate]:
        """The gates that a change of the pressure may open."""
        return self._pressure_gates.values()

    def set_outage(self, executor: str, outage: Outage | None) -> None:
        """An executor went down, or is up again: what lanes there are is not true any more."""
        if outage is None:
            self.outages.pop(executor, None)
        else:
            self.outages[executor] = outage
        self._recent.clear()
        self._lanes.clear()

    # --- changes; each returns the gates that may have opened ---

    def set_cap(self, slots: Slots, cap: int | None) -> list[Gate]:
        """Another cap holds from now on; what runs beyond it goes on."""
        slots.cap = cap
        return [slots]

    def set_rate(self, task_type: str, limit: RateLimit | None, now_ns: int) -> list[Gate]:
        """Another rate of a type holds from now on."""
        bucket = self.rates[task_type]
        bucket.change(limit, now_ns)
        return [bucket]

    def set_group(self, group: str, policy: GroupPolicy, now_ns: int) -> list[Gate]:
        """Another policy of a group holds from now on."""
        self.groups[group] = policy
        self.shares.fit(policy.weight)  # not at its first task: gates remember turns in scale
        self.shares.is_fair = self._wants_fairness((*self.groups.values(), self.group_default))
        share = self.shares.find(group)
        wanted = (policy.weight, policy.min_slots)
        if share is not None and (share.weight, share.min_slots) != wanted:
            self.shares.change(share, policy.weight, policy.min_slots, now_ns)
        gates = self._group_gates.get(group)
        if gates is None:
            return []
        gates.slots.cap = policy.max_concurrency
        gates.rate.change(policy.rate, now_ns)
        return [gates.slots, gates.rate]

    def keep(self, lane: Lane, now_ns: int) -> None:
        """A lane is forgotten: the bucket of its group is to be known until it is full again."""
        gates = lane.group_gates
        if gates is None or gates.rate.limit is None or lane.group is None:
            return
        self._spent[lane.group] = gates
        if len(self._spent) > self._most_spent:
            self._spent = {
                name: kept
                for name, kept in self._spent.items()
                if name == lane.group or not kept.rate.is_full(now_ns)
            }
            self._most_spent = 2 * len(self._spent) + _RECENT

    def _wants_fairness(self, policies: tuple[GroupPolicy, ...]) -> bool:
        if self._fair is not None:
            return self._fair
        return any(policy.weight != 1 or policy.min_slots for policy in policies)
