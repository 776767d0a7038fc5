"""Of many things that each wait for one time, the soonest comes out first, and once."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from taskmill.engine.queue.timers import Timers


def test_the_soonest_time_that_was_set_for_an_item_counts() -> None:
    timers = Timers[str]()
    assert timers.next() is None
    timers.set("a", 20)
    timers.set("b", 15)
    timers.set("a", 10)
    timers.set("a", 30)
    assert timers.next() == 10
    assert list(timers.due(15)) == ["a", "b"]
    assert timers.next() is None
    assert list(timers.due(100)) == []


def test_an_item_may_be_set_again_while_it_comes_out() -> None:
    timers = Timers[str]()
    timers.set("a", 1)
    for item in timers.due(1):
        timers.set(item, 5)
    assert timers.next() == 5


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9), st.booleans()), max_size=40))
def test_timers_are_a_dictionary_of_the_soonest_times(
    steps: Sequence[tuple[str, int, bool]],
) -> None:
    timers, at = Timers[str](), dict[str, int]()
    for item, time, is_look in steps:
        if is_look:
            due = sorted(name for name, when in at.items() if when <= time)
            assert sorted(timers.due(time)) == due
            at = {name: when for name, when in at.items() if when > time}
        else:
            timers.set(item, time)
            at[item] = min(time, at.get(item, time))
        assert timers.next() == min(at.values(), default=None)
