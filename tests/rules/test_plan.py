"""What starts is the best that may: no cap is passed, no slot stays free, no lane holds another."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskmill.model.changes import Ready
from taskmill.model.pauses import PauseScope
from taskmill.model.sharing import GroupPolicy, IoBudget, RateLimit, Throttle
from taskmill.model.stages import Stage
from taskmill.rules.gates import GateKind
from taskmill.rules.limits import Limits, Outage
from tests.rules.mill import (
    GROUPS,
    INLINE,
    SECOND,
    THREAD,
    TYPES,
    Counting,
    Mill,
    checked,
    limits_of,
    mill,
    task,
)


def first_of(yard: Mill) -> Ready:
    """What has run for longest."""
    return next(iter(yard.running.values())).ready


def order(ready: Ready) -> tuple[int, int, int]:
    return ready.priority, ready.ready_at_ms, ready.id


# --- worked examples -----------------------------------------------------------------------------


def test_the_most_urgent_starts_first_then_the_oldest_then_the_lowest_id() -> None:
    late, urgent, old, older_id = (
        task(1, at=20),
        task(4, "b::one", priority=64, at=30),
        task(3, at=10),
        task(2, at=10),
    )
    yard = mill([late, urgent, old, older_id], slots=3)
    assert checked(yard) == [urgent, older_id, old]
    assert list(yard.waiting.values()) == [late]


def test_an_empty_queue_starts_nothing() -> None:
    yard = mill()
    assert checked(yard) == []
    assert yard.queue.best() is None


def test_nothing_is_taken_from_a_queue_without_an_open_lane() -> None:
    yard = mill([task(1, "c::one")], handled=("a::one",))
    checked(yard)
    with pytest.raises(LookupError, match="ask best"):
        yard.queue.take(0)


def test_planning_again_starts_nothing_until_something_changes() -> None:
    yard = mill([task(number) for number in range(1, 6)], domains={"a": 2})
    assert len(checked(yard)) == 2
    assert checked(yard) == []
    yard.finish(first_of(yard))
    assert len(checked(yard)) == 1
    assert checked(yard) == []


def test_one_domain_with_a_cap_of_4_and_1000_lanes_looks_at_few_lanes_for_each_freed_slot() -> None:
    waiting = [task(100 * g + n, group=f"g{g}", at=n) for n in range(3) for g in range(1_000)]
    yard = mill(waiting, domains={"a": 4})
    counting = Counting(yard.queue)
    yard.start(through=counting.count)
    done: list[Ready] = []
    while yard.running:
        assert len(yard.running) <= 4
        ended = next(iter(yard.running.values())).ready
        done.append(ended)
        yard.finish(ended)
        counting.asked = 0
        yard.start(through=counting.count)
        assert counting.asked <= 4, "parked lanes are not looked at again"
    assert done == sorted(waiting, key=order)


def test_one_full_group_among_1000_holds_none_of_the_others() -> None:
    full = [task(number, group="g0", priority=0) for number in range(1, 101)]
    others = [task(1_000 + g, group=f"g{g}") for g in range(1, 1_000)]
    yard = mill([*full, *others], slots=8, groups={"g0": 1})
    counting = Counting(yard.queue)
    assert yard.start(through=counting.count) == [full[0], *others[:7]]
    running, left = others[:7], others[7:]
    while left:
        yard.finish(running.pop(0))
        counting.asked = 0
        running += yard.start(through=counting.count)
        assert running[-1] == left.pop(0)
        assert counting.asked <= 2, "the full group is not looked at"


def test_one_bucket_over_1000_groups_looks_at_few_lanes_for_each_token() -> None:
    waiting = [task(g, group=f"g{g}") for g in range(1, 1_001)]
    yard = mill(waiting, rates={"a::one": RateLimit(1)})
    counting = Counting(yard.queue)
    assert yard.start(through=counting.count) == waiting[:1]
    for expected in waiting[1:50]:
        assert yard.queue.next_token() == yard.now_ns + SECOND
        yard.finish(*[start.ready for start in yard.running.values()])
        yard.wait(1)
        counting.asked = 0
        assert yard.start(through=counting.count) == [expected]
        assert counting.asked <= 3, "parked lanes are not looked at again"


def test_a_parked_lane_whose_head_improves_takes_its_new_place() -> None:
    first = task(1)
    parked = task(2, "a::one", "red", priority=100)
    rival = task(3, "a::two", priority=50)
    yard = mill([first], domains={"a": 1})
    checked(yard)
    yard.add(parked)
    yard.add(rival)
    assert checked(yard) == []
    urgent = task(4, "a::one", "red", priority=10)
    yard.add(urgent)
    assert checked(yard) == [], "the domain is still full"
    starts: list[Ready] = []
    while yard.running:
        yard.finish(first_of(yard))
        starts += checked(yard)
    assert starts == [urgent, rival, parked]


def test_a_parked_lane_whose_head_improves_goes_before_the_lane_woken_in_its_stead() -> None:
    parked, woken = task(2, "a::one", "red", priority=100), task(3, "a::two", priority=50)
    yard = mill([task(1)], domains={"a": 1})
    checked(yard)
    yard.add(parked)
    yard.add(woken)
    checked(yard)
    yard.finish(first_of(yard))
    urgent = task(4, "a::one", "red", priority=10)
    yard.add(urgent)
    assert checked(yard) == [urgent]


def test_a_parked_lane_whose_head_leaves_goes_back_in_line() -> None:
    head, next_one, rival = (
        task(2, "a::one", "red", priority=10),
        task(3, "a::one", "red", priority=100),
        task(4, "a::two", priority=50),
    )
    yard = mill([task(1)], domains={"a": 1})
    checked(yard)
    for ready in (head, next_one, rival):
        yard.add(ready)
    checked(yard)
    yard.cancel(head)
    yard.finish(first_of(yard))
    assert checked(yard) == [rival]


def test_a_woken_lane_that_turns_empty_passes_its_slot_on() -> None:
    chosen, next_one = task(2, "a::two", priority=10), task(3, "a::threaded")
    yard = mill([task(1)], domains={"a": 1})
    checked(yard)
    yard.add(chosen)
    yard.add(next_one)
    checked(yard)
    yard.finish(first_of(yard))
    yard.cancel(chosen)
    assert checked(yard) == [next_one]


def test_a_woken_lane_that_meets_another_closed_gate_passes_its_slot_on() -> None:
    in_group, plain = task(3, "a::two", "red", priority=10), task(4, "a::two")
    yard = mill([task(1), task(2, "b::one", "red")], domains={"a": 1}, groups={"red": 1})
    checked(yard)
    yard.add(in_group)
    yard.add(plain)
    checked(yard)
    yard.finish(task(1))
    assert checked(yard) == [plain]


def test_a_task_without_a_handler_waits_and_holds_nothing() -> None:
    unknown, known = task(1, "c::one", priority=0), task(2)
    yard = mill([unknown, known], handled=("a::one",))
    assert checked(yard) == [known]
    assert yard.queue.startable == 0


def test_a_full_executor_holds_only_its_own_tasks() -> None:
    threaded = [task(number, "a::threaded", priority=0) for number in (1, 2, 3)]
    inline = [task(number) for number in (4, 5)]
    assert mill([*threaded, *inline], executors={THREAD: 2}).start() == [*threaded[:2], *inline]


def test_a_raised_cap_lets_all_of_its_lanes_go_on_with_one_wake() -> None:
    waiting = [task(number, group=f"g{number}") for number in range(1, 9)]
    yard = mill(waiting, domains={"a": 1})
    assert checked(yard) == waiting[:1]
    yard.set_cap(yard.limits.domains["a"], 6)
    assert checked(yard) == waiting[1:6]


def test_another_cap_of_a_group_holds_from_the_next_decision_on() -> None:
    """Also for tasks that wait already, and for a group that had none (B10)."""
    waiting = [task(number, group="red") for number in range(1, 9)]
    yard = mill(waiting, groups={"red": 1})
    assert checked(yard) == waiting[:1]
    yard.set_group("red", GroupPolicy(max_concurrency=3))
    assert checked(yard) == waiting[1:3]
    yard.set_group("red", GroupPolicy(max_concurrency=1))
    yard.finish(*waiting[:2])
    assert checked(yard) == []
    yard.set_group("red", GroupPolicy())
    assert checked(yard) == waiting[3:]


def test_a_lowered_cap_stops_nothing_and_holds_until_enough_has_ended() -> None:
    yard = mill([task(number) for number in range(1, 7)], domains={"a": 3})
    checked(yard)
    yard.set_cap(yard.limits.domains["a"], 2)
    yard.finish(task(1))
    assert checked(yard) == []
    yard.finish(task(2))
    assert checked(yard) == [task(4)]


# --- gates ---------------------------------------------------------------------------------------


def test_the_gates_of_a_lane_are_asked_in_order() -> None:
    limits = limits_of(
        handled=["b::one"],
        io={"b::one": IoBudget(read=1)},
        io_capacity=IoBudget(read=10),
        throttle=Throttle(),
    )
    handled, unknown = limits.lane("b::one", "red", 200), limits.lane("a::none", "red", 200)
    own_gates = set(GateKind) - {GateKind.GLOBAL, GateKind.SCHEDULER_PAUSE, GateKind.PAYLOAD}
    in_order = [kind for kind in GateKind if kind in own_gates]
    while_up = [kind for kind in in_order[1:] if kind is not GateKind.UNROUTABLE]
    assert [gate.kind for gate in handled.gates] == while_up, "all but that of the handler"
    limits.set_outage(
        INLINE, Outage(since=datetime(2030, 1, 1, tzinfo=UTC), reason="no power", fallback=None)
    )
    held = limits.lane("b::one", "red", 200)
    assert [gate.kind for gate in held.gates] == in_order[1:]
    assert held.first_closed(0) is held.gates[in_order.index(GateKind.UNROUTABLE) - 1]
    assert [gate.name for gate in handled.gates] == [
        "b",
        "red",
        INLINE,
        "b",
        "red",
        "",
        "b::one",
        "b::one",
        "red",
    ]
    assert unknown.gates[0].kind is GateKind.HANDLER
    assert not unknown.gates[0].is_open(0)
    assert [gate.kind for gate in handled.slots] == [
        GateKind.EXECUTOR,
        GateKind.DOMAIN,
        GateKind.GROUP,
    ]


def test_the_first_closed_gate_is_the_one_that_is_named() -> None:
    yard = mill([task(1, "a::threaded", "red")], domains={"a": 1}, groups={"red": 1})
    checked(yard)
    lane = yard.limits.lane("a::one", "red", 128)
    assert lane.first_closed(0) is yard.limits.domains["a"]
    yard.set_cap(yard.limits.domains["a"], None)
    assert lane.first_closed(0) is yard.limits.group_gates("red").slots
    assert yard.limits.lane("a::one", None, 128).first_closed(0) is None


def test_a_group_without_its_own_policy_has_the_default_one() -> None:
    limits = limits_of(groups={"red": GroupPolicy()}, default=GroupPolicy(max_concurrency=1))
    yard = Mill(limits)
    waiting = [task(1, group="red"), task(2, group="green"), task(3, group="red")]
    yard.add(*waiting, task(4, group="green"))
    assert checked(yard) == waiting
    assert limits.group_gates("red").slots.is_open(0)
    assert not limits.group_gates("green").slots.is_open(0)


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from(GROUPS)), max_size=20))
@settings(deadline=None)
def test_the_gates_are_empty_again_when_everything_has_ended(
    lanes: list[tuple[str, str | None]],
) -> None:
    yard = mill([task(n, *lane) for n, lane in enumerate(lanes)], slots=20)
    yard.start()
    assert yard.limits.all.held == len(lanes)
    for _ in lanes:
        yard.finish(yard.started.pop())
    assert yard.limits.all.held == 0
    kept = [*yard.limits.domains.values(), *yard.limits.executors.values()]
    assert {slots.held for slots in kept} <= {0}


def test_what_nothing_runs_or_waits_in_is_forgotten() -> None:
    """A million groups that came and went leave no gates behind."""
    limits = limits_of()
    yard = Mill(limits)
    for number in range(5_000):
        ready = task(number, group=f"g{number}")
        yard.add(ready)
        yard.start()
        yard.finish(ready)
    gc.collect()
    assert len(limits._group_gates) <= 1_100
    assert len(limits._lanes) <= 1_100


# --- stages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", [Stage.FINALIZE, Stage.UNDO])
def test_what_is_no_first_run_is_under_every_cap_and_under_no_rate(stage: Stage) -> None:
    limits = limits_of(
        io={"a::one": IoBudget(read=1)},
        io_capacity=IoBudget(read=10),
        rates={"a::one": RateLimit(1)},
        throttle=Throttle(),
    )
    first, later = (limits.lane("a::one", "red", 200, each) for each in (Stage.EXECUTE, stage))
    rates = {GateKind.TYPE_RATE, GateKind.GROUP_RATE}
    assert [gate.kind for gate in later.gates] == [
        gate.kind for gate in first.gates if gate.kind not in rates
    ]
    assert later.slots == first.slots


@pytest.mark.parametrize("stage", [Stage.FINALIZE, Stage.UNDO])
def test_a_spent_bucket_holds_first_runs_alone(stage: Stage) -> None:
    first = [task(number) for number in (1, 2)]
    later = [task(number, stage=stage, priority=200) for number in (3, 4)]
    yard = mill([*first, *later], rates={"a::one": RateLimit(1)})
    assert checked(yard) == [first[0], *later]
    assert yard.queue.next_token() == yard.now_ns + SECOND


@pytest.mark.parametrize("stage", [Stage.FINALIZE, Stage.UNDO])
def test_a_full_cap_holds_every_stage(stage: Stage) -> None:
    later = task(2, group="red", stage=stage, priority=0)
    for by_domain in (True, False):
        domains, groups = ({"a": 1}, None) if by_domain else (None, {"red": 1})
        yard = mill([task(1, group="red")], domains=domains, groups=groups)
        checked(yard)
        yard.add(later)
        assert checked(yard) == []
        yard.finish(task(1))
        assert checked(yard) == [later]


def alone(number: int, kind: str = "a::one", group: str | None = None, **fields: int) -> Ready:
    """A task that is to run alone."""
    return task(number, kind, group, stage=Stage.ALONE, **fields)


def test_a_task_that_is_to_run_alone_waits_for_all_and_all_wait_for_it() -> None:
    before = [task(1, at=0), task(2, at=1)]
    suspect = alone(3, at=2)
    after = [task(4, "b::one", at=3), task(5, at=4)]
    yard = mill(before)
    assert checked(yard) == before
    yard.add(suspect, *after)
    assert checked(yard) == [], "it is its turn, and it waits"
    yard.finish(before[0])
    assert checked(yard) == []
    yard.finish(before[1])
    assert checked(yard) == [suspect]
    assert checked(yard) == [], "nothing starts beside it"
    yard.finish(suspect)
    assert checked(yard) == after


def test_a_suspect_holds_nobody_before_its_turn_has_come() -> None:
    suspect = alone(2, at=5)
    older = [task(number, at=0) for number in (3, 4, 5)]
    yard = mill([task(1), suspect, *older], slots=2)
    assert checked(yard) == [task(1), older[0]]
    yard.finish(task(1))
    assert checked(yard) == [older[1]], "what goes before it goes on"
    yard.finish(*older[:2])
    assert checked(yard) == [older[2]]
    yard.finish(older[2])
    assert checked(yard) == [suspect]


def test_a_suspect_does_not_starve_behind_tasks_that_come_after_it() -> None:
    suspect = alone(1, at=1)
    yard = mill([task(2, at=0)], slots=2)
    checked(yard)
    yard.add(suspect)
    for number in range(3, 50):
        yard.add(task(number, at=number))
        assert checked(yard) == []
    yard.finish(task(2))
    assert checked(yard) == [suspect]


@pytest.mark.parametrize("gate", ["pause", "group pause", "domain", "group", "rate"])
def test_a_suspect_that_another_gate_holds_holds_nobody(gate: str) -> None:
    suspect = alone(1, "a::one", "red", priority=0)
    rates = {"a::one": RateLimit(1)} if gate == "rate" else None
    yard = mill([task(2, "a::one")], domains={"a": 1, "b": None}, rates=rates)
    if gate == "group":
        yard.set_cap(yard.limits.domains["a"], None)
        yard.add(task(7, "b::two", "red"), task(8, "b::one", "red"))
        yard.set_group("red", GroupPolicy(max_concurrency=1))
    checked(yard)
    match gate:
        case "pause":
            yard.pause(PauseScope.DOMAIN, "a")
        case "group pause":
            yard.pause(PauseScope.GROUP, "red")
        case "rate":
            yard.set_cap(yard.limits.domains["a"], None)
        case _:
            pass
    yard.add(suspect, task(3, "b::one"))
    assert checked(yard) == [task(3, "b::one")]
    yard.resume(PauseScope.DOMAIN, "a")
    yard.resume(PauseScope.GROUP, "red")
    yard.wait(5)
    while yard.running:
        yard.finish(first_of(yard))
        checked(yard)
    assert suspect in yard.started


def test_a_suspect_does_not_start_beside_what_started_in_the_same_decision() -> None:
    yard = mill([task(1, at=0), alone(2, at=1), task(3, at=2)])
    assert checked(yard) == [task(1)]


def test_two_suspects_run_one_after_the_other() -> None:
    yard = mill([alone(1), alone(2)])
    assert checked(yard) == [alone(1)]
    yard.finish(alone(1))
    assert checked(yard) == [alone(2)]


# --- properties ----------------------------------------------------------------------------------

caps = st.none() | st.integers(1, 3)
kinds = st.tuples(
    st.sampled_from(TYPES),
    st.sampled_from(GROUPS),
    st.sampled_from((0, 64, 128, 255)),
    st.integers(0, 5),
)


@st.composite
def some_limits(draw: st.DrawFn) -> Limits:
    return limits_of(
        slots=draw(st.integers(1, 8)),
        handled=draw(st.frozensets(st.sampled_from(TYPES), min_size=3)),
        executors={INLINE: None, THREAD: draw(caps)},
        domains={"a": draw(caps), "b": draw(caps), "c": draw(caps)},
        groups={"red": GroupPolicy(max_concurrency=draw(caps))},
        default=GroupPolicy(max_concurrency=draw(caps)),
    )


def numbered(drawn: Iterable[tuple[str, str | None, int, int]], start: int = 1) -> list[Ready]:
    return [
        task(number, task_type, group, priority=priority, at=at)
        for number, (task_type, group, priority, at) in enumerate(drawn, start)
    ]


@given(st.lists(kinds, max_size=40), some_limits())
@settings(deadline=None, max_examples=200)
def test_a_plan_starts_what_brute_force_would(
    drawn: list[tuple[str, str | None, int, int]], limits: Limits
) -> None:
    yard = Mill(limits)
    yard.add(*numbered(drawn))
    checked(yard)


@given(st.lists(kinds, max_size=40), st.integers(1, 8), caps, st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_a_full_domain_never_blocks_another(
    drawn: list[tuple[str, str | None, int, int]], slots: int, group_cap: int | None, cap: int
) -> None:
    """Whatever waits for the full domain, the others start as if it did not wait at all."""
    busy = [task(1_000 + n, "full::one") for n in range(cap)]
    alone, crowded = (
        mill(
            busy,
            slots=slots + cap,
            domains={"full": cap, "b": 2},
            groups={"red": group_cap},
            handled=(*TYPES, "full::one"),
        )
        for _ in range(2)
    )
    for yard in (alone, crowded):
        assert checked(yard) == busy
        yard.add(*numbered(drawn))
    for number, group in enumerate(GROUPS):
        crowded.add(task(2_000 + number, "full::one", group, priority=0))
    assert checked(crowded) == checked(alone)


stages = st.sampled_from((Stage.EXECUTE,) * 5 + (Stage.FINALIZE, Stage.UNDO, Stage.ALONE))
few_kinds = st.tuples(
    st.sampled_from(("a::one", "a::two", "b::threaded")),
    st.sampled_from((None, "red")),
    st.sampled_from((64, 128)),
    st.integers(0, 5),
    stages,
)
"""Few enough for their lanes to get in each other's way."""


