"""Slot time goes to groups by weight; idling, being held and long tasks earn and cost no more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import Ready
from taskmill.model.pauses import PauseScope
from taskmill.model.sharing import GroupPolicy
from taskmill.rules.shares import TICK, Share, Shares
from tests.rules.mill import SECOND, Mill, checked, mill, task

TENTH = SECOND // 10


def backlog(group: str, size: int, *, first: int, kind: str = "a::one") -> list[Ready]:
    return [task(number, kind, group) for number in range(first, first + size)]


def run(yard: Mill, seconds: float, *, lasts: float = 1) -> Counter[str | None]:
    """Let tasks that last so long run for some time; return the slot seconds of each group."""
    used: Counter[str | None] = Counter()
    end = yard.now_ns + round(seconds * SECOND)
    while yard.now_ns < end:
        yard.start()
        yard.wait(lasts)
        for start in list(yard.running.values()):
            if yard.now_ns - start.at_ns >= round(lasts * SECOND):
                used[start.ready.group] += round(lasts)
                yard.finish(start.ready)
    return used


# --- worked examples: the arithmetic -------------------------------------------------------------


def test_a_group_is_charged_its_estimates_and_then_what_it_really_used() -> None:
    shares = Shares([1, 2], is_fair=True)
    one, two = shares.open("one", 1, 0), shares.open("two", 2, 0)
    shares.start(one, "t", 0)
    shares.start(two, "t", 0)
    assert shares.value(one, 0) == 2 * shares.value(two, 0) > 0, "half the charge at weight 2"
    second = shares.value(one, 0)
    assert shares.value(one, SECOND) == second
    assert shares.value(one, 3 * SECOND) == 3 * second
    shares.end(one, "t", 0, SECOND // 2, is_whole=True)
    assert shares.value(one, 9 * SECOND) == second // 2
    assert shares.used(one) == 0.5


def test_estimates_follow_what_types_take_and_else_all_types() -> None:
    shares = Shares(is_fair=True)
    share = shares.open(None, 1, 0)
    assert shares.estimate("a") == SECOND
    for kind, took in (("a", 100), ("a", 200), ("b", 1_000)):
        shares.start(share, kind, 0)
        shares.end(share, kind, 0, took, is_whole=True)
    assert shares.estimate("a") == (7 * 100 + 3 * 200) // 10
    assert shares.estimate("b") == 1_000
    assert shares.estimate("c") == (7 * 130 + 3 * 1_000) // 10
    shares.start(share, "a", 0)
    shares.end(share, "a", 0, 10**9, is_whole=False)
    assert shares.estimate("a") == 130, "one that was stopped teaches nothing"


def test_who_starts_to_compete_is_raised_to_the_floor_and_never_lowered() -> None:
    shares = Shares(is_fair=True)
    idle, ahead = shares.open("idle", 1, 0), shares.open("ahead", 1, 0)
    ahead.paid = 9 * TICK
    shares.raise_floor(6)
    shares.raise_floor(5)
    assert shares.floor == 5 * TICK
    shares.compete(idle, 0)
    shares.compete(ahead, 0)
    assert (shares.value(idle, 0), shares.value(ahead, 0)) == (5 * TICK, 9 * TICK)
    assert shares.open("new", 1, 0).paid == 5 * TICK


def test_when_nothing_waited_everybody_starts_level() -> None:
    shares = Shares(is_fair=True)
    ended, running = shares.open("ended", 1, 0), shares.open("running", 1, 0)
    shares.start(ended, "t", 0)
    shares.end(ended, "t", 0, 700, is_whole=False)
    shares.nothing_waited(700)
    assert shares.floor == 700
    shares.start(running, "t", 0)
    shares.nothing_waited(5 * SECOND)
    assert shares.floor == shares.value(running, 5 * SECOND)


def test_groups_in_one_tick_are_level_and_the_oldest_task_goes_first() -> None:
    yard = mill(slots=1, fair=True)
    first, older = task(1, group="b"), task(2, group="b", at=1)
    younger, oldest = task(3, group="a", at=2), task(4, group="b", at=1)
    yard.add(first, older, younger, oldest)
    assert yard.start() == [first]
    yard.wait(0.004)
    yard.finish(first)
    assert yard.start() == [older], "though its group has used more"
    yard.wait(0.01)
    yard.finish(older)
    assert yard.start() == [younger], "a tick more counts"


def test_another_policy_starts_a_group_over_at_the_floor() -> None:
    shares = Shares(is_fair=True)
    share = shares.open("a", 1, 0)
    shares.start(share, "t", 0)
    shares.raise_floor(3 * SECOND // TICK + 1)
    shares.change(share, 4, 2, 9 * SECOND)
    assert shares.value(share, 9 * SECOND) == shares.floor
    assert (share.weight, share.min_slots) == (4, 2)


# --- worked examples: slots ----------------------------------------------------------------------


def test_weights_3_to_1_on_8_slots_hold_6_and_2_from_the_first_fill_on() -> None:
    yard = mill(slots=8, groups={"a": GroupPolicy(weight=3)})
    yard.add(*backlog("a", 200, first=0), *backlog("b", 200, first=1_000))
    for _ in range(20):
        checked(yard)
        assert yard.runs() == {"a": 6, "b": 2}
        yard.wait(1)
        yard.finish(*[start.ready for start in yard.running.values()])


def test_weights_3_to_1_on_1_slot_start_300_and_100_of_400() -> None:
    yard = mill(slots=1, groups={"a": GroupPolicy(weight=3)})
    yard.add(*backlog("a", 400, first=0), *backlog("b", 400, first=1_000))
    for _ in range(400):
        [ready] = yard.start()
        yard.wait(0.01)
        yard.finish(ready)
    started = Counter(ready.group for ready in yard.started)
    assert abs(started["a"] - 300) <= 2
    assert abs(started["b"] - 100) <= 2


@pytest.mark.parametrize("slots", [1, 2, 8])
def test_tasks_of_10_seconds_and_of_1_second_get_the_same_slot_time(slots: int) -> None:
    lasts = {"a::one": 10, "b::one": 1}
    yard = mill(slots=slots, fair=True)
    yard.add(*backlog("long", 300, first=0), *backlog("short", 1_500, first=1_000, kind="b::one"))
    used: Counter[str | None] = Counter()
    while sum(used.values()) < 1_800:
        yard.start()
        yard.wait(1)
        for start in list(yard.running.values()):
            if yard.now_ns - start.at_ns >= lasts[start.ready.type] * SECOND:
                used[start.ready.group] += lasts[start.ready.type]
                yard.finish(start.ready)
    assert abs(used["long"] - used["short"]) <= 0.02 * sum(used.values())


def test_a_group_back_from_idle_next_to_a_capped_one_gets_its_share_and_no_more() -> None:
    yard = mill(slots=8, groups={"capped": 1}, fair=True)
    yard.add(*backlog("capped", 3_000, first=0), *backlog("busy", 3_000, first=5_000))
    run(yard, 100)
    yard.add(*backlog("back", 3_000, first=10_000))
    used = run(yard, 40)
    assert used["capped"] == 40
    assert abs(used["busy"] - used["back"]) <= 10


def test_a_group_that_comes_while_all_slots_are_held_for_long_earns_nothing_by_that() -> None:
    """The others have used 8 slots for 10 minutes; that was nobody's to wait for but theirs."""
    yard = mill(slots=8, fair=True)
    long = backlog("busy", 8, first=0, kind="b::one")
    yard.add(*long, *backlog("busy", 500, first=100))
    yard.start()
    yard.wait(600)
    yard.look()
    yard.add(*backlog("new", 500, first=1_000))
    yard.finish(*long)
    used = run(yard, 20)
    assert abs(used["busy"] - used["new"]) <= 20


