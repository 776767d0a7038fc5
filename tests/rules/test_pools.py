"""The lane that goes first is the best of all lanes, through any changes of keys and accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TypeAlias, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from taskmill.engine.queue.heap import Heap
from taskmill.engine.queue.lanes import Key, LaneQueue
from taskmill.engine.queue.pools import Pool
from taskmill.rules.gates import GateKind, Slots
from taskmill.rules.shares import TICK, Share, Shares
from tests.rules.mill import SECOND, limits_of

Order: TypeAlias = tuple[object, ...]
T = TypeVar("T")


def lane_queue(share: Share, number: int) -> LaneQueue:
    return LaneQueue(limits_of().lane("a::one", f"g{number}", 128), share)


# --- heaps ---------------------------------------------------------------------------------------


def in_order(keys: Mapping[T, int | None]) -> Callable[[T], tuple[int] | None]:
    """The key of an item of a heap: the number that ``keys`` has for it, if it has one."""

    def key(item: T) -> tuple[int] | None:
        number = keys.get(item)
        return None if number is None else (number,)

    return key


def test_a_heap_keeps_the_best_through_any_number_of_pushes() -> None:
    keys = dict.fromkeys(range(100), 0)
    heap = Heap[int](in_order(keys))
    for round_ in range(50):
        for item in range(100):
            keys[item] = (item * 37 + round_) % 101
            heap.push(item)
    taken: list[int] = []
    while (best := heap.peek()) is not None:
        taken.append(best)
        del keys[best]
    assert taken == sorted(range(100), key=lambda item: (item * 37 + 49) % 101)


def test_a_heap_drops_what_has_moved_on_and_what_never_belonged() -> None:
    keys: dict[str, int | None] = {"moved": 1, "stays": 2, "never": None}
    heap = Heap[str](in_order(keys))
    for item in keys:
        heap.push(item)
    assert heap.peek() == "moved"
    keys["moved"] = None
    assert heap.peek() == "stays"
    assert heap.items() == ["stays"]
    keys["stays"] = None
    assert heap.peek() is None


def test_a_heap_stays_as_small_as_what_is_in_it() -> None:
    keys = {"a": 0, "b": 10**9}
    heap = Heap[str](in_order(keys))
    heap.push("b")
    for number in range(10_000):
        keys["a"] = -number
        heap.push("a")
    assert len(heap.entries) <= 200
    assert heap.peek() == "a"


def test_an_item_whose_key_got_smaller_unseen_is_never_lost() -> None:
    keys = {"a": 5, "b": 7}
    heap = Heap[str](in_order(keys))
    heap.push("a")
    heap.push("b")
    keys["a"] = 3
    assert heap.peek() == "a"


@given(
    st.lists(st.tuples(st.integers(0, 7), st.none() | st.integers(-9, 9)), max_size=120),
    st.randoms(use_true_random=False),
)
@settings(deadline=None, max_examples=200)
def test_the_first_of_a_heap_has_the_smallest_key(
    drawn: Sequence[tuple[int, int | None]], random: Random
) -> None:
    """An item is pushed when its key gets smaller, and otherwise now and then."""
    keys: dict[int, int | None] = {}
    heap = Heap[int](in_order(keys))
    for item, key in drawn:
        before = keys.get(item)
        keys[item] = key
        if before is None or (key is not None and key < before) or random.random() < 0.2:
            heap.push(item)
        present = {item: key for item, key in keys.items() if key is not None}
        best = heap.peek()
        assert (best is None) == (not present)
        assert best is None or present[best] == min(present.values())
        assert set(heap.items()) == set(present)


# --- pools ---------------------------------------------------------------------------------------


def test_without_shares_the_best_head_goes_first() -> None:
    everyone = Share("", 1, 0)
    pool = Pool(Shares())
    for number, key in enumerate([(128, 5, 1), (64, 9, 2), (128, 2, 3)]):
        queue = lane_queue(everyone, number)
        queue.key, queue.pool = key, pool
        pool.push(queue)
    best = pool.best(0)
    assert best is not None
    assert best.key == (64, 9, 2)


def test_a_pool_with_nothing_in_it_has_no_best() -> None:
    assert Pool(Shares()).best(0) is None
    assert Pool(Shares(is_fair=True)).best(0, raises_floor=True) is None
    gate = Slots(GateKind.DOMAIN, "a", 1)
    assert Pool(Shares(), gate).gate is gate


class Lanes(RuleBasedStateMachine):
    """One pool under random changes, against sorting all its lanes."""

    @initialize(
        weights=st.lists(st.integers(1, 4), min_size=2, max_size=4),
        minimums=st.lists(st.integers(0, 2), min_size=4, max_size=4),
        is_fair=st.booleans(),
    )
    def open(self, weights: list[int], minimums: list[int], is_fair: bool) -> None:
        self.shares = Shares(weights, is_fair=is_fair)
        self.groups = [
            self.shares.open(f"g{n}" if n else None, weight, minimums[n])
            for n, weight in enumerate(weights)
        ][: None if is_fair else 1]
        self.pool = Pool(self.shares)
        self.lanes = [lane_queue(share, n) for share in self.groups for n in range(2)]
        self.started: list[tuple[Share, int]] = []
        self.now, self.number = 0, 0

    @rule(data=st.data(), priority=st.integers(0, 3), at=st.integers(0, 3), urgent=st.booleans())
    def new_head(self, data: st.DataObject, priority: int, at: int, urgent: bool) -> None:
        queue = data.draw(st.sampled_from(self.lanes))
        self.number += 1
        queue.key = (priority, at, self.number)
        queue.is_urgent = urgent and priority == 0
        queue.pool = self.pool
        self.pool.push(queue)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        queue = data.draw(st.sampled_from(self.lanes))
        queue.pool = None

    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        share = data.draw(st.sampled_from(self.groups))
        self.shares.start(share, "t", self.now)
        self.started.append((share, self.now))
        self.pool.account_changed(share)

    @rule(data=st.data(), whole=st.booleans())
    def end(self, data: st.DataObject, whole: bool) -> None:
        if self.started:
            share, at = self.started.pop(data.draw(st.integers(0, len(self.started) - 1)))
            self.shares.end(share, "t", at, self.now, is_whole=whole)
            for group in self.groups if self.shares.has_fallen else [share]:
                self.pool.account_changed(group)
            self.shares.has_fallen = False

    @rule(length=st.integers(0, 3))
    def wait(self, length: int) -> None:
        self.now += length * SECOND // 2

    @rule(data=st.data())
    def compete(self, data: st.DataObject) -> None:
        self.shares.compete(data.draw(st.sampled_from(self.groups)), self.now)

    @rule(weight=st.integers(1, 9))
    def another_weight_comes(self, weight: int) -> None:
        self.shares.open(f"new{weight}", weight, 0)

    @rule(raises=st.booleans())
    def best(self, raises: bool) -> None:
        floor = self.shares.floor
        present = [queue for queue in self.lanes if queue.pool is self.pool]
        expected = min(present, key=self.order, default=None)
        values = [self.shares.value(queue.share, self.now) for queue in present]
        assert self.pool.best(self.now, raises_floor=raises) is expected
        assert set(map(id, self.pool.lanes())) == set(map(id, present))
        tick = self.shares._scale * TICK
        behind = (min(values, default=0) // tick - 1) * tick
        assert self.shares.floor == max(floor, behind if raises and self.shares.is_fair else 0)

    def order(self, queue: LaneQueue) -> Order:
        key: Key = queue.key or (0, 0, 0)
        share, shares = queue.share, self.shares
        if queue.is_urgent:
            return (0, key)
        if not shares.is_fair:
            return (2, key)
        if share.held < share.min_slots:
            return (1, share.held / share.min_slots, share.name, key)
        value = max(shares.value(share, self.now), shares.floor) // (shares._scale * TICK)
        return (2, value, share.held / share.weight, key)


def test_the_best_of_a_pool_is_the_first_of_all_its_lanes_in_order() -> None:
    run_state_machine_as_test(
        Lanes, settings=settings(deadline=None, max_examples=50, stateful_step_count=40)
    )