def test_a_woken_lane_whose_head_leaves_passes_its_place_on() -> None:
    head, later = task(2, "a::one", priority=10), task(3, "a::one", priority=200)
    rival = task(4, "a::two", priority=100)
    yard = mill([task(1)], domains={"a": 1})
    checked(yard)
    for ready in (head, later, rival):
        yard.add(ready)
    checked(yard)
    yard.finish(task(1))
    yard.cancel(head)
    assert checked(yard) == [rival]


class Sequences(RuleBasedStateMachine):
    """Adds, cancels, ends, changed caps and plans in any order."""

    yard: Mill
    number = 0

    @initialize(limits=some_limits())
    def open(self, limits: Limits) -> None:
        self.yard = Mill(limits)

    @rule(drawn=st.lists(few_kinds, min_size=3, max_size=12))
    def submit(self, drawn: list[tuple[str, str | None, int, int, Stage]]) -> None:
        for kind, group, priority, at, stage in drawn:
            self.number += 1
            self.yard.add(task(self.number, kind, group, priority=priority, at=at, stage=stage))

    @rule()
    def start(self) -> None:
        checked(self.yard)

    @precondition(lambda self: self.yard.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.yard.finish(data.draw(st.sampled_from(self.running())))

    @precondition(lambda self: self.yard.running)
    @rule(data=st.data())
    def finish_and_start(self, data: st.DataObject) -> None:
        self.yard.finish(data.draw(st.sampled_from(self.running())))
        checked(self.yard)

    @precondition(lambda self: self.cancellable())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.yard.cancel(data.draw(st.sampled_from(self.cancellable())))

    def running(self) -> list[Ready]:
        """The tasks that run."""
        return [start.ready for start in self.yard.running.values()]

    def waiting(self) -> list[Ready]:
        """The tasks that wait."""
        return list(self.yard.waiting.values())

    def cancellable(self) -> list[Ready]:
        """The tasks that wait."""
        return sorted(self.yard.waiting.values(), key=order)

    @rule(slots=st.integers(1, 8))
    def set_slots(self, slots: int) -> None:
        self.yard.set_cap(self.yard.limits.all, slots)

    @rule(name=st.sampled_from(("a", "b", "c")), cap=caps)
    def set_domain(self, name: str, cap: int | None) -> None:
        self.yard.set_cap(self.yard.limits.domains[name], cap)

    @rule(name=st.sampled_from(("red", "green")), cap=caps)
    def set_group(self, name: str, cap: int | None) -> None:
        self.yard.set_group(name, GroupPolicy(max_concurrency=cap))

    def teardown(self) -> None:
        """Everything that has a handler gets its turn."""
        if not hasattr(self, "yard"):
            return
        checked(self.yard)
        while self.yard.running:
            self.yard.finish(first_of(self.yard))
            checked(self.yard)
        assert all(not self.yard.limits.kind(ready.type).is_handled for ready in self.waiting())
        assert self.yard.queue.startable == 0


def test_any_sequence_of_changes_keeps_every_promise() -> None:
    run_state_machine_as_test(
        Sequences, settings=settings(deadline=None, max_examples=80, stateful_step_count=40)
    )
