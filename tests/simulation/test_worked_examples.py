"""The worked examples of the share rule hold when the real decisions are played in virtual time."""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import attrs
import pytest

from taskmill.model.policies import Priority
from taskmill.model.sharing import Aging, GroupPolicy, RateLimit
from taskmill.simulation.simulate import simulate
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
    Workload,
)
from tests.simulation.mills import Watcher, backlog, seconds, workload

THREE_TO_ONE = {"a": GroupPolicy(weight=3), "b": GroupPolicy()}
LONG_AND_SHORT = {"long": TaskType(domain="d"), "d": TaskType(domain="d")}


def fair(given: Workload) -> Workload:
    return attrs.evolve(given, fair=True)


def watch(given: Workload) -> Watcher:
    watcher = Watcher()
    simulate(given, watch=watcher)
    return watcher


# --- weights ---


def test_weights_3_to_1_hold_6_and_2_of_8_slots_from_the_first_fill_on() -> None:
    seen = watch(workload(backlog(2000, "a"), backlog(2000, "b"), groups=THREE_TO_ONE, until=200))
    assert len(seen.held) == 200
    assert {tuple(sorted(held.items())) for _, held in seen.held} == {(("a", 6), ("b", 2))}


def test_weights_3_to_1_start_300_and_100_of_400_tasks_on_one_slot() -> None:
    given = workload(backlog(500, "a"), backlog(500, "b"), slots=1, groups=THREE_TO_ONE, until=400)
    starts = watch(given).first(400)
    assert abs(starts["a"] - 300) <= 2
    assert abs(starts["b"] - 100) <= 2


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_groups_with_long_and_short_tasks_get_the_same_slot_time(slots: int) -> None:
    given = workload(
        backlog(300, "a", kind="long", runs=10),
        backlog(3000, "b"),
        slots=slots,
        types=LONG_AND_SHORT,
        until=2100 / slots,
    )
    time = watch(fair(given)).slot_time(1000)
    assert abs(time["a"] - time["b"]) <= 0.02 * sum(time.values())


# --- no burst, no starvation ---


def test_a_group_back_from_idle_shares_with_a_busy_one_beside_a_capped_one() -> None:
    given = workload(
        backlog(1000, "capped"),
        backlog(6000, "busy"),
        backlog(1000, "back", at=600),
        groups={"capped": GroupPolicy(max_concurrency=1)},
        until=700,
    )
    after = watch(fair(given)).after(602)
    shapes = {(held["capped"], held["busy"], held["back"]) for held in after}
    assert shapes == {(1, 3, 4), (1, 4, 3)}
    assert abs(sum(held["busy"] - held["back"] for held in after)) <= 1


def test_a_group_gets_its_half_right_after_a_task_of_an_hour() -> None:
    given = workload(
        backlog(1, "a", kind="long", runs=3600),
        backlog(27_000, "b"),
        backlog(1000, "a", at=3599.5),
        types=LONG_AND_SHORT,
        until=3700,
    )
    after = watch(fair(given)).after(3600)
    assert {(held["a"], held["b"]) for held in after} == {(4, 4)}


def test_a_group_with_a_task_of_an_hour_under_way_keeps_its_half() -> None:
    given = workload(
        backlog(1, "a", kind="long", runs=3600),
        backlog(1000, "a", at=3580),
        backlog(1000, "b", at=3580),
        slots=2,
        types=LONG_AND_SHORT,
        until=3700,
    )
    after = watch(fair(given)).after(3581)
    assert {(held["a"], held["b"]) for held in after} == {(1, 1)}


def test_a_submitter_of_one_task_at_a_time_gets_its_half_and_no_more() -> None:
    clients = Clients(count=1, think=seconds(1 / 3))
    one_by_one = Arrivals(type="long", group="a", when=clients, runs=Constant(seconds(10)))
    given = workload(one_by_one, backlog(3000, "b"), slots=1, types=LONG_AND_SHORT, until=2000)
    seen = watch(fair(given))
    runs = [list(run) for _, run in groupby(run.task.ready.group for _, run in seen.starts)]
    assert max(len(run) for run in runs if run[0] == "a") == 1, "no burst"
    assert max(len(run) for run in runs if run[0] == "b") <= 20, "no starvation"
    time = seen.slot_time(len(seen.starts))
    assert abs(time["a"] - time["b"]) <= 0.02 * sum(time.values())


