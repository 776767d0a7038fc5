"""Whatever the workload: nothing is lost, caps hold, no slot is free in vain, and it replays."""

from __future__ import annotations

import sys
from collections import Counter
from datetime import timedelta
from statistics import median
from types import FrameType

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmill.model.sharing import Aging, GroupPolicy, IoBudget, RateLimit
from taskmill.simulation.simulate import Simulation, simulate
from taskmill.simulation.workload import (
    Arrivals,
    Backlog,
    Clients,
    Constant,
    Exponential,
    GroupPause,
    Spacing,
    Stream,
    TaskType,
    Uniform,
    Workload,
)
from tests.simulation.mills import backlog, seconds, workload

DOMAINS = ("x", "y")
TYPES = ("fast", "slow", "other")
TOKEN = 1_000_000_000
GROUPS = (None, "a", "b", "c")

lengths = st.integers(1, 80).map(lambda tenths: seconds(tenths / 10))
caps = st.none() | st.integers(1, 4)
rates = st.none() | st.builds(
    RateLimit, st.integers(1, 5), per=st.just(seconds(1)), burst=st.integers(1, 5)
)
budgets = st.none() | st.builds(IoBudget, read=st.integers(1, 10))
run_times = st.one_of(
    st.builds(Constant, lengths),
    st.builds(Exponential, lengths),
    st.tuples(lengths, lengths).map(lambda two: Uniform(min(two), max(two))),
)
moments = st.one_of(
    st.builds(Backlog, count=st.integers(1, 30), at=lengths),
    st.builds(
        Stream,
        rate=st.integers(1, 5),
        spacing=st.sampled_from(Spacing),
        start=st.just(seconds(0)),
        until=lengths,
    ),
    st.builds(
        Clients,
        count=st.integers(1, 3),
        think=lengths,
        start=st.just(seconds(0)),
        until=lengths,
    ),
)
policies = st.builds(
    GroupPolicy,
    max_concurrency=caps,
    rate=rates,
    weight=st.sampled_from([1, 1, 2, 3, 7]),
    min_slots=st.integers(0, 3),
)


@st.composite
def pauses(draw: st.DrawFn) -> list[GroupPause]:
    names = draw(st.lists(st.sampled_from(GROUPS[1:]), unique=True, max_size=2))
    return [
        GroupPause(
            group=str(name),
            start=(start := draw(lengths)),
            until=start + draw(lengths),
            interrupt=draw(st.booleans()),
        )
        for name in names
    ]


