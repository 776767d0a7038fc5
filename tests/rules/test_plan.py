"""What starts is the best that may: no cap is passed, no slot stays free, no lane holds another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import attrs
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

from taskmill.engine.ready import ReadyQueue
from taskmill.model.changes import Ready
from taskmill.model.policies import GroupPolicy
from taskmill.model.record import TaskId
from taskmill.rules.gates import Gate, GateKind, Lane, Limits, Tally, first_closed, has_room
from taskmill.rules.plan import Queue, plan

INLINE, THREAD = "inline", "thread"
THREADED = frozenset({"a::threaded", "b::threaded"})
TYPES = ("a::one", "a::two", "a::threaded", "b::one", "b::threaded", "c::one")
GROUPS = (None, "red", "green")


def lane_of(task_type: str, group: str | None) -> Lane:
    return Lane(
        type=task_type,
        group=group,
        domain=task_type.partition("::")[0],
        executor=THREAD if task_type in THREADED else INLINE,
    )


def lane_behind(ready: Ready) -> Lane:
    return lane_of(ready.type, ready.group)


def order(ready: Ready) -> tuple[int, int, int]:
    return ready.priority, ready.ready_at_ms, ready.id


def task(
    number: int,
    task_type: str = "a::one",
    group: str | None = None,
    *,
    priority: int = 128,
    at: int = 0,
) -> Ready:
    return Ready(task_type, group, priority, at, TaskId(number))


def may_run(ready: Ready, running: Iterable[Ready], limits: Limits) -> bool:
    """Whether one more task may run, counted from nothing but the list of what runs."""
    behind = Counter(gate for other in running for gate in lane_behind(other).gates)
    caps = ((gate, limits.cap(gate)) for gate in lane_behind(ready).gates)
    return all(cap is None or behind[gate] < cap for gate, cap in caps)


def best_first(waiting: Iterable[Ready], running: Iterable[Ready], limits: Limits) -> list[Ready]:
    """What should start, in order: again and again the best task that may."""
    left, runs = sorted(waiting, key=order), list(running)
    starts: list[Ready] = []
    while len(runs) < limits.max_concurrency:
        chosen = next((ready for ready in left if may_run(ready, runs, limits)), None)
        if chosen is None:
            break
        left.remove(chosen)
        runs.append(chosen)
        starts.append(chosen)
    return starts


class CountingQueue:
    """A ready queue that counts the lanes it was asked for."""

    def __init__(self, queue: ReadyQueue) -> None:
        self._queue: Queue = queue
        self.asked = 0

    def best(self) -> Lane | None:
        self.asked += 1
        return self._queue.best()

    def take(self) -> Ready:
        return self._queue.take()

    def park(self, gate: Gate) -> None:
        self._queue.park(gate)

    def woken_by(self) -> Gate | None:
        return self._queue.woken_by()

    def wake(self, gate: Gate) -> None:
        self._queue.wake(gate)


@attrs.define
class Mill:
    """The queue, the slots and the limits, next to plain lists of what waits and what runs."""

    limits: Limits
    waiting: list[Ready] = attrs.field(factory=list[Ready])
    running: list[Ready] = attrs.field(factory=list[Ready])
    tally: Tally = attrs.field(factory=Tally)
    queue: ReadyQueue = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.queue = ReadyQueue(lane_of, self.limits.handled)
        for ready in waiting:
            self.add(ready)

    def add(self, ready: Ready) -> None:
        self.waiting.append(ready)
        self.queue.add(ready)

    def cancel(self, ready: Ready) -> None:
        self.waiting.remove(ready)
        self.queue.remove(ready)

    def finish(self, ready: Ready) -> None:
        """A handler has stopped: its slot is free, and the gates it ran behind may open."""
        self.running.remove(ready)
        lane = lane_behind(ready)
        self.tally.remove(lane)
        for gate in lane.gates:
            self.queue.wake(gate)

    def start(self) -> list[Ready]:
        """Plan, and hold what starts against every promise."""
        expected = best_first(self.waiting, self.running, self.limits)
        starts = plan(self.queue, self.tally, self.limits)
        for lane, ready in starts:
            assert lane == lane_behind(ready)
            assert len(self.running) < self.limits.max_concurrency
            assert may_run(ready, self.running, self.limits), "no cap is passed"
            self.waiting.remove(ready)
            self.running.append(ready)
        assert [ready for _, ready in starts] == expected, "the best goes first"
        assert self.tally.total == len(self.running)
        if len(self.running) < self.limits.max_concurrency:
            held = [may_run(ready, self.running, self.limits) for ready in self.waiting]
            assert not any(held), "nothing that may start waits while a slot is free"
        return [ready for _, ready in starts]


def mill(
    waiting: Sequence[Ready] = (),
    *,
    slots: int = 16,
    domains: dict[str, int | None] | None = None,
    executors: dict[str, int | None] | None = None,
    groups: dict[str, int | None] | None = None,
    handled: Iterable[str] = TYPES,
) -> Mill:
    limits = Limits(
        max_concurrency=slots,
        handled=frozenset(handled),
        domains=domains or {},
        executors=executors or {},
        groups={name: GroupPolicy(max_concurrency=cap) for name, cap in (groups or {}).items()},
    )
    return Mill(limits, list(waiting))


# --- worked examples -----------------------------------------------------------------------------


def test_the_most_urgent_starts_first_then_the_oldest_then_the_lowest_id() -> None:
    late, urgent, old, older_id = (
        task(1, at=20),
        task(4, "b::one", priority=64, at=30),
        task(3, at=10),
        task(2, at=10),
    )
    yard = mill([late, urgent, old, older_id], slots=3)
    assert yard.start() == [urgent, older_id, old]
    assert yard.waiting == [late]


def test_an_empty_queue_starts_nothing() -> None:
    yard = mill()
    assert yard.start() == []
    assert yard.queue.best() is None


def test_nothing_is_taken_from_a_queue_without_an_open_lane() -> None:
    yard = mill([task(1, "c::one")], handled=("a::one",))
    yard.start()
    with pytest.raises(LookupError, match="ask best"):
        yard.queue.take()


def test_planning_again_starts_nothing_until_something_changes() -> None:
    yard = mill([task(number) for number in range(1, 6)], domains={"a": 2})
    assert len(yard.start()) == 2
    assert yard.start() == []
    yard.finish(yard.running[0])
    assert len(yard.start()) == 1
    assert yard.start() == []


def test_one_domain_with_a_cap_of_4_and_1000_lanes_looks_at_few_lanes_for_each_freed_slot() -> None:
    waiting = [task(100 * g + n, group=f"g{g}", at=n) for n in range(3) for g in range(1_000)]
    queue, tally = ReadyQueue(lane_of, frozenset(TYPES)), Tally()
    limits = Limits(max_concurrency=16, handled=frozenset(TYPES), domains={"a": 4})
    for ready in waiting:
        queue.add(ready)
    counting = CountingQueue(queue)
    running = [ready for _, ready in plan(counting, tally, limits)]
    done: list[Ready] = []
    while running:
        assert len(running) <= 4
        ended = running.pop(0)
        done.append(ended)
        tally.remove(lane_behind(ended))
        for gate in lane_behind(ended).gates:
            counting.wake(gate)
        counting.asked = 0
        running += [ready for _, ready in plan(counting, tally, limits)]
        assert counting.asked <= 4, "parked lanes are not looked at again"
    assert done == sorted(waiting, key=order)


def test_one_full_group_among_1000_holds_none_of_the_others() -> None:
    full = [task(number, group="g0", priority=0) for number in range(1, 101)]
    others = [task(1_000 + g, group=f"g{g}") for g in range(1, 1_000)]
    queue, tally = ReadyQueue(lane_of, frozenset(TYPES)), Tally()
    limits = Limits(
        max_concurrency=8,
        handled=frozenset(TYPES),
        groups={"g0": GroupPolicy(max_concurrency=1)},
    )
    for ready in (*full, *others):
        queue.add(ready)
    counting = CountingQueue(queue)
    running = [ready for _, ready in plan(counting, tally, limits)]
    assert running == [full[0], *others[:7]]
    started = others[7:]
    while started:
        ended = running.pop(1)
        tally.remove(lane_behind(ended))
        for gate in lane_behind(ended).gates:
            counting.wake(gate)
        counting.asked = 0
        running += [ready for _, ready in plan(counting, tally, limits)]
        assert running[-1] == started.pop(0)
        assert counting.asked <= 2, "the full group is not looked at"


def test_a_parked_lane_whose_head_improves_takes_its_new_place() -> None:
    first = task(1)
    parked = task(2, "a::one", "red", priority=100)
    rival = task(3, "a::two", priority=50)
    yard = mill([first], domains={"a": 1})
    yard.start()
    yard.add(parked)
    yard.add(rival)
    assert yard.start() == []
    urgent = task(4, "a::one", "red", priority=10)
    yard.add(urgent)
    assert yard.start() == [], "the domain is still full"
    starts: list[Ready] = []
    while yard.running:
        yard.finish(yard.running[0])
        starts += yard.start()
    assert starts == [urgent, rival, parked]


def test_a_parked_lane_whose_head_improves_goes_before_the_lane_woken_in_its_stead() -> None:
    parked, woken = task(2, "a::one", "red", priority=100), task(3, "a::two", priority=50)
    yard = mill([task(1)], domains={"a": 1})
    yard.start()
    yard.add(parked)
    yard.add(woken)
    yard.start()
    yard.finish(yard.running[0])
    urgent = task(4, "a::one", "red", priority=10)
    yard.add(urgent)
    assert yard.start() == [urgent]


def test_a_parked_lane_whose_head_leaves_goes_back_in_line() -> None:
    head, next_one, rival = (
        task(2, "a::one", "red", priority=10),
        task(3, "a::one", "red", priority=100),
        task(4, "a::two", priority=50),
    )
    yard = mill([task(1)], domains={"a": 1})
    yard.start()
    for ready in (head, next_one, rival):
        yard.add(ready)
    yard.start()
    yard.cancel(head)
    yard.finish(yard.running[0])
    assert yard.start() == [rival]


def test_a_woken_lane_that_turns_empty_passes_its_slot_on() -> None:
    chosen, next_one = task(2, "a::two", priority=10), task(3, "a::threaded")
    yard = mill([task(1)], domains={"a": 1})
    yard.start()
    yard.add(chosen)
    yard.add(next_one)
    yard.start()
    yard.finish(yard.running[0])
    yard.cancel(chosen)
    assert yard.start() == [next_one]


def test_a_woken_lane_that_meets_another_closed_gate_passes_its_slot_on() -> None:
    in_group, plain = task(3, "a::two", "red", priority=10), task(4, "a::two")
    yard = mill([task(1), task(2, "b::one", "red")], domains={"a": 1}, groups={"red": 1})
    yard.start()
    yard.add(in_group)
    yard.add(plain)
    yard.start()
    yard.finish(task(1))
    assert yard.start() == [plain]


def test_a_task_without_a_handler_waits_and_holds_nothing() -> None:
    unknown, known = task(1, "c::one", priority=0), task(2)
    yard = mill([unknown, known], handled=("a::one",))
    assert yard.start() == [known]
    assert yard.queue.startable == 0


def test_a_full_executor_holds_only_its_own_tasks() -> None:
    threaded = [task(number, "a::threaded", priority=0) for number in (1, 2, 3)]
    inline = [task(number) for number in (4, 5)]
    assert mill([*threaded, *inline], executors={THREAD: 2}).start() == [*threaded[:2], *inline]


def test_a_raised_cap_lets_all_of_its_lanes_go_on_with_one_wake() -> None:
    waiting = [task(number, group=f"g{number}") for number in range(1, 9)]
    yard = mill(waiting, domains={"a": 1})
    assert yard.start() == waiting[:1]
    yard.limits.domains["a"] = 6
    yard.queue.wake(Gate(GateKind.DOMAIN, "a"))
    assert yard.start() == waiting[1:6]


def test_a_lowered_cap_stops_nothing_and_holds_until_enough_has_ended() -> None:
    yard = mill([task(number) for number in range(1, 7)], domains={"a": 3})
    yard.start()
    yard.limits.domains["a"] = 2
    yard.finish(task(1))
    assert yard.start() == []
    yard.finish(task(2))
    assert yard.start() == [task(4)]


# --- gates ---------------------------------------------------------------------------------------


def test_the_gates_of_a_lane_are_asked_in_order() -> None:
    lane = lane_of("a::threaded", "red")
    assert [gate.kind for gate in lane.gates] == list(GateKind)
    assert [gate.name for gate in lane.gates] == ["a::threaded", THREAD, "a", "red"]


def test_the_first_closed_gate_is_the_one_that_is_named() -> None:
    yard = mill([task(1, "a::threaded", "red")], domains={"a": 1}, groups={"red": 1})
    yard.start()
    lane = lane_of("a::one", "red")
    assert first_closed(lane, yard.tally, yard.limits) == Gate(GateKind.DOMAIN, "a")
    yard.limits.domains["a"] = None
    assert first_closed(lane, yard.tally, yard.limits) == Gate(GateKind.GROUP, "red")
    assert first_closed(lane_of("a::one", None), yard.tally, yard.limits) is None


def test_a_group_without_its_own_policy_has_the_default_one() -> None:
    limits = Limits(
        max_concurrency=4,
        handled=frozenset(TYPES),
        groups={"red": GroupPolicy()},
        group_default=GroupPolicy(max_concurrency=1),
    )
    tally = Tally()
    tally.add(lane_of("a::one", "red"))
    tally.add(lane_of("a::one", "green"))
    assert has_room(Gate(GateKind.GROUP, "red"), tally, limits)
    assert not has_room(Gate(GateKind.GROUP, "green"), tally, limits)


@given(st.lists(st.tuples(st.sampled_from(TYPES), st.sampled_from(GROUPS)), max_size=20))
@settings(deadline=None)
def test_a_tally_is_empty_again_when_everything_has_ended(lanes: list[tuple[str, str]]) -> None:
    tally = Tally()
    for task_type, group in lanes:
        tally.add(lane_of(task_type, group))
    assert tally.total == len(lanes)
    expected = Counter(gate for t, g in lanes for gate in lane_of(t, g).gates)
    assert tally.counts() == expected
    for task_type, group in reversed(lanes):
        tally.remove(lane_of(task_type, group))
    assert tally.total == 0
    assert not tally.counts(), "a gate that nothing runs behind is forgotten"


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
    return Limits(
        max_concurrency=draw(st.integers(1, 8)),
        handled=draw(st.frozensets(st.sampled_from(TYPES), min_size=3)),
        executors={INLINE: None, THREAD: draw(caps)},
        domains={"a": draw(caps), "b": draw(caps), "c": draw(caps)},
        groups={"red": GroupPolicy(max_concurrency=draw(caps))},
        group_default=GroupPolicy(max_concurrency=draw(caps)),
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
    Mill(limits, numbered(drawn)).start()


@given(st.lists(kinds, max_size=40), some_limits(), st.integers(1, 3))
@settings(deadline=None, max_examples=100)
def test_a_full_domain_never_blocks_another(
    drawn: list[tuple[str, str | None, int, int]], limits: Limits, cap: int
) -> None:
    """Whatever waits for the full domain, the others start as if it did not wait at all."""
    backlog = numbered(drawn)
    limits = attrs.evolve(limits, domains={**limits.domains, "full": cap})
    limits.handled |= {"full::one"}
    alone, crowded = Mill(limits, list(backlog)), Mill(limits, list(backlog))
    busy = [task(1_000 + n, "full::one") for n in range(cap)]
    for yard in (alone, crowded):
        yard.running.extend(busy)
        for ready in busy:
            yard.tally.add(lane_behind(ready))
    for number, group in enumerate(GROUPS):
        crowded.add(task(2_000 + number, "full::one", group, priority=0))
    assert crowded.start() == alone.start()


few_kinds = st.tuples(
    st.sampled_from(("a::one", "a::two", "b::threaded")),
    st.sampled_from((None, "red")),
    st.sampled_from((64, 128)),
    st.integers(0, 5),
)
"""Few enough for their lanes to get in each other's way."""


