"""What each group is entitled to: minimums first, the rest by weight, nothing left idle."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill.rules.entitlement import Demand, allocate

MANY = 1_000


@pytest.mark.parametrize(
    ("capacity", "groups", "slots"),
    [
        (8, {"a": Demand(tasks=MANY, weight=3), "b": Demand(tasks=MANY)}, [6, 2]),
        (4, {"a": Demand(tasks=MANY, weight=2), "b": Demand(tasks=MANY)}, [3, 1]),
        (8, {"a": Demand(tasks=1, weight=3), "b": Demand(tasks=MANY)}, [1, 7]),
        (8, {"a": Demand(tasks=MANY, cap=2, weight=9), "b": Demand(tasks=MANY)}, [2, 6]),
        (2, {"a": Demand(tasks=MANY, weight=100), "b": Demand(tasks=5, min_slots=2)}, [0, 2]),
        (4, {"a": Demand(tasks=MANY, min_slots=9, cap=3), "b": Demand(tasks=9)}, [3, 1]),
        (4, {"a": Demand(tasks=1, min_slots=3), "b": Demand(tasks=9)}, [1, 3]),
        (3, {"b": Demand(tasks=9), "a": Demand(tasks=9)}, [1, 2]),
        (0, {"a": Demand(tasks=9, min_slots=9)}, [0]),
        (9, {"a": Demand(tasks=2), None: Demand(tasks=3)}, [2, 3]),
    ],
)
def test_slots_are_divided_as_a_reader_would(
    capacity: int, groups: Mapping[str | None, Demand], slots: list[int]
) -> None:
    assert list(allocate(capacity, groups).values()) == slots


def test_what_one_cannot_use_goes_to_the_others_by_weight() -> None:
    """Never all of it to whoever is first (B7)."""
    groups: dict[str | None, Demand] = {
        "idle": Demand(tasks=0, weight=100),
        "a": Demand(tasks=MANY),
        "b": Demand(tasks=MANY),
        "c": Demand(tasks=MANY, weight=2),
    }
    assert allocate(12, groups) == {"idle": 0, "a": 3, "b": 3, "c": 6}


demands = st.builds(
    Demand,
    tasks=st.integers(0, 12),
    weight=st.integers(1, 9) | st.integers(1, 1_000),
    min_slots=st.integers(0, 6),
    cap=st.none() | st.integers(1, 8),
)
names = st.none() | st.sampled_from("abcdef")
some_groups = st.dictionaries(names, demands, max_size=6)
capacities = st.integers(0, 40)


@given(capacities, some_groups)
def test_every_slot_is_used_that_somebody_can_use_and_nobody_gets_more_than_that(
    capacity: int, groups: Mapping[str | None, Demand]
) -> None:
    slots = allocate(capacity, groups)
    assert all(0 <= slots[name] <= group.most for name, group in groups.items())
    assert sum(slots.values()) == min(capacity, sum(group.most for group in groups.values()))


@given(capacities, some_groups)
def test_minimums_come_before_everything_else(
    capacity: int, groups: Mapping[str | None, Demand]
) -> None:
    slots = allocate(capacity, groups)
    least = {name: min(group.min_slots, group.most) for name, group in groups.items()}
    if sum(least.values()) <= capacity:
        assert all(slots[name] >= least[name] for name in groups)
    else:
        assert all(slots[name] <= least[name] for name in groups)


@given(capacities, some_groups)
def test_more_capacity_never_takes_a_slot_from_a_group(
    capacity: int, groups: Mapping[str | None, Demand]
) -> None:
    fewer, more = allocate(capacity, groups), allocate(capacity + 1, groups)
    assert all(fewer[name] <= more[name] for name in groups)


@given(capacities, some_groups, st.randoms(use_true_random=False))
def test_the_order_of_the_groups_makes_no_difference(
    capacity: int, groups: Mapping[str | None, Demand], random: object
) -> None:
    items = list(groups.items())
    random.shuffle(items)  # type: ignore[attr-defined] # a Random; hypothesis does not say so
    assert allocate(capacity, dict(items)) == allocate(capacity, groups)


@given(capacities, some_groups)
def test_no_slot_moved_between_two_groups_brings_them_closer_to_their_weights(
    capacity: int, groups: Mapping[str | None, Demand]
) -> None:
    """Webster: whoever got a slot beyond its minimum had the best claim to it."""
    slots = allocate(capacity, groups)
    for taker, wants in groups.items():
        for giver, has in groups.items():
            floor = min(has.min_slots, has.most)
            if slots[taker] < wants.most and slots[giver] > floor:
                claim = Fraction(2 * slots[taker] + 1, wants.weight)
                assert claim >= Fraction(2 * slots[giver] - 1, has.weight)