workloads = st.builds(
    Workload,
    max_concurrency=st.integers(1, 6),
    types=st.fixed_dictionaries(
        {
            name: st.builds(
                TaskType,
                domain=st.sampled_from(DOMAINS),
                rate=rates,
                io=budgets,
                preemptible=st.booleans(),
            )
            for name in TYPES
        }
    ),
    domains=st.fixed_dictionaries(dict.fromkeys(DOMAINS, caps)),
    arrivals=st.lists(
        st.builds(
            Arrivals,
            type=st.sampled_from(TYPES),
            when=moments,
            runs=run_times,
            group=st.sampled_from(GROUPS),
            priority=st.sampled_from([0, 64, 128, 192]),
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 2**32),
    groups=st.dictionaries(st.sampled_from(GROUPS[1:]), policies),
    group_default=policies,
    pauses=pauses(),
    fair=st.none() | st.booleans(),
    aging=st.none() | st.just(Aging(grace=seconds(1), step=seconds(0.1), ceiling=64, urgent=100)),
    preempt_at=st.none() | st.sampled_from([0, 64]),
    io_capacity=st.none() | st.just(IoBudget(read=20)),
)
thorough = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@attrs.define
class Witness:
    """Recomputes what may start from the workload and from what runs, and nothing else."""

    given: Workload
    tokens: dict[tuple[str, str], int] = attrs.field(factory=dict)
    """Billionths: exact, since rates here are per second and times are nanoseconds."""
    _filled: dict[tuple[str, str], int] = attrs.field(factory=dict)

    def __call__(self, simulation: Simulation) -> None:
        runs = simulation.running.values()
        kinds = Counter(run.task.ready.type for run in runs)
        groups = Counter(run.task.ready.group for run in runs)
        domains = Counter(kind.partition("::")[0] for kind in kinds.elements())
        assert len(runs) <= self.given.max_concurrency
        for name, cap in self.given.domains.items():
            assert cap is None or domains[name] <= cap
        for group, held in groups.items():
            cap = self._policy(group).max_concurrency
            assert cap is None or held <= cap
        self._spend(simulation)
        if len(runs) == self.given.max_concurrency:
            return
        for task in simulation.waiting.values():
            kind, group = task.ready.type, task.ready.group
            assert self._is_held(simulation, kind, group, kinds, groups, domains), (
                f"at {simulation.now_ns} task {task} waits though a slot is free"
            )

    def _is_held(
        self,
        simulation: Simulation,
        kind: str,
        group: str | None,
        kinds: Counter[str],
        groups: Counter[str | None],
        domains: Counter[str],
    ) -> bool:
        domain, _, name = kind.partition("::")
        domain_cap, group_cap = self.given.domains[domain], self._policy(group).max_concurrency
        return (
            (domain_cap is not None and domains[domain] >= domain_cap)
            or (group_cap is not None and groups[group] >= group_cap)
            or self._is_paused(group, simulation.now_ns)
            or self._has_no_io(name, kinds)
            or any(
                self.tokens.get(bucket, TOKEN) < TOKEN
                for bucket in (("type", kind), ("group", group or ""))
            )
        )

    def _policy(self, group: str | None) -> GroupPolicy:
        default = self.given.group_default or GroupPolicy()
        return GroupPolicy() if group is None else self.given.groups.get(group, default)

    def _is_paused(self, group: str | None, now_ns: int) -> bool:
        now = seconds(now_ns / 1e9)
        return any(
            pause.group == group
            and pause.start <= now
            and pause.until is not None
            and now < pause.until
            for pause in self.given.pauses
        )

    def _has_no_io(self, name: str, kinds: Counter[str]) -> bool:
        capacity, budget = self.given.io_capacity, self.given.types[name].io
        if capacity is None or budget is None:
            return False
        budgets = {f"{kind.domain}::{name}": kind.io for name, kind in self.given.types.items()}
        moved = [io.read for kind in kinds.elements() if (io := budgets[kind]) is not None]
        return bool(moved) and sum(moved) + budget.read > 0.8 * capacity.read

    def _spend(self, simulation: Simulation) -> None:
        """Keep the token buckets by plain counting."""
        now = simulation.now_ns
        limits: dict[tuple[str, str], RateLimit] = {}
        for name, kind in self.given.types.items():
            if kind.rate is not None:
                limits["type", f"{kind.domain}::{name}"] = kind.rate
        for name in GROUPS[1:]:
            rate = self._policy(str(name)).rate
            if rate is not None:
                limits["group", str(name)] = rate
        for bucket, limit in limits.items():
            full = limit.burst * TOKEN
            gained = (now - self._filled.get(bucket, 0)) * limit.permits
            self.tokens[bucket] = min(full, self.tokens.get(bucket, full) + gained)
            self._filled[bucket] = now
        for task in simulation.just_started:
            for bucket in (("type", task.ready.type), ("group", task.ready.group or "")):
                if bucket in limits:
                    self.tokens[bucket] -= TOKEN
                    assert self.tokens[bucket] >= 0, "a rate was passed"


def test_what_starts_and_is_preempted_at_the_same_moment_has_spent_its_token() -> None:
    """As urgent as it has become it goes first, and makes room for what was urgent before it."""
    at_once, one = seconds(0.1), Constant(seconds(0.1))
    given = Workload(
        max_concurrency=1,
        types={
            "fast": TaskType(domain="x", preemptible=False),
            "other": TaskType(domain="x", rate=RateLimit(1, per=seconds(1)), preemptible=True),
        },
        domains={"x": None},
        arrivals=[
            Arrivals(type="fast", when=Backlog(count=1, at=at_once), runs=Constant(seconds(8))),
            Arrivals(type="other", when=Backlog(count=1, at=at_once), runs=one, priority=128),
            Arrivals(type="fast", when=Backlog(count=1, at=seconds(0.2)), runs=one, priority=64),
        ],
        seed=0,
        aging=Aging(grace=seconds(1), step=seconds(0.1), ceiling=64, urgent=100),
        preempt_at=64,
    )
    simulate(given, watch=Witness(given))


@given(workloads)
@thorough
def test_caps_hold_and_nothing_waits_for_a_free_slot_at_any_moment(given: Workload) -> None:
    simulate(given, watch=Witness(given))


@given(workloads)
@thorough
def test_without_an_end_every_task_ends_and_the_simulation_is_idle(given: Workload) -> None:
    outcome = simulate(given)
    assert (outcome.waiting, outcome.running) == (0, 0)
    assert outcome.starts == outcome.ended + outcome.preempted + outcome.paused
    assert outcome.ended == sum(waits.started for waits in outcome.priorities.values())
    assert outcome.ended == sum(group.ended for group in outcome.groups.values())
    assert 0 <= outcome.utilisation <= 1
    assert sum(map(outcome.part, outcome.groups)) == pytest.approx(1 if outcome.starts else 0)


@given(workloads, lengths)
@thorough
def test_what_has_not_ended_by_the_end_runs_or_waits(given: Workload, length: timedelta) -> None:
    whole = simulate(given)
    cut = simulate(attrs.evolve(given, duration=length))
    assert cut.length == length
    assert cut.ended + cut.running + cut.waiting <= whole.ended
    assert cut.starts == cut.ended + cut.running + cut.preempted + cut.paused


@given(workloads)
@thorough
def test_a_seed_replays_exactly(given: Workload) -> None:
    assert simulate(given).document() == simulate(given).document()
    assert simulate(given) == simulate(given)


@given(workloads, st.integers(1, 6), policies)
@thorough
def test_the_same_tasks_arrive_whatever_is_decided(
    given: Workload, slots: int, policy: GroupPolicy
) -> None:
    no_clients = [each for each in given.arrivals if not isinstance(each.when, Clients)]
    if no_clients:
        given = attrs.evolve(given, arrivals=no_clients)
        other = attrs.evolve(given, max_concurrency=slots, groups={"a": policy}, preempt_at=None)
        assert arrived(given) == arrived(other)


def arrived(given: Workload) -> list[tuple[object, ...]]:
    tasks: dict[int, tuple[object, ...]] = {}

    def look(simulation: Simulation) -> None:
        for run in simulation.running.values():
            task = run.task
            tasks[task.ready.id] = (task.ready, task.at_ns, task.run_ns)

    simulate(given, watch=look)
    return [tasks[number] for number in sorted(tasks)]


# --- cost ---


def calls_of_a_decision(groups: int) -> float:
    """How many functions are called for a start, in the middle of a long backlog."""
    runs = Uniform(seconds(1), seconds(3))
    names = [f"group{number}" for number in range(groups)]
    given = workload(
        *(attrs.evolve(backlog(30_000 // groups, name), runs=runs) for name in names),
        slots=16,
        groups={name: GroupPolicy(weight=number % 5 + 1) for number, name in enumerate(names)},
    )
    simulation = Simulation(given, 0)
    simulation.step()
    for _ in range(500):
        simulation.step()
    per_step: list[int] = []
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    for _ in range(1000):
        calls = 0
        sys.setprofile(count)
        try:
            simulation.step()
        finally:
            sys.setprofile(None)
        per_step.append(calls)
    return median(per_step)


def test_a_decision_among_10_000_groups_costs_about_what_it_does_among_10() -> None:
    assert calls_of_a_decision(10_000) <= 3 * calls_of_a_decision(10)