def test_a_woken_lane_whose_head_leaves_passes_its_place_on() -> None:
    head, later = task(2, "a::one", priority=10), task(3, "a::one", priority=200)
    rival = task(4, "a::two", priority=100)
    yard = mill([task(1)], domains={"a": 1})
    yard.start()
    for ready in (head, later, rival):
        yard.add(ready)
    yard.start()
    yard.finish(task(1))
    yard.cancel(head)
    assert yard.start() == [rival]


class Sequences(RuleBasedStateMachine):
    """Adds, cancels, ends, changed caps and plans in any order."""

    yard: Mill
    number = 0

    @initialize(limits=some_limits())
    def open(self, limits: Limits) -> None:
        self.yard = Mill(limits)

    @rule(drawn=st.lists(few_kinds, min_size=3, max_size=12))
    def submit(self, drawn: list[tuple[str, str | None, int, int]]) -> None:
        for ready in numbered(drawn, self.number + 1):
            self.yard.add(ready)
        self.number += len(drawn)

    @rule()
    def start(self) -> None:
        self.yard.start()

    @precondition(lambda self: self.yard.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        self.yard.finish(data.draw(st.sampled_from(self.yard.running)))

    @precondition(lambda self: self.yard.running)
    @rule(data=st.data())
    def finish_and_start(self, data: st.DataObject) -> None:
        self.yard.finish(data.draw(st.sampled_from(self.yard.running)))
        self.yard.start()

    @precondition(lambda self: self.cancellable())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.yard.cancel(data.draw(st.sampled_from(self.cancellable())))

    def cancellable(self) -> list[Ready]:
        """The tasks that wait."""
        return sorted(self.yard.waiting, key=order)

    @rule(slots=st.integers(1, 8))
    def set_slots(self, slots: int) -> None:
        self.yard.limits.max_concurrency = slots

    @rule(name=st.sampled_from(("a", "b", "c")), cap=caps)
    def set_domain(self, name: str, cap: int | None) -> None:
        self.yard.limits.domains[name] = cap
        self.yard.queue.wake(Gate(GateKind.DOMAIN, name))

    @rule(name=st.sampled_from(("red", "green")), cap=caps)
    def set_group(self, name: str, cap: int | None) -> None:
        self.yard.limits.groups[name] = GroupPolicy(max_concurrency=cap)
        self.yard.queue.wake(Gate(GateKind.GROUP, name))

    def teardown(self) -> None:
        """Everything that has a handler gets its turn."""
        if not hasattr(self, "yard"):
            return
        self.yard.start()
        while self.yard.running:
            self.yard.finish(self.yard.running[0])
            self.yard.start()
        assert all(ready.type not in self.yard.limits.handled for ready in self.yard.waiting)
        assert self.yard.queue.startable == 0


def test_any_sequence_of_changes_keeps_every_promise() -> None:
    run_state_machine_as_test(
        Sequences, settings=settings(deadline=None, max_examples=120, stateful_step_count=40)
    )