def test_the_time_is_looked_at_when_a_group_comes_and_not_when_it_was_last() -> None:
    """As above, and nothing has happened for 10 minutes when the new tasks are told of."""
    yard = mill(slots=8, fair=True)
    long = backlog("busy", 8, first=0, kind="b::one")
    yard.add(*long, *backlog("busy", 500, first=100))
    yard.start()
    yard.wait(600)
    yard.add(*backlog("new", 500, first=1_000))
    yard.start()
    yard.finish(*long)
    used = run(yard, 20)
    assert abs(used["busy"] - used["new"]) <= 20


@pytest.mark.parametrize("is_looked_at", [True, False])
def test_a_group_after_one_task_of_an_hour_gets_its_share(*, is_looked_at: bool) -> None:
    """Nothing waited for that hour, so nobody was owed anything."""
    yard = mill(slots=8, fair=True)
    [long] = backlog("one", 1, first=0, kind="b::one")
    yard.add(long)
    yard.start()
    yard.wait(3_599)
    if is_looked_at:
        yard.look()
    yard.add(*backlog("one", 500, first=100), *backlog("other", 500, first=1_000))
    yard.start()
    yard.wait(1)
    yard.finish(long)
    yard.finish(*[start.ready for start in yard.running.values()])
    used = run(yard, 20)
    assert abs(used["one"] - used["other"]) <= 20


