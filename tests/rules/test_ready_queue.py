"""What the ready queue keeps is bounded; what it hands out is all there is, in order."""

from __future__ import annotations

import gc
import sys
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Sequence
from random import Random
from typing import TypeAlias, assert_never

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskmill.engine.queue.lanes import START, WINDOW, Level, Position
from taskmill.engine.queue.ready import ReadyQueue
from taskmill.model.changes import Ready, Refill
from taskmill.model.effects import LevelCount
from taskmill.model.record import TaskId
from taskmill.rules.gates import GateKind, Slots
from taskmill.rules.limits import Limits
from tests.rules.mill import limits_of

TYPE = "a::one"
UNHANDLED = "a::unknown"
HANDLED = frozenset({TYPE})


def some_limits() -> Limits:
    return limits_of(handled=HANDLED, domains={"a": None})


def task(
    number: int, *, at: int = 0, priority: int = 128, group: str | None = None, kind: str = TYPE
) -> Ready:
    return Ready(kind, group, priority, at, TaskId(number))


def queue_of(*tasks: Ready) -> ReadyQueue:
    queue = ReadyQueue(some_limits())
    for ready in tasks:
        queue.add(ready)
    return queue


def take_all(queue: ReadyQueue) -> list[Ready]:
    taken: list[Ready] = []
    while queue.best() is not None:
        taken.append(queue.take(0).ready)
    return taken


def behind(store: Sequence[Position], refill: Refill) -> list[Position]:
    """What a store that holds these positions, in order, answers to a refill."""
    first = bisect_right(store, refill.after)
    return list(store[first : first + refill.limit])


# --- worked examples -----------------------------------------------------------------------------


def test_a_lane_hands_out_its_tasks_by_priority_then_age_then_id() -> None:
    queue = queue_of(
        task(4, at=30), task(2, at=20), task(1, at=20), task(3, at=10), task(5, at=90, priority=64)
    )
    assert [ready.id for ready in take_all(queue)] == [5, 3, 1, 2, 4]
    assert queue.startable == 0


def test_a_backlog_on_opening_is_counted_and_read_in_windows() -> None:
    store = [(0, number) for number in range(1, 2 * WINDOW + 11)]
    queue = queue_of()
    queue.load([LevelCount(TYPE, None, 128, len(store))])
    assert queue.startable == len(store)
    assert queue.best() is None, "nothing is in a window yet"
    asked: list[int] = []
    taken: list[Ready] = []
    while len(taken) < len(store):
        for refill in queue.refills():
            asked.append(refill.limit)
            queue.refilled(refill, behind(store, refill))
        assert queue.best() is not None
        taken.append(queue.take(0).ready)
    assert [(ready.ready_at_ms, ready.id) for ready in taken] == store
    assert asked == [WINDOW] * 3
    assert queue.best() is None
    assert not list(queue.refills())


def test_overflow_drops_the_tail_and_only_the_tail() -> None:
    level = Level()
    for number in range(2 * WINDOW):
        level.add((0, number))
    assert (len(level.window), level.tail) == (2 * WINDOW, None)
    level.add((0, 2 * WINDOW))
    assert level.window == [(0, number) for number in range(WINDOW)]
    assert level.tail == (0, WINDOW - 1)
    assert level.count == 2 * WINDOW + 1


def test_what_belongs_behind_the_tail_is_only_counted() -> None:
    level = Level()
    for number in range(2 * WINDOW + 1):
        level.add((10, number))
    held = list(level.window)
    level.add((10, 9_999))
    assert level.window == held
    level.add((5, 10_000))
    assert level.window == [(5, 10_000), *held]
    assert level.count == 2 * WINDOW + 3


def test_a_better_level_that_waits_for_its_refill_does_not_hold_the_next() -> None:
    queue = queue_of(task(500, priority=128))
    queue.load([LevelCount(TYPE, None, 64, 1)])
    [refill] = queue.refills()
    assert queue.best() is not None
    assert queue.take(0).ready.id == 500
    queue.refilled(refill, [(0, 1)])
    assert take_all(queue) == [task(1, priority=64)]