def test_a_submitter_of_one_short_task_at_a_time_gets_its_tenth_too() -> None:
    """It is level with nine others for ten of its tasks, and its head is the youngest of all."""
    moment = Constant(seconds(0.001))
    clients = Clients(count=1, think=seconds(0.0003))
    one_by_one = Arrivals(type="d", group="a", when=clients, runs=moment)
    others = [backlog(700, f"b{n}", runs=0.001) for n in range(9)]
    seen = watch(fair(workload(one_by_one, *others, slots=1, until=5)))
    time = seen.slot_time(len(seen.starts))
    assert abs(time["a"] - sum(time.values()) / 10) <= 0.02 * sum(time.values())
    runs = [list(run) for _, run in groupby(run.task.ready.group == "a" for _, run in seen.starts)]
    assert max(map(len, runs)) <= 110, "the others wait for it, or it for them, for a tick each"


@pytest.mark.parametrize("cap", [1, 4])
@pytest.mark.parametrize("runs", [Constant(seconds(1)), Exponential(seconds(1))], ids=str)
def test_groups_behind_one_capped_domain_neither_starve_nor_burst(
    cap: int, runs: Constant | Exponential
) -> None:
    def load(kind: str, group: str) -> Arrivals:
        return Arrivals(type=kind, group=group, when=Backlog(count=5000), runs=runs)

    given = workload(
        load("x", "a"),
        load("x", "b"),
        load("y", "c"),
        groups=THREE_TO_ONE,
        domains={"x": cap, "y": None},
        until=400,
    )
    seen = watch(given)
    behind = [group for _, run in seen.starts if (group := run.task.ready.group) != "c"]
    for first in range(0, len(behind) - 40, 40):
        part = Counter(behind[first : first + 40])
        assert 5 <= part["b"] <= 22, "a group of weight 1 beside one of weight 3"
    time = seen.slot_time(len(seen.starts))
    assert time["a"] >= 2 * time["b"], "most of the slot time behind the cap is for weight 3"
    full = [held["a"] + held["b"] == cap for held in seen.after(1)]
    assert sum(full) >= 0.75 * len(full), "long runs are paid for, so c is owed a slot at times"


def test_a_group_that_ran_out_of_tasks_competes_again_with_its_next_one() -> None:
    stream = Stream(rate=10, until=seconds(100))
    given = workload(
        *(
            Arrivals(type="d", group=group, when=stream, runs=Exponential(seconds(0.08)))
            for group in "ab"
        ),
        slots=2,
        groups=THREE_TO_ONE,
    )
    outcome = simulate(given)
    assert outcome.waiting == 0
    assert outcome.length < seconds(110)


# --- passes ---


def test_minimums_are_held_from_the_next_free_slot_on() -> None:
    given = workload(
        backlog(8, "a", runs=1.5),
        backlog(5000, "a"),
        backlog(300, "b", at=10.6),
        groups={"a": GroupPolicy(weight=100), "b": GroupPolicy(min_slots=3)},
        until=100,
    )
    given = attrs.evolve(
        given,
        arrivals=[
            attrs.evolve(each, runs=Constant(seconds(1 + number / 7)))
            for number, each in enumerate(given.arrivals)
        ],
    )
    seen = watch(given)
    later = seen.after(10.6)
    while later[0]["b"] < 3:
        before, later = later[0], later[1:]
        assert later[0]["b"] >= before["b"]
        assert later[0]["a"] <= before["a"], "no slot goes to a group that is above its minimum"
    assert min(held["b"] for held in later) == 3