def test_who_submits_one_at_a_time_gets_its_share_and_no_more() -> None:
    yard = mill(slots=1, fair=True)
    yard.add(*backlog("many", 1_000, first=0, kind="b::one"))
    number, used = 5_000, Counter[str | None]()
    lasts = {"a::one": 10, "b::one": 1}
    while sum(used.values()) < 800:
        mine = [*yard.waiting.values(), *(start.ready for start in yard.running.values())]
        if not any(ready.group == "one" for ready in mine):
            number += 1
            yard.add(task(number, "a::one", "one"))
        [ready] = yard.start()
        yard.wait(lasts[ready.type])
        used[ready.group] += lasts[ready.type]
        yard.finish(ready)
    assert used["one"] <= 0.55 * sum(used.values())
    assert used["many"] <= 0.6 * sum(used.values())


def test_minimums_hold_from_the_next_free_slot_on() -> None:
    yard = mill(slots=4, groups={"small": GroupPolicy(min_slots=2), "big": GroupPolicy(weight=99)})
    yard.add(*backlog("big", 50, first=0))
    checked(yard)
    yard.wait(5)
    yard.add(*backlog("small", 5, first=100))
    for expected in (1, 2, 2):
        yard.finish(next(s.ready for s in yard.running.values() if s.ready.group == "big"))
        checked(yard)
        assert yard.runs()["small"] == expected


def test_a_minimum_never_passes_the_cap_of_its_group() -> None:
    yard = mill(slots=8, groups={"small": GroupPolicy(min_slots=4, max_concurrency=2)})
    yard.add(*backlog("small", 9, first=0), *backlog("big", 9, first=100))
    checked(yard)
    assert yard.runs() == {"small": 2, "big": 6}


def test_an_urgent_task_goes_before_minimums_and_shares_and_is_charged() -> None:
    yard = mill(slots=1, groups={"small": GroupPolicy(min_slots=1)})
    urgent = task(99, group="big", priority=0)
    yard.add(*backlog("small", 3, first=0), urgent)
    assert checked(yard) == [urgent]
    assert yard.limits.shares.value(yard.limits.share("big"), 0) > 0


def test_all_free_slots_are_filled_in_one_decision() -> None:
    """What starts is counted once (B7)."""
    for slots in (1, 2, 7, 10):
        yard = mill(slots=slots, groups={"a": GroupPolicy(weight=2)})
        yard.add(*backlog("a", 20, first=0), *backlog("b", 20, first=100))
        assert len(checked(yard)) == slots


# --- a lane is never lost when an account changes ------------------------------------------------


def test_a_group_whose_value_falls_with_an_estimate_is_not_lost_at_its_gate() -> None:
    """The first end teaches that tasks are short: values fall, also of groups that are parked."""
    first, other, parked = task(1, "a::one", "c"), task(2, "b::one", "a"), task(3, "a::one", "a")
    yard = mill([first, other], domains={"a": 1}, fair=True, slots=3)
    checked(yard)
    yard.add(parked)
    checked(yard)
    yard.wait(0.1)
    yard.finish(first)
    assert checked(yard) == [parked]


def test_a_minimum_is_seen_again_after_the_group_was_empty() -> None:
    """The account changed while nothing of the group waited, so that nobody was told."""
    yard = mill(slots=2, groups={"small": GroupPolicy(min_slots=1), "big": GroupPolicy(weight=99)})
    [small] = backlog("small", 1, first=0)
    yard.add(small, *backlog("big", 9, first=10))
    checked(yard)
    yard.wait(5)
    yard.finish(small)
    yard.add(*backlog("small", 1, first=1))
    assert checked(yard) == backlog("small", 1, first=1)


def test_a_group_that_was_refunded_while_it_was_empty_is_not_lost() -> None:
    """Its value is smaller when it comes back than when it was last seen."""
    yard = mill(slots=2, fair=True)
    [long], [short] = backlog("long", 1, first=0), backlog("short", 1, first=10, kind="b::one")
    yard.add(long, *backlog("long", 9, first=1))
    yard.start()
    yard.wait(2)
    yard.add(short)
    yard.finish(long)
    yard.start()
    yard.start()
    if short.id in yard.running:
        yard.wait(0.1)
        yard.finish(short)
    yard.add(*backlog("short", 3, first=11, kind="b::one"))
    for _ in range(12):
        checked(yard)
        yard.wait(0.1)
        yard.finish(*[start.ready for start in yard.running.values()])
    assert not yard.waiting