def test_a_refill_is_asked_for_once_at_a_time() -> None:
    queue = queue_of()
    queue.load([LevelCount(TYPE, None, 128, 1)])
    assert len(list(queue.refills())) == 1
    queue.add(task(2, at=5))
    assert not list(queue.refills())


def test_a_refill_that_could_not_be_answered_is_asked_again() -> None:
    queue = queue_of()
    queue.load([LevelCount(TYPE, None, 128, 1)])
    [refill] = queue.refills()
    queue.not_refilled(refill)
    assert list(queue.refills()) == [refill]


def test_a_refill_is_void_and_asked_again_when_the_tail_has_moved() -> None:
    level = Level(count=1_000, tail=(9_000, 1))
    level.refilling = True
    for number in range(2 * WINDOW + 1):
        level.add((number, 2))
    assert level.tail == (WINDOW - 1, 2)
    level.refill((9_000, 1), [(9_001, 3)], WINDOW)
    assert level.window == [(number, 2) for number in range(WINDOW)], "a gap would be left"
    assert not level.refilling
    while not level.is_short:
        level.remove(level.window[0])
    assert level.tail == (WINDOW - 1, 2), "and from there it is asked again"


def test_the_task_at_the_tail_itself_belongs_to_the_window() -> None:
    """The store is asked for what is behind the tail, so a claim that failed comes back here."""
    level = Level(count=10, tail=(5, 1))
    level.add((5, 1))
    assert level.window == [(5, 1)]
    level.add((5, 2))
    assert level.window == [(5, 1)]


def test_a_task_that_left_while_only_counted_never_comes_out() -> None:
    queue = queue_of(*(task(number) for number in range(2 * WINDOW + 1)))
    queue.remove(task(2 * WINDOW))
    assert queue.startable == 2 * WINDOW
    store = [(0, number) for number in range(2 * WINDOW)]
    taken: list[Position] = []
    while queue.best() is not None:
        taken.append((0, queue.take(0).ready.id))
        for refill in queue.refills():
            queue.refilled(refill, behind(store, refill))
    assert taken == store


def test_only_types_with_a_handler_are_startable_and_refilled() -> None:
    queue = queue_of(task(1), task(2, kind=UNHANDLED))
    assert queue.startable == 1
    queue.load([LevelCount(UNHANDLED, "red", 128, 1_000), LevelCount(TYPE, "red", 128, 10)])
    assert queue.startable == 11
    assert [refill.type for refill in queue.refills()] == [TYPE]
    queue.remove(task(2, kind=UNHANDLED))
    assert queue.startable == 11


def test_a_parked_lane_is_not_the_best_until_its_gate_wakes_it() -> None:
    limits = limits_of(handled=HANDLED, domains={"a": 1})
    gate, other = limits.domains["a"], limits.group_gates("red").slots
    queue = ReadyQueue(limits)
    queue.add(task(1, group="red"))
    queue.add(task(2))
    for _ in range(2):
        assert queue.best() is not None
        queue.park(gate)
    assert queue.best() is None
    queue.wake(other)
    assert queue.best() is None
    gate.enter(0)
    queue.wake(gate)
    assert queue.best() is None, "it is closed"
    gate.leave()
    queue.wake(gate)
    assert queue.best() is limits.lane(TYPE, "red", 128)
    assert queue.woken_by() is gate
    assert queue.take(0).ready == task(1, group="red")
    assert queue.best() is None
    queue.wake(gate)
    assert queue.best() is limits.lane(TYPE, None, 128)


def test_waking_a_gate_where_nothing_waits_does_nothing() -> None:
    queue = queue_of(task(1))
    queue.wake(Slots(GateKind.DOMAIN, "a", None))
    assert queue.best() is not None
    assert queue.woken_by() is None
    assert queue.take(0).ready == task(1)


# --- memory --------------------------------------------------------------------------------------


def add_and_remove(queue: ReadyQueue, cycles: int) -> None:
    for number in range(1, cycles + 1):
        ready = task(number, at=number, priority=64)
        queue.add(ready)
        queue.remove(ready)