def test_urgent_tasks_go_before_minimums_and_shares() -> None:
    given = workload(
        backlog(100, "a"),
        backlog(100, "b"),
        backlog(20, "c", at=0.5, priority=Priority.REALTIME),
        slots=4,
        groups={"a": GroupPolicy(weight=1000), "b": GroupPolicy(min_slots=4)},
        types={"d": TaskType(domain="d", preemptible=False)},
        until=20,
    )
    seen = watch(given)
    urgent = [at for at, run in seen.starts if run.task.ready.group == "c"]
    assert urgent == [float(at) for at in range(1, 6) for _ in range(4)]


def test_a_task_that_has_aged_to_urgent_goes_before_all_shares() -> None:
    steady = Stream(rate=1, spacing=Spacing.REGULAR)
    given = workload(
        Arrivals(type="d", group="a", when=steady, runs=Constant(seconds(1)), priority=255),
        backlog(5, "a", priority=255),
        backlog(2, "b", priority=255),
        slots=1,
        groups={"a": GroupPolicy(weight=1000)},
        until=200,
    )
    aging = Aging(grace=seconds(10), step=seconds(0.5), ceiling=200, urgent=200)
    seen = watch(attrs.evolve(given, aging=aging))
    _, started = (at for at, run in seen.starts if run.task.ready.group == "b")
    assert started == 38.0, "10 s of grace and 55 steps of 0.5 s, then the next free slot"


@pytest.mark.parametrize("wanted", [1, 2, 5])
def test_preemption_stops_exactly_as_many_as_are_needed(wanted: int) -> None:
    given = workload(
        backlog(6, "a", runs=100),
        backlog(wanted, "b", at=10, priority=Priority.REALTIME),
    )
    outcome = simulate(given)
    assert outcome.preempted == max(0, wanted - 2)
    assert outcome.priorities[0].most == seconds(0)
    assert outcome.lost == seconds(10 * max(0, wanted - 2))
    assert (outcome.ended, outcome.waiting) == (6 + wanted, 0)


def test_a_preempted_task_starts_again_at_its_old_place() -> None:
    given = workload(
        backlog(3, runs=10), backlog(1, at=5, runs=1, priority=Priority.REALTIME), slots=1
    )
    seen = watch(given)
    order = [(at, int(run.task.ready.id)) for at, run in seen.starts]
    assert order == [(0, 1), (5, 4), (6, 1), (16, 2), (26, 3)]


def test_a_task_that_was_preempted_three_times_is_left_alone() -> None:
    urgent = [backlog(1, at=at, runs=1, priority=Priority.REALTIME) for at in (5, 10, 15, 20)]
    outcome = simulate(workload(backlog(1, runs=30), *urgent, slots=1))
    assert outcome.preempted == 3
    assert outcome.length == seconds(16 + 30 + 1)


# --- what else holds starts ---


def test_a_rate_lets_so_many_start_in_each_interval_after_its_burst() -> None:
    limit = RateLimit(2, per=seconds(1), burst=4)
    seen = watch(workload(backlog(10), types={"d": TaskType(domain="d", rate=limit)}))
    assert [at for at, _ in seen.starts] == [0, 0, 0, 0, 0.5, 1, 1.5, 2, 2.5, 3]


def test_a_paused_group_holds_nothing_and_goes_on_at_the_end_of_its_pause() -> None:
    pause = GroupPause(group="a", start=seconds(10.5), until=seconds(20.25))
    seen = watch(
        attrs.evolve(workload(backlog(400, "a"), backlog(400, "b"), until=40), pauses=[pause])
    )
    during = [held for at, held in seen.held if 10.5 <= at < 20.25]
    assert {(held["a"], held["b"]) for held in during} == {(0, 8)}
    resumed = next(at for at, run in seen.starts if at > 10.5 and run.task.ready.group == "a")
    assert resumed == 20.5 or resumed == 21.0


def test_a_pause_that_does_not_interrupt_lets_what_runs_end() -> None:
    pause = GroupPause(group="a", start=seconds(0.5), until=seconds(5), interrupt=False)
    given = attrs.evolve(workload(backlog(16, "a"), until=20), pauses=[pause])
    outcome = simulate(given)
    assert (outcome.paused, outcome.ended) == (0, 16)
    assert outcome.groups["a"].waits.most == seconds(5)