def test_a_group_whose_cap_is_set_keeps_its_place() -> None:
    """Nothing but the cap is changed; the account starts over and the lane has to move with it."""
    yard = mill(slots=2, fair=True)
    red = backlog("red", 1, first=0)
    yard.add(*red)
    yard.start()
    yard.wait(5)
    yard.finish(*red)
    blocker = backlog("blue", 2, first=10)
    yard.add(*blocker, *backlog("red", 1, first=1))
    yard.start()
    yard.wait(1)
    yard.add(*backlog("red", 2, first=2), *backlog("green", 1, first=20))
    yard.start()
    yard.set_group("red", GroupPolicy(max_concurrency=5))
    for _ in range(8):
        yard.finish(*[start.ready for start in yard.running.values()])
        yard.wait(1)
        checked(yard)
    assert not yard.waiting


def test_of_the_lanes_behind_an_open_gate_the_best_goes_first_after_other_accounts_changed() -> (
    None
):
    """The gate woke one lane; before it was asked, another group was refunded."""
    yard = mill(domains={"a": 1}, fair=True, slots=4)
    hold, long = task(1, "a::one", "hold"), task(2, "b::one", "refunded")
    yard.add(hold, long, task(3, "c::one", "other"))
    yard.start()
    yard.add(task(4, "a::one", "refunded"), task(5, "a::one", "other"))
    yard.start()
    yard.wait(0.5)
    yard.finish(task(3, "c::one", "other"), hold, is_whole=False)
    yard.finish(long, is_whole=False)
    yard.wait(0)
    checked(yard)


def test_the_floor_stays_where_a_group_is_no_longer_expected_to_use_much() -> None:
    """A group comes after a short task has ended, before the next decision sees what that means."""
    yard = mill(slots=3, fair=True, groups={name: GroupPolicy() for name in "abcdex"})
    yard.pause(PauseScope.GROUP, "z")
    long, short = task(2, group="x"), task(3, group="d")
    yard.add(task(1, group="z"), long)
    yard.start()
    yard.wait(1.5)
    yard.finish(long, is_whole=False)
    yard.add(short, task(4, group="a"), task(5, group="a"))
    assert len(yard.start()) == 3
    passed = task(6, group="b", at=905), task(8, group="e", at=950)
    yard.add(passed[0], task(7, group="a", at=900), passed[1])
    for ready in passed:
        yard.cancel(ready)
    yard.wait(0.001)
    yard.finish(short)
    floor = yard.limits.shares.floor
    yard.add(task(9, group="c", at=1002))
    assert yard.limits.shares.floor == floor, "a is at 2 ms, not at the 2 s it was expected to use"


def test_groups_that_come_and_go_at_a_gate_leave_nothing_there() -> None:
    yard = mill(slots=4, domains={"a": 1}, fair=True)
    for number in range(300):
        yard.add(task(number + 1, "a::one", f"g{number}", at=yard.now_ms))
        yard.start()
        if number > 8:
            yard.wait(0.01)
            yard.finish(*[start.ready for start in yard.running.values()])
            yard.start()
    [pool] = yard.queue._parked.values()
    assert len(pool._gates) < 40


def test_groups_behind_one_gate_take_turns_after_a_group_of_another_weight_came() -> None:
    yard = mill(slots=8, domains={"a": 1}, fair=True)

    def turns(number: int) -> Counter[str | None]:
        started: Counter[str | None] = Counter()
        for _ in range(number):
            started.update(ready.group for ready in yard.start())
            yard.wait(1)
            yard.finish(*[start.ready for start in yard.running.values()])
        return started

    yard.set_group("new", GroupPolicy(weight=7))
    for group, first in (("red", 100), ("green", 200)):
        yard.add(*[task(first + n, "a::one", group) for n in range(40)])
    assert turns(12) == {"red": 6, "green": 6}
    yard.add(task(1, "c::one", "new"), *[task(300 + n, "a::one", "blue") for n in range(40)])
    assert turns(24) == {"red": 8, "green": 8, "blue": 8, "new": 1}


def test_changing_weights_for_ever_keeps_nothing() -> None:
    yard = mill([task(1, "a::one", "red"), task(2, "b::one", "red")], slots=1, fair=True)
    for number in range(200):
        yard.set_group("red", GroupPolicy(weight=1 + number % 3))
    share = yard.limits.share("red")
    assert len(yard.queue._parked_of.get(share, ())) <= 3


