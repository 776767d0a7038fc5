"""Tasks run beside each other as long as what they are expected to move fits on every axis."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import Ready
from taskmill.model.errors import ConfigurationError
from taskmill.model.sharing import AXES, IoBudget
from taskmill.rules.iobudget import IoGate, IoLedger
from tests.rules.mill import Mill, checked, limits_of, task


def gates(capacity: IoBudget, *budgets: IoBudget) -> list[IoGate]:
    ledger = IoLedger(capacity)
    return [IoGate(f"a::{n}", budget, ledger) for n, budget in enumerate(budgets)]


def test_tasks_start_up_to_80_percent_of_the_capacity() -> None:
    [one] = gates(IoBudget(read=100), IoBudget(read=40))
    one.enter(0)
    assert one.is_open(0), "80 of 100"
    one.enter(0)
    assert not one.is_open(0)
    one.leave()
    assert one.is_open(0)


def test_one_byte_more_does_not_fit() -> None:
    some, rest, more = gates(
        IoBudget(sent=100), IoBudget(sent=50), IoBudget(sent=30), IoBudget(sent=31)
    )
    some.enter(0)
    assert rest.is_open(0)
    assert not more.is_open(0)


def test_a_task_that_needs_more_than_there_is_runs_alone() -> None:
    """Capacity is never what happens to be in use, so nothing waits for ever (B23)."""
    huge, small = gates(IoBudget(read=10), IoBudget(read=1_000), IoBudget(read=1))
    assert huge.is_open(0)
    huge.enter(0)
    assert not huge.is_open(0)
    assert not small.is_open(0)
    huge.leave()
    small.enter(0)
    assert not huge.is_open(0), "something runs on the axis"


def test_every_axis_of_a_task_needs_room_and_the_full_ones_are_named() -> None:
    reader, both, writer = gates(
        IoBudget(read=10, written=10),
        IoBudget(read=8),
        IoBudget(read=1, written=1),
        IoBudget(written=8),
    )
    reader.enter(0)
    assert both.full_axes() == ["read"], "nothing runs on the other"
    assert writer.is_open(0)
    writer.enter(0)
    assert both.full_axes() == ["read", "written"]


def test_an_axis_without_a_capacity_or_without_a_budget_counts_nothing() -> None:
    limits = limits_of(
        io={
            "a::one": IoBudget(read=5),
            "a::two": IoBudget(sent=5),
            "b::one": IoBudget(read=0, sent=0),
        },
        io_capacity=IoBudget(read=10),
    )
    kinds = {
        name: [gate for gate in limits.lane(name, None, 128).gates if isinstance(gate, IoGate)]
        for name in ("a::one", "a::two", "b::one", "c::one")
    }
    assert [name for name, found in kinds.items() if found] == ["a::one"]
    assert limits.io.axes == ("read",)


def test_a_task_that_stops_makes_room_for_other_types() -> None:
    limits = limits_of(
        io={"a::one": IoBudget(read=8), "b::one": IoBudget(read=4)}, io_capacity=IoBudget(read=10)
    )
    yard = Mill(limits)
    big, *small = (task(1, "a::one"), task(2, "b::one"), task(3, "b::one"), task(4, "b::one"))
    yard.add(big, *small)
    assert checked(yard) == [big]
    yard.finish(big)
    assert checked(yard) == small[:2]


def test_what_moves_nothing_is_not_held_by_what_does() -> None:
    limits = limits_of(io={"a::one": IoBudget(read=8)}, io_capacity=IoBudget(read=10))
    yard = Mill(limits)
    yard.add(task(1), task(2), task(3, "a::two"))
    assert checked(yard) == [task(1), task(3, "a::two")]


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf")])
def test_a_budget_that_cannot_be_meant_is_refused(wrong: float) -> None:
    for axis in AXES:
        with pytest.raises(ConfigurationError, match=axis):
            IoBudget(**{axis: wrong})


@given(st.integers(1, 10**12))
@settings(max_examples=300)
def test_four_fifths_in_whole_bytes_always_fit(fifth: int) -> None:
    """No rounding of the 80 % shuts out what is exactly 80 %."""
    first, second = gates(IoBudget(read=5 * fifth), IoBudget(read=fifth), IoBudget(read=3 * fifth))
    first.enter(0)
    assert second.is_open(0)


budgets = st.builds(
    IoBudget, read=st.integers(0, 12), written=st.integers(0, 12), sent=st.integers(0, 3)
)
TYPES = ("a::one", "a::two", "b::one")


@given(
    st.tuples(budgets, budgets, budgets),
    st.builds(IoBudget, read=st.integers(0, 20), written=st.integers(1, 20)),
    st.lists(st.integers(0, 2), max_size=15),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=100)
def test_no_axis_is_planned_beyond_its_room_by_more_than_one_task(
    given_budgets: Sequence[IoBudget],
    capacity: IoBudget,
    drawn: Sequence[int],
    random: object,
) -> None:
    io: dict[str, IoBudget] = dict(zip(TYPES, given_budgets, strict=True))
    yard = Mill(limits_of(io=io, io_capacity=capacity))
    waiting = [task(n, TYPES[kind], at=n) for n, kind in enumerate(drawn)]
    yard.add(*waiting)
    done: list[Ready] = []
    while yard.waiting or yard.running:
        checked(yard)
        assert yard.running, "something always runs"
        for axis in ("read", "written"):
            moved = [io[s.ready.type].on(axis) for s in yard.running.values()]
            using = [amount for amount in moved if amount]
            if capacity.on(axis):
                assert len(using) <= 1 or sum(using) <= 0.8 * capacity.on(axis)
                assert limits_expected(yard, axis) == sum(using)
        done.append(next(iter(yard.running.values())).ready)
        yard.finish(done[-1])
    assert sorted(done) == sorted(waiting)


def limits_expected(yard: Mill, axis: str) -> float:
    return yard.limits.io.expected(axis)