def kept_blocks(work: Callable[[], None]) -> int:
    """How many more blocks of memory are in use after ``work``."""
    gc.collect()
    before = sys.getallocatedblocks()
    work()
    gc.collect()
    return sys.getallocatedblocks() - before


def test_100000_tasks_that_come_and_go_leave_no_lane_behind() -> None:
    queue = queue_of()
    assert kept_blocks(lambda: add_and_remove(queue, 100_000)) < 5_000
    assert queue.best() is None
    assert queue.startable == 0


@pytest.mark.parametrize("parked", [False, True])
def test_100000_changed_heads_of_a_lane_leave_its_heaps_bounded(*, parked: bool) -> None:
    gate = Slots(GateKind.DOMAIN, "a", None)
    queue = queue_of(task(0, at=1_000_000))
    if parked:
        assert queue.best() is not None
        gate.cap = 0
        queue.park(gate)
    assert kept_blocks(lambda: add_and_remove(queue, 100_000)) < 5_000
    gate.cap = None
    queue.wake(gate)
    assert take_all(queue) == [task(0, at=1_000_000)]


# --- properties ----------------------------------------------------------------------------------

runs = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 300)), max_size=8)


@given(runs, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_a_window_is_the_oldest_part_of_its_level(
    drawn: list[tuple[int, int]], random: Random
) -> None:
    """In whatever order tasks come in, it is no longer than promised."""
    level, positions = Level(), list[Position]()
    for at, length in drawn:
        positions += [(at, len(positions) + number) for number in range(length)]
    random.shuffle(positions)
    for position in positions:
        level.add(position)
        assert len(level.window) <= 2 * WINDOW
    positions.sort()
    assert level.count == len(positions)
    assert level.window == positions[: len(level.window)]
    assert (level.tail is None) == (len(level.window) == len(positions))


@attrs.frozen
class Add:
    task: Ready


@attrs.frozen
class Cancel:
    task: Ready


@attrs.frozen
class Claim:
    task: Ready


Write: TypeAlias = Add | Cancel | Claim | Refill
Shelf: TypeAlias = dict[tuple[str, int], list[Position]]
"""Positions in order, for each type and priority."""


def put(shelf: Shelf, ready: Ready) -> None:
    insort(shelf.setdefault((ready.type, ready.priority), []), (ready.ready_at_ms, ready.id))


def drop(shelf: Shelf, ready: Ready) -> bool:
    """Take the task out; whether it was there."""
    positions, position = shelf.get((ready.type, ready.priority), []), (ready.ready_at_ms, ready.id)
    at = bisect_left(positions, position)
    if positions[at : at + 1] != [position]:
        return False
    del positions[at]
    return True


SIZES = (0, 1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW)


class Backlog(RuleBasedStateMachine):
    """A queue and its store, with everything written and read in the order in which it was sent.

    What is sent may stay on its way for any time while tasks are taken and more is sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.limits = some_limits()
        self.queue = ReadyQueue(self.limits)
        self.stored: Shelf = {}
        self.known: Shelf = {}
        """What the queue has been told of and has not handed out."""
        self.sent: deque[Write] = deque()
        self.claiming: set[TaskId] = set()
        self.expected: set[TaskId] = set()
        self.started: list[TaskId] = []
        self.number = 0

    def new(self, kind: str, priority: int, at: int) -> Ready:
        self.number += 1
        return task(self.number, at=at, priority=priority, kind=kind)

    @initialize(
        sizes=st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES)),
        unhandled=st.integers(0, WINDOW),
    )
    def open(self, sizes: tuple[int, int], unhandled: int) -> None:
        levels = ((TYPE, 64, sizes[0]), (TYPE, 128, sizes[1]), (UNHANDLED, 128, unhandled))
        for kind, priority, size in levels:
            for _ in range(size):
                ready = self.new(kind, priority, 1_000 + self.number)
                put(self.stored, ready)
                put(self.known, ready)
                self.expected.add(ready.id)
        self.queue.load([LevelCount(k, None, p, size) for k, p, size in levels if size])

    @rule(
        kind=st.sampled_from((TYPE, TYPE, TYPE, UNHANDLED)),
        priority=st.sampled_from((64, 128)),
        length=st.integers(1, 400),
    )
    def submit_in_order(self, kind: str, priority: int, length: int) -> None:
        for _ in range(length):
            self.sent.append(Add(self.new(kind, priority, 1_000 + self.number)))

    @rule(priority=st.sampled_from((64, 128)), at=st.integers(0, 3_000), length=st.integers(1, 400))
    def submit_out_of_order(self, priority: int, at: int, length: int) -> None:
        for _ in range(length):
            self.sent.append(Add(self.new(TYPE, priority, at)))

    @precondition(lambda self: any(self.known.values()))
    @rule(data=st.data(), length=st.integers(1, 100))
    def cancel(self, data: st.DataObject, length: int) -> None:
        """Cancel some that are next to each other: heads, tails, or what only the store has."""
        levels = [level for level, positions in self.known.items() if positions]
        kind, priority = data.draw(st.sampled_from(levels))
        positions = self.known[kind, priority]
        first = data.draw(
            st.sampled_from((0, len(positions) // 2, max(0, len(positions) - length)))
        )
        for at, number in positions[first : first + length]:
            self.sent.append(Cancel(task(number, at=at, priority=priority, kind=kind)))

    @rule(length=st.sampled_from((1, 10, 200, 1_000)))
    def take(self, length: int) -> None:
        self.ask()
        for _ in range(length):
            if not self.take_one():
                break

    def take_one(self) -> bool:
        """Take the next task out; where there is none, what is left is on its way."""
        while (best := self.queue.best()) is not None and not best.kind.is_handled:
            self.queue.park(best.gates[0])
        if best is None:
            self.each_is_asked_for((64, 128))
            return False
        ready = self.queue.take(0).ready
        assert best is self.limits.lane(ready.type, ready.group, ready.priority)
        positions = self.known[TYPE, ready.priority]
        assert (ready.ready_at_ms, ready.id) == positions[0], "the oldest of its level"
        self.each_is_asked_for((64,) if ready.priority == 128 else ())
        drop(self.known, ready)
        self.claiming.add(ready.id)
        self.sent.append(Claim(ready))
        self.ask()
        return True

    def ask(self) -> None:
        self.sent.extend(self.queue.refills())

    def each_is_asked_for(self, priorities: Sequence[int]) -> None:
        """A level that has tasks and hands out none waits for the store."""
        for priority in priorities:
            if self.known.get((TYPE, priority)):
                asked = (write for write in self.sent if isinstance(write, Refill))
                assert priority in {refill.priority for refill in asked}

    @rule(share=st.sampled_from((0.1, 0.5, 1.0)))
    def write(self, share: float) -> None:
        """Write a part of what was sent, oldest first; the queue hears of it in that order."""
        for _ in range(round(len(self.sent) * share)):
            self.carry_out(self.sent.popleft())

    @rule(share=st.sampled_from((0.1, 0.5, 1.0)))
    def fail(self, share: float) -> None:
        """The store refuses a batch: submits and cancels are lost, claimed tasks come back."""
        for _ in range(round(len(self.sent) * share)):
            match self.sent.popleft():
                case Claim(task=ready):
                    self.claiming.remove(ready.id)
                    self.is_ready(ready)
                case Refill() as refill:
                    self.queue.not_refilled(refill)
                case Add() | Cancel():
                    pass

    def carry_out(self, write: Write) -> None:
        match write:
            case Add(task=ready):
                put(self.stored, ready)
                self.expected.add(ready.id)
                self.is_ready(ready)
            case Cancel(task=ready):
                if drop(self.stored, ready):
                    self.expected.remove(ready.id)
                    if ready.id not in self.claiming:
                        self.queue.remove(ready)
                        assert drop(self.known, ready)
            case Claim(task=ready):
                self.claiming.remove(ready.id)
                if drop(self.stored, ready):
                    self.started.append(ready.id)
            case Refill():
                shelf = self.stored.get((write.type, write.priority), [])
                self.queue.refilled(write, behind(shelf, write))
            case _:
                assert_never(write)

    def is_ready(self, ready: Ready) -> None:
        self.queue.add(ready)
        put(self.known, ready)

    @invariant()
    def startable_counts_what_is_known_and_handled(self) -> None:
        handled = (len(tasks) for (kind, _), tasks in self.known.items() if kind in HANDLED)
        assert self.queue.startable == sum(handled)

    def teardown(self) -> None:
        """Nothing is lost and nothing comes twice: all of it comes out in the end."""
        self.take(1_000)
        while self.sent:
            self.write(1.0)
            self.take(1_000)
        left = {n for (kind, _), tasks in self.known.items() if kind == UNHANDLED for _, n in tasks}
        assert len(self.started) == len(set(self.started))
        assert set(self.started) | left == self.expected
        assert self.queue.startable == 0


def test_nothing_is_lost_and_nothing_comes_twice_in_any_sequence() -> None:
    run_state_machine_as_test(
        Backlog, settings=settings(deadline=None, max_examples=40, stateful_step_count=25)
    )


class OneLevel(RuleBasedStateMachine):
    """One level against the plain sorted list of what the store holds, with late refills."""

    def __init__(self) -> None:
        super().__init__()
        self.level = Level()
        self.stored: list[Position] = []
        self.asked: Position | None = None
        self.number = 0

    @initialize(size=st.integers(0, 3 * WINDOW))
    def load(self, size: int) -> None:
        self.stored = [(1_000, number) for number in range(size)]
        self.level = Level(count=size, tail=START)
        self.number = size

    @rule(at=st.integers(0, 2_000), length=st.integers(1, 400), step=st.sampled_from((-1, 0, 1)))
    def add(self, at: int, length: int, step: int) -> None:
        for number in range(length):
            self.number += 1
            position = (at + length + step * number, self.number)
            insort(self.stored, position)
            self.level.add(position)

    @precondition(lambda self: self.stored)
    @rule(first=st.floats(0, 1, exclude_max=True), length=st.integers(1, 300))
    def remove(self, first: float, length: int) -> None:
        for _ in range(min(length, len(self.stored))):
            self.leave(int(first * len(self.stored)))

    @rule(length=st.integers(1, 300))
    def take(self, length: int) -> None:
        for _ in range(min(length, len(self.level.window))):
            self.leave(0)

    def leave(self, index: int) -> None:
        position = self.stored.pop(index)
        was_head = self.level.window[:1] == [position]
        assert self.level.remove(position) == was_head

    @precondition(lambda self: self.asked is None and self.level.is_short)
    @rule()
    def ask(self) -> None:
        self.asked = self.level.tail
        self.level.refilling = True
        assert not self.level.is_short

    @precondition(lambda self: self.asked is not None)
    @rule()
    def answer(self) -> None:
        after = self.asked or START
        first = bisect_right(self.stored, after)
        self.level.refill(after, self.stored[first : first + WINDOW], WINDOW)
        self.asked = None

    @invariant()
    def the_window_is_all_there_is_up_to_the_tail(self) -> None:
        tail = self.level.tail
        held = self.stored if tail is None else self.stored[: bisect_right(self.stored, tail)]
        assert self.level.window == held

    @invariant()
    def the_count_is_that_of_the_store(self) -> None:
        assert self.level.count == len(self.stored)

    @invariant()
    def the_window_is_bounded(self) -> None:
        assert len(self.level.window) <= 2 * WINDOW

    def teardown(self) -> None:
        """Taking and refilling empties the store."""
        while self.stored:
            if self.asked is not None:
                self.answer()
            elif self.level.is_short:
                self.ask()
            else:
                self.take(WINDOW)
            self.the_window_is_all_there_is_up_to_the_tail()


def test_a_window_stays_a_bounded_and_exact_part_of_the_store_in_any_sequence() -> None:
    run_state_machine_as_test(
        OneLevel, settings=settings(deadline=None, max_examples=60, stateful_step_count=30)
    )