def test_ten_thousand_groups_that_came_and_went_leave_no_accounts() -> None:
    yard = mill(slots=1, fair=True)
    for number in range(10_000):
        ready = task(number, "a::one", f"g{number}")
        yard.add(ready)
        assert yard.start() == [ready]
        yard.finish(ready)
    assert len(list(yard.limits.shares.all())) < 3_000


# --- against an exact model ----------------------------------------------------------------------


@attrs.define
class Account:
    """The definition of v, in seconds of slot time by weight."""

    weight: int
    base: Fraction = Fraction(0)
    running: list[tuple[str, int]] = attrs.field(factory=list[tuple[str, int]])


@attrs.define
class Model:
    accounts: dict[str, Account] = attrs.field(factory=dict[str, Account])
    estimates: dict[str, int] = attrs.field(factory=dict[str, int])
    overall: int | None = None
    floor: Fraction = Fraction(0)

    def estimate(self, kind: str) -> int:
        return self.estimates.get(kind, SECOND if self.overall is None else self.overall)

    def value(self, name: str, now: int) -> Fraction:
        account = self.accounts[name]
        charge = sum(max(self.estimate(kind), now - at) for kind, at in account.running)
        return account.base + Fraction(charge, account.weight)

    def learn(self, kind: str, used: int) -> None:
        old = self.estimates.get(kind)
        self.estimates[kind] = used if old is None else (7 * old + 3 * used) // 10
        all_ = self.overall
        self.overall = used if all_ is None else (7 * all_ + 3 * used) // 10


names = st.sampled_from("abcd")
types = st.sampled_from(("s", "t", "u"))
acts = st.one_of(
    st.tuples(st.just("start"), names, types),
    st.tuples(st.just("end"), names, st.booleans()),
    st.tuples(st.just("wait"), st.integers(0, 3 * SECOND), st.none()),
    st.tuples(st.just("compete"), names, st.none()),
    st.tuples(st.just("raise"), st.integers(0, 5), st.none()),
    st.tuples(st.just("change"), names, st.integers(1, 12)),
    st.tuples(st.just("nothing"), st.none(), st.none()),
)


@given(st.lists(st.integers(1, 12), min_size=4, max_size=4), st.lists(acts, max_size=40))
@settings(deadline=None, max_examples=200)
def test_values_are_exactly_those_of_the_formula(  # noqa: C901 - one branch for each event
    weights: Sequence[int], drawn: Sequence[tuple[str, object, object]]
) -> None:
    """Also when a weight comes that no value was a whole multiple of."""
    shares, model, now = Shares(is_fair=True), Model(), 0
    highest = Fraction(0)
    mine: dict[str, Share] = {}
    for act, first, second in drawn:
        if isinstance(first, str) and first not in mine:
            weight = weights["abcd".index(first)]
            mine[first] = shares.open(first, weight, 0)
            model.accounts[first] = Account(weight=weight, base=model.floor)
        match act, first, second:
            case "start", str(name), str(kind):
                shares.start(mine[name], kind, now)
                model.accounts[name].running.append((kind, now))
            case "end", str(name), bool(is_whole):
                account = model.accounts[name]
                if account.running:
                    kind, at = account.running.pop(0)
                    shares.end(mine[name], kind, at, now, is_whole=is_whole)
                    account.base += Fraction(now - at, account.weight)
                    highest = max(highest, account.base)
                    if is_whole:
                        model.learn(kind, now - at)
            case "wait", int(length), _:
                now += length
            case "compete", str(name), _:
                shares.compete(mine[name], now)
                behind = model.floor - model.value(name, now)
                model.accounts[name].base += max(Fraction(0), behind)
            case "raise", int(_), _ if mine:
                lowest = min(mine, key=lambda name: model.value(name, now))
                shares.raise_floor(shares.tick(mine[lowest], now))
                tick = model.value(lowest, now) // TICK
                model.floor = max(model.floor, Fraction((tick - 1) * TICK))
            case "change", str(name), int(weight):
                shares.change(mine[name], weight, 0, now)
                model.accounts[name].weight = weight
                model.accounts[name].base += model.floor - model.value(name, now)
                highest = max(highest, model.accounts[name].base)
            case "nothing", _, _:
                shares.nothing_waited(now)
                held = (model.value(n, now) for n in mine if model.accounts[n].running)
                model.floor = max(model.floor, highest, max(held, default=Fraction(0)))
            case _:
                pass
        scale = shares._scale
        assert Fraction(shares.floor, scale) == model.floor
        for name, share in mine.items():
            assert Fraction(shares.value(share, now), scale) == model.value(name, now)
            assert share.held == len(model.accounts[name].running)
