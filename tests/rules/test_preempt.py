"""Who makes room for something urgent: the fewest, the least urgent first, never for nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import Ready
from taskmill.model.pauses import PauseScope
from taskmill.model.sharing import GroupPolicy, IoBudget, RateLimit, Throttle
from taskmill.rules.gates import Slots
from taskmill.rules.limits import Limits
from taskmill.rules.plan import Start
from taskmill.rules.preempt import Urgent, victims
from tests.rules.mill import Mill, limits_of, task

HOUR = timedelta(hours=1)


def running(limits: Limits, *ready: Ready, at: Sequence[int] = ()) -> list[Start]:
    """Tasks whose handlers run, started in this order."""
    starts: list[Start] = []
    for number, one in enumerate(ready):
        lane = limits.lane(one.type, one.group, one.priority)
        at_ns = at[number] if at else number
        starts.append(Start(lane, one, one.priority, at_ns, can_be_preempted=True))
        for toll in (limits.all, *lane.tolls):
            toll.enter(0)
    return starts


def stopped(
    limits: Limits, starts: Sequence[Start], *urgent: tuple[str, str | None, int], priority: int = 0
) -> list[int]:
    """Which tasks are told to stop for these: type, group, how many."""
    waiting = [
        Urgent(limits.lane(kind, group, priority), count, priority) for kind, group, count in urgent
    ]
    return [start.ready.id for start in victims(waiting, starts, limits.all, 0)]


ONE = ("a::one", None, 1)

# --- worked examples -----------------------------------------------------------------------------


def test_the_least_urgent_stops_and_of_those_the_one_that_started_last() -> None:
    limits = limits_of(slots=4)
    starts = running(
        limits,
        task(1, priority=200),
        task(2, priority=200),
        task(3, priority=128),
        task(4, priority=64),
    )
    assert stopped(limits, starts, ONE) == [2]
    assert stopped(limits, starts, ("a::one", None, 3)) == [2, 1, 3]
    assert stopped(limits, starts, ("a::one", None, 9)) == [2, 1, 3, 4]


def test_nothing_stops_while_a_slot_is_free() -> None:
    """One urgent task, one free slot; and two urgent tasks need but one more (B27)."""
    limits = limits_of(slots=4)
    starts = running(limits, *[task(n) for n in (1, 2, 3)])
    assert stopped(limits, starts, ONE) == []
    assert stopped(limits, starts, ("a::one", None, 2)) == [3]


def test_only_tasks_that_are_strictly_less_urgent_by_their_base_priority_stop() -> None:
    limits = limits_of(slots=2, preempt_at=100)
    starts = running(limits, task(1, priority=50), task(2, priority=60))
    for start in starts:
        start.effective = 0
    assert stopped(limits, starts, ONE, priority=60) == []
    assert stopped(limits, starts, ("a::one", None, 2), priority=55) == [2]
    assert stopped(limits, starts, ("a::one", None, 2), priority=49) == [2, 1]


def test_what_cannot_be_preempted_never_stops() -> None:
    """By its options, because it gave way often enough, or because it has not started yet."""
    limits = limits_of(slots=2)
    starts = running(limits, task(1, priority=255), task(2))
    starts[0].can_be_preempted = False
    assert stopped(limits, starts, ("a::one", None, 2)) == [2]


def test_what_is_stopping_is_promised_room_and_nothing_else_stops_for_it() -> None:
    limits = limits_of(slots=3)
    starts = running(limits, *[task(n) for n in (1, 2, 3)])
    starts[2].is_stopping = True
    assert stopped(limits, starts, ONE) == []
    assert stopped(limits, starts, ("a::one", None, 2)) == [2]


def test_what_does_not_stop_in_time_is_not_counted_on() -> None:
    limits = limits_of(slots=3)
    starts = running(limits, *[task(n) for n in (1, 2, 3)])
    starts[2].is_stopping = starts[2].is_overdue = True
    assert stopped(limits, starts, ONE) == [2]


def test_a_full_domain_is_made_room_in_and_no_other() -> None:
    limits = limits_of(domains={"a": 1, "b": 1})
    starts = running(limits, task(1, "a::one"), task(2, "b::one", priority=255))
    assert stopped(limits, starts, ("a::two", None, 1)) == [1]
    assert stopped(limits, starts, ("c::one", None, 1)) == []


def test_one_task_that_frees_every_full_cap_stops_rather_than_two_less_urgent_ones() -> None:
    limits = limits_of(domains={"a": 2}, groups={"red": 2})
    starts = running(
        limits,
        task(1, "a::one", "red", priority=100),
        task(2, "a::one", priority=200),
        task(3, "b::one", "red", priority=200),
    )
    assert stopped(limits, starts, ("a::two", "red", 1)) == [1]
    starts[0].can_be_preempted = False
    assert stopped(limits, starts, ("a::two", "red", 1)) == [3, 2]


def test_a_task_that_cannot_be_given_room_costs_nobody_a_slot() -> None:
    limits = limits_of(slots=2, domains={"a": 1})
    starts = running(limits, task(1, "a::one", priority=0), task(2, "b::one"))
    assert stopped(limits, starts, ("a::two", None, 1), ("c::one", None, 1)) == [2]
    assert stopped(limits, starts, ("a::two", None, 1)) == []


def test_what_was_chosen_in_vain_for_one_task_is_no_room_for_the_next() -> None:
    limits = limits_of(slots=8, groups={"red": 8})
    starts = running(limits, *[task(n, group="red") for n in range(1, 9)])
    for start in starts[2:]:
        start.can_be_preempted = False
    limits.lane("a::one", "red", 0).slots[-1].cap = 1
    assert stopped(limits, starts, ("a::one", "red", 1), ("a::one", None, 1)) == [2]


@pytest.mark.parametrize("held_by", ["rate", "group rate", "pressure", "io", "pause", "handler"])
def test_a_task_that_more_than_caps_holds_preempts_nobody(held_by: str) -> None:
    limits = limits_of(
        slots=2,
        handled=["b::one"] if held_by == "handler" else ["a::one", "b::one"],
        rates={"a::one": RateLimit(1, per=HOUR)},
        groups={"red": GroupPolicy(rate=RateLimit(1, per=HOUR))},
        throttle=Throttle({0: 0.5}),
        io={"a::one": IoBudget(read=9), "b::one": IoBudget(read=9)},
        io_capacity=IoBudget(read=10) if held_by == "io" else None,
    )
    starts = running(limits, task(1, "b::one"), task(2, "b::one"))
    lane = limits.lane("a::one", "red", 0)
    match held_by:
        case "rate":
            limits.rates["a::one"].enter(0)
        case "group rate":
            limits.group_gates("red").rate.enter(0)
        case "pressure":
            limits.pressure.readings = {"cpu": 0.6}
        case "pause":
            Mill(limits).pause(PauseScope.GROUP, "red")
        case _:
            pass
    assert victims([Urgent(lane, 1, 0)], starts, limits.all, 0) == []


def test_no_more_tasks_stop_than_there_are_tokens_for() -> None:
    """Three urgent tasks and one token: only one of them could start."""
    limits = limits_of(slots=3, rates={"a::one": RateLimit(1, per=HOUR)})
    starts = running(limits, *[task(n, "b::one") for n in (1, 2, 3)])
    assert stopped(limits, starts, ("a::one", None, 3)) == [3]
    starts[2].is_stopping = True
    assert stopped(limits, starts, ("a::one", None, 3)) == [], "the token goes with that room"


def test_no_more_tasks_stop_than_there_are_tokens_for_in_all_lanes_of_a_bucket() -> None:
    limits = limits_of(slots=3, groups={"red": GroupPolicy(rate=RateLimit(2, per=HOUR))})
    starts = running(limits, *[task(n, "b::one") for n in (1, 2, 3)])
    assert stopped(limits, starts, ("a::one", "red", 2), ("a::two", "red", 2)) == [3, 2]


def test_no_more_tasks_stop_than_have_room_for_their_io() -> None:
    limits = limits_of(slots=3, io={"a::one": IoBudget(read=8)}, io_capacity=IoBudget(read=10))
    starts = running(limits, *[task(n, "b::one") for n in (1, 2, 3)])
    assert stopped(limits, starts, ("a::one", None, 3)) == [3]


def test_after_a_cap_was_lowered_as_many_stop_as_it_takes() -> None:
    limits = limits_of(domains={"a": 3})
    starts = running(limits, *[task(n, "a::one") for n in (1, 2, 3)])
    limits.domains["a"].cap = 2
    assert stopped(limits, starts, ("a::two", None, 1)) == [3, 2]


def test_after_a_cap_was_lowered_by_far_as_many_stop_as_it_takes_each_once() -> None:
    limits = limits_of(domains={"a": 10})
    starts = running(limits, *[task(n, "a::one") for n in range(1, 11)])
    limits.domains["a"].cap = 2
    assert stopped(limits, starts, ("a::two", None, 1)) == [10, 9, 8, 7, 6, 5, 4, 3, 2]


@pytest.mark.parametrize(
    ("priorities", "at"), [((100, 255, 200, 210), ()), ((200, 200, 200, 200), (0, 3, 1, 2))]
)
def test_of_sets_of_one_size_the_one_with_the_least_urgent_stops_or_with_the_latest(
    priorities: Sequence[int], at: Sequence[int]
) -> None:
    """1 and 2 would do, and 1 and 3, and 3 and 4."""
    limits = limits_of(executors={"thread": 2}, domains={"a": 2}, groups={"red": 2})
    places = [("a::threaded", None), ("b::one", "red"), ("a::one", "red"), ("b::threaded", None)]
    tasks = [
        task(number, kind, group, priority=priority)
        for number, ((kind, group), priority) in enumerate(
            zip(places, priorities, strict=True), start=1
        )
    ]
    starts = running(limits, *tasks, at=at)
    assert sorted(stopped(limits, starts, ("a::threaded", "red", 1))) == [1, 2]


def test_of_a_cap_that_lacks_two_slots_the_ones_that_free_most_stop() -> None:
    """Two are enough, though a third is less urgent than either."""
    limits = limits_of(executors={"thread": 2}, domains={"a": 2}, groups={"red": 2})
    starts = running(
        limits,
        task(1, "a::threaded"),
        task(2, "a::one", "red"),
        task(3, "b::threaded", "red", priority=255),
    )
    limits.domains["a"].cap = 1
    assert sorted(stopped(limits, starts, ("a::threaded", "red", 1))) == [1, 2]


def test_the_slot_that_is_freed_goes_to_the_one_it_was_freed_for() -> None:
    """Even where another group is owed most, and another task has aged."""
    limits = limits_of(slots=1, groups={"green": GroupPolicy(weight=1000, min_slots=1)})
    yard = Mill(limits)
    low = task(1, group="red")
    yard.add(low)
    yard.start()
    urgent = task(9, group="red", priority=0, at=10**6)
    yard.add(urgent, task(2, group="green"), low._replace(id=low.id))
    [start] = yard.running.values()
    start.can_be_preempted = True
    lane = limits.lane(urgent.type, urgent.group, urgent.priority)
    assert victims([Urgent(lane, 1, 0)], [start], limits.all, 0) == [start]
    del yard.waiting[low.id]
    yard.finish(low, is_whole=False)
    assert yard.start() == [urgent]


# --- against every subset ------------------------------------------------------------------------

TYPES = ("a::one", "a::threaded", "b::one", "b::threaded")
kinds = st.tuples(
    st.sampled_from(TYPES),
    st.sampled_from((None, "red", "green")),
    st.sampled_from((0, 64, 128, 255)),
    st.integers(0, 3),
    st.sampled_from(("runs", "runs", "runs", "is immune", "stops", "is overdue")),
)
caps = st.none() | st.integers(1, 4)
lowered = st.none() | st.integers(1, 2)


def deficit(cap: Slots, freed: Iterable[Start], everything: Slots) -> int:
    """How many slots are missing behind a cap for one more task."""
    if cap.cap is None:
        return 0
    free = sum(1 for start in freed if cap is everything or cap in start.lane.slots)
    return max(0, cap.held - free + 1 - cap.cap)


def fits(limits: Limits, lane_caps: Iterable[Slots], freed: Sequence[Start]) -> bool:
    return all(deficit(cap, freed, limits.all) == 0 for cap in (limits.all, *lane_caps))


@st.composite
def scenes(draw: st.DrawFn, *, may_lower: bool) -> tuple[Limits, list[Start], str, str | None, int]:
    drawn = draw(st.lists(kinds, max_size=7))
    ready = [task(n, k[0], k[1], priority=k[2]) for n, k in enumerate(drawn)]
    limits = limits_of(slots=max(1, len(ready)), preempt_at=128)
    starts = running(limits, *ready, at=[k[3] for k in drawn])
    for start, kind in zip(starts, drawn, strict=True):
        start.can_be_preempted = kind[4] != "is immune"
        start.is_stopping = kind[4] in ("stops", "is overdue")
        start.is_overdue = kind[4] == "is overdue"
    gates = [*limits.domains.values(), *limits.executors.values()]
    gates += [limits.group_gates(name).slots for name in ("red", "green")]
    for gate in gates:
        cap = draw(caps)
        gate.cap = cap if cap is None or may_lower else max(cap, gate.held)
    if draw(st.booleans()):
        limits.all.cap = len(ready) + 1
    priority = draw(st.sampled_from((0, 64, 100, 128)))
    return (
        limits,
        starts,
        draw(st.sampled_from(TYPES)),
        draw(st.sampled_from((None, "red"))),
        priority,
    )


def brute_force(
    limits: Limits, starts: Sequence[Start], lane_caps: Sequence[Slots], priority: int
) -> list[list[tuple[int, int]]] | None:
    """All smallest sets that make room, each as sorted (priority, start); None without one."""
    promised = [s for s in starts if s.is_stopping and not s.is_overdue]
    able = [
        s
        for s in starts
        if s.can_be_preempted and not s.is_stopping and s.ready.priority > priority
    ]
    for size in range(len(able) + 1):
        sets = [
            sorted((-s.ready.priority, -s.at_ns) for s in chosen)
            for chosen in combinations(able, size)
            if fits(limits, lane_caps, [*promised, *chosen])
        ]
        if sets:
            return sorted(sets)
    return None


@given(scenes(may_lower=False))
@settings(deadline=None, max_examples=300)
def test_the_fewest_stop_and_of_the_smallest_sets_the_least_urgent(
    scene: tuple[Limits, list[Start], str, str | None, int],
) -> None:
    limits, starts, kind, group, priority = scene
    lane = limits.lane(kind, group, priority)
    chosen = victims([Urgent(lane, 1, priority)], starts, limits.all, 0)
    best = brute_force(limits, starts, lane.slots, priority)
    assert not any(s.is_stopping or not s.can_be_preempted for s in chosen)
    assert all(s.ready.priority > priority for s in chosen)
    assert sorted((-s.ready.priority, -s.at_ns) for s in chosen) == (
        [] if best is None else best[0]
    )


@given(scenes(may_lower=True))
@settings(deadline=None, max_examples=300)
def test_the_fewest_stop_also_where_caps_were_lowered(
    scene: tuple[Limits, list[Start], str, str | None, int],
) -> None:
    limits, starts, kind, group, priority = scene
    lane = limits.lane(kind, group, priority)
    chosen = victims([Urgent(lane, 1, priority)], starts, limits.all, 0)
    best = brute_force(limits, starts, lane.slots, priority)
    assert len(chosen) == (0 if best is None else len(best[0]))


@given(scenes(may_lower=False), st.integers(1, 4))
@settings(deadline=None, max_examples=150)
def test_asked_again_while_they_stop_nobody_else_stops(
    scene: tuple[Limits, list[Start], str, str | None, int], count: int
) -> None:
    limits, starts, kind, group, priority = scene
    urgent = [Urgent(limits.lane(kind, group, priority), count, priority)]
    for start in victims(urgent, starts, limits.all, 0):
        start.is_stopping = True
    assert victims(urgent, starts, limits.all, 0) == []
