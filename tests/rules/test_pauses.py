"""Pauses of scheduler, domain and group are independent: a task starts when none holds it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.rules.aging import AgeClock
from taskmill.rules.pauses import Pauses, moved
from tests.rules.mill import checked, mill, task

SCHEDULER, DOMAIN, GROUP = PauseScope.SCHEDULER, PauseScope.DOMAIN, PauseScope.GROUP
PLACES = ((SCHEDULER, ""), (DOMAIN, "a"), (DOMAIN, "b"), (GROUP, "red"), (GROUP, "green"))


def pause(
    scope: PauseScope, name: str = "", *, since: int = 0, until: int | None = None
) -> PauseRecord:
    return PauseRecord(scope=scope, name=name, since_ms=since, until_ms=until)


def test_each_pause_holds_what_it_names_and_nothing_else() -> None:
    pauses = Pauses()
    pauses.hold(pause(DOMAIN, "a"))
    assert pauses.holds("a", None)
    assert pauses.holds("a", "red")
    assert not pauses.holds("b", "a"), "a group is no domain"
    pauses.hold(pause(GROUP, "red"))
    assert pauses.holds("b", "red")
    pauses.end(DOMAIN, "a", 10)
    assert pauses.holds("a", "red"), "each is lifted by itself"
    assert not pauses.holds("a", None)
    pauses.hold(pause(SCHEDULER))
    assert pauses.holds("c", None)


def test_what_every_task_has_come_after_is_forgotten_and_nothing_else() -> None:
    pauses = Pauses()
    for since, ended in ((0, 100), (200, 300), (400, 500)):
        pauses.hold(pause(GROUP, "red", since=since))
        pauses.end(GROUP, "red", ended)
    before = pauses.changes
    pauses.forget(300)
    assert pauses.changes > before, "lanes are to take another clock"
    assert pauses.age_clock("a", "red").waited(0, 1000) == 900, "the last one is remembered"
    assert pauses.age_clock("a", "red").waited(300, 1000) == 600
    pauses.forget(500)
    assert pauses.age_clock("a", "red") is Pauses().age_clock("a", "red"), "as if there were none"


def test_what_is_loaded_takes_the_place_of_all_that_was_known() -> None:
    pauses = Pauses()
    pauses.hold(pause(SCHEDULER, since=0))
    pauses.end(SCHEDULER, "", 100)
    assert pauses.age_clock("a", None).waited(0, 1000) == 900
    pauses.load([pause(SCHEDULER, since=400)])
    assert pauses.age_clock("a", None).waited(0, 1000) == 400


def test_a_domain_pause_holds_new_tasks_as_it_holds_old_ones() -> None:
    """A flag that the gates ask, not a mark on rows: what comes later obeys it too (B9)."""
    old, new, other = task(1, "a::one"), task(2, "a::two"), task(3, "b::one")
    yard = mill([old, other])
    yard.pause(DOMAIN, "a")
    assert checked(yard) == [other]
    yard.add(new)
    assert checked(yard) == []
    assert yard.queue.startable == 0
    yard.resume(DOMAIN, "a")
    assert checked(yard) == [old, new]


def test_a_group_pause_holds_new_tasks_in_lanes_that_were_not_there() -> None:
    yard = mill()
    yard.pause(GROUP, "red")
    yard.add(task(1, "a::one", "red"), task(2, "b::one", "red"), task(3, "a::one", "green"))
    assert checked(yard) == [task(3, "a::one", "green")]
    yard.resume(GROUP, "red")
    assert checked(yard) == [task(1, "a::one", "red"), task(2, "b::one", "red")]


def test_a_task_under_two_pauses_starts_when_both_are_lifted_in_any_order() -> None:
    for first, second in (((DOMAIN, "a"), (GROUP, "red")), ((GROUP, "red"), (DOMAIN, "a"))):
        yard = mill([task(1, "a::one", "red")])
        yard.pause(*first)
        yard.pause(*second)
        assert checked(yard) == []
        yard.resume(*first)
        assert checked(yard) == []
        yard.resume(*second)
        assert checked(yard) == [task(1, "a::one", "red")]


def test_calling_again_moves_the_deadline_and_keeps_the_beginning() -> None:
    pauses = Pauses()
    pauses.hold(pause(GROUP, "red", since=5, until=100))
    pauses.hold(pause(GROUP, "green", since=5, until=70))
    record = pauses.find(GROUP, "red")
    assert record is not None
    pauses.hold(moved(record, 50))
    assert pauses.find(GROUP, "red") == pause(GROUP, "red", since=5, until=50)
    assert pauses.next_end() == 50
    assert pauses.due(49) == []
    assert [due.name for due in pauses.due(50)] == ["red"]
    pauses.hold(moved(record, None))
    assert pauses.next_end() == 70


def test_ending_what_does_not_hold_changes_nothing() -> None:
    pauses = Pauses()
    pauses.end(GROUP, "red", 10)
    assert pauses.held() == []
    assert pauses.age_clock("a", "red").waited(0, 20) == 20


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("ended", [10, 9])
def test_a_pause_that_ends_in_its_own_millisecond_does_not_stop_ages_for_ever(
    place: tuple[PauseScope, str], ended: int
) -> None:
    pauses = Pauses()
    pauses.hold(PauseRecord(scope=place[0], name=place[1], since_ms=2))
    pauses.end(*place, 4)
    pauses.hold(PauseRecord(scope=place[0], name=place[1], since_ms=10))
    for domain in "ab":
        for group in ("red", "green"):
            pauses.age_clock(domain, group)
    pauses.end(*place, ended)
    for domain in "ab":
        for group in ("red", "green"):
            assert pauses.age_clock(domain, group).waited(5, 100) == 95


def test_what_the_store_held_is_what_holds() -> None:
    pauses = Pauses()
    pauses.hold(pause(GROUP, "gone"))
    closed = PauseRecord(scope=DOMAIN, name="a", since_ms=10, ended_ms=30)
    pauses.load([closed, pause(SCHEDULER, since=50)])
    assert pauses.held() == [pause(SCHEDULER, since=50)]
    assert pauses.age_clock("a", None).waited(0, 60) == 30
    assert pauses.age_clock("b", "gone").waited(0, 60) == 50


def test_a_clock_set_forward_makes_nobody_older() -> None:
    pauses = Pauses()
    pauses.clock_jumped(100, 10_100)
    assert pauses.age_clock("a", None).waited(0, 10_200) == 200


actions = st.lists(
    st.tuples(st.sampled_from(PLACES), st.booleans(), st.integers(0, 10)), max_size=20
)


@given(actions, st.sampled_from("abc"), st.none() | st.sampled_from(("red", "green", "blue")))
@settings(deadline=None, max_examples=200)
def test_the_clock_of_a_task_stands_still_while_any_pause_of_its_own_holds(
    drawn: Sequence[tuple[tuple[PauseScope, str], bool, int]], domain: str, group: str | None
) -> None:
    """Against one flag for each scope that is looked at each millisecond."""
    pauses, flags, now, waited = Pauses(), set[tuple[PauseScope, str]](), 0, 0
    own = {(SCHEDULER, ""), (DOMAIN, domain), (GROUP, group)}
    for place, is_on, wait in drawn:
        if is_on and place not in flags:
            pauses.hold(PauseRecord(scope=place[0], name=place[1], since_ms=now))
            flags.add(place)
        elif not is_on:
            pauses.end(*place, now)
            flags.discard(place)
        held = bool(flags & own)
        assert pauses.holds(domain, group) == held
        assert pauses.age_clock(domain, group).waited(0, now) == waited
        now += wait
        waited += 0 if held else wait
        assert pauses.age_clock(domain, group).waited(0, now) == waited
    assert isinstance(pauses.age_clock(domain, group), AgeClock)
