"""How far the end of a task reaches: to any depth, in one go, and to nobody else."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.choices import OnDependencyFailure
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.rules.settle import Returned
from tests.rules.ledger import T0, Ledger

S = TaskStatus
LENGTH = 10_000
MANY = 1_000
"""Far more than the stack is deep."""


@contextmanager
def a_shallow_stack() -> Generator[None]:
    """Whatever recurses once for each task fails."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(depth + 200)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


# --- worked examples -----------------------------------------------------------------------------


def test_a_failure_goes_up_down_and_on() -> None:
    """A child fails; with it its parent, a sibling, a grandchild, and who depended on those."""
    ledger = Ledger()
    parent = ledger.start("parent")
    bad = ledger.start("bad", parent=parent)
    sibling = ledger.start("sibling", parent=parent)
    grandchild = ledger.add("grandchild", parent=sibling)
    after_parent = ledger.add("after parent", parent)
    after_grandchild = ledger.add("after grandchild", grandchild)
    bystander = ledger.add("bystander")
    ledger.end(parent, Returned(None))
    told = ledger.fail(bad).moves
    assert [each.after.id for each in told] == [
        parent,
        sibling,
        after_parent,
        grandchild,
        after_grandchild,
    ]
    assert ledger.status(parent) is S.FAILED
    assert ledger.record(sibling).ends_as is S.CANCELLED
    assert ledger.status(grandchild) is S.CANCELLED
    assert ledger.status(after_parent) is S.DEPENDENCY_FAILED
    assert ledger.status(after_grandchild) is S.DEPENDENCY_FAILED
    assert ledger.status(bystander) is S.PENDING


def test_each_reason_names_the_task_before_it() -> None:
    ledger = Ledger()
    first = ledger.start("first")
    second = ledger.add("second", first)
    third = ledger.add("third", second)
    ledger.fail(first)
    assert ledger.record(second).reason == (
        f"it depended on task {first} (ingest::fetch), which ended as failed: ValueError: no"
    )
    assert (ledger.record(third).reason or "").startswith(
        f"it depended on task {second} (ingest::fetch), which ended as dependency_failed: it dep"
    )


def test_the_reasons_of_a_long_chain_are_cut() -> None:
    ledger = Ledger()
    task = first = ledger.start("first")
    for number in range(60):
        task = ledger.add(str(number), task)
    ledger.fail(first)
    assert len(ledger.record(task).reason or "") == 2000


# --- size ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "length"), [("fail", LENGTH), ("complete", MANY), ("cancel", MANY), ("expire", MANY)]
)
def test_a_chain_of_any_length_needs_no_stack(end: str, length: int) -> None:
    ledger = Ledger()
    first = ledger.add("first", expires_at_ms=T0 + 1)
    tasks = [first]
    for number in range(length):
        tasks.append(ledger.add(str(number), tasks[-1]))
    with a_shallow_stack():
        match end:
            case "fail":
                moves = ledger.fail(first).moves
            case "cancel":
                moves = ledger.cancel(first).moves[1:]
            case "expire":
                ledger.now_ms += 1
                moves = ledger.expire().moves[1:]
            case _:
                assert len(ledger.complete(first).moves) == 1, "only the next one goes on"
                return
    assert [each.after.id for each in moves] == tasks[1:]
    assert {each.after.status for each in moves} == {S.DEPENDENCY_FAILED}


def test_a_thousand_generations_end_with_the_first() -> None:
    ledger = Ledger()
    tasks = [ledger.start("first")]
    for number in range(MANY):
        tasks.append(ledger.start(str(number), parent=tasks[-1]))
    ledger.add("last", parent=tasks[-1])
    for task in tasks:
        ledger.end(task, Returned(None))
    with a_shallow_stack():
        moves = ledger.cancel(tasks[0]).moves
    assert len(moves) == MANY + 2
    assert not list(ledger.active())


def test_the_failure_of_the_last_of_a_thousand_generations_reaches_the_first() -> None:
    ledger = Ledger()
    tasks = [ledger.start("first")]
    for number in range(MANY):
        tasks.append(ledger.start(str(number), parent=tasks[-1]))
        ledger.end(tasks[-2], Returned(None))
    with a_shallow_stack():
        ledger.fail(tasks[-1])
    assert {ledger.status(task) for task in tasks} == {S.FAILED}


@pytest.mark.parametrize("ends_well", [True, False])
def test_ten_thousand_tasks_depend_on_one(*, ends_well: bool) -> None:
    ledger = Ledger()
    first = ledger.start("first")
    tasks = [ledger.add(str(number), first) for number in range(LENGTH)]
    moves = (ledger.complete(first) if ends_well else ledger.fail(first)).moves
    expected = S.PENDING if ends_well else S.DEPENDENCY_FAILED
    assert [(each.after.id, each.after.status) for each in moves] == [
        (task, expected) for task in tasks
    ]
    assert len(ledger.written) < 10, "all of them together"


def test_one_task_depends_on_a_thousand() -> None:
    ledger = Ledger()
    tasks = [ledger.start(str(number)) for number in range(MANY)]
    last = ledger.add("last", *tasks)
    for task in tasks[1:]:
        assert ledger.complete(task).moves == ()
    assert ledger.status(last) is S.BLOCKED
    ledger.complete(tasks[0])
    assert ledger.status(last) is S.PENDING


def test_one_task_depends_on_a_thousand_that_are_cancelled_together() -> None:
    ledger = Ledger()
    tasks = [ledger.add(str(number)) for number in range(MANY)]
    last = ledger.add("last", *tasks)
    effect = ledger.cancel_where(Selection(statuses=ACTIVE, ids=frozenset(tasks)))
    assert len(effect.moves) == MANY + 1
    assert ledger.status(last) is S.DEPENDENCY_FAILED


# --- properties ----------------------------------------------------------------------------------

policies = st.sampled_from(OnDependencyFailure)
graphs = st.lists(
    st.tuples(st.lists(st.integers(0, 30), max_size=3), policies), min_size=2, max_size=25
)


@given(graphs, st.integers(0, 4), st.sampled_from(("fail", "cancel", "complete")))
@settings(deadline=None)
def test_an_end_reaches_exactly_who_depends_on_it_by_their_own_policies(
    graph: list[tuple[list[int], OnDependencyFailure]], chosen: int, end: str
) -> None:
    ledger = Ledger()
    needs: dict[TaskId, set[TaskId]] = {}
    policy: dict[TaskId, OnDependencyFailure] = {}
    for number, (edges, own) in enumerate(graph):
        wanted = {TaskId(edge % number + 1) for edge in edges if number}
        task = ledger.add(str(number), *sorted(wanted), on_dependency_failure=own)
        needs[task], policy[task] = wanted, own
    roots = [task for task, others in needs.items() if not others]
    root = roots[chosen % len(roots)]
    match end:
        case "fail":
            ledger.fail(root)
        case "cancel":
            ledger.cancel(root)
        case _:
            ledger.complete(root)
    lost: set[TaskId] = set() if end == "complete" else {root}
    over = {root}
    expected = {root: ledger.status(root)}
    for task in [task for task in needs if task != root]:  # by id: in the order of the edges
        own = policy[task]
        failed = needs[task] & lost
        unmet = needs[task] - over
        if failed and own is OnDependencyFailure.CANCEL:
            expected[task] = S.DEPENDENCY_FAILED
            lost.add(task)
            over.add(task)
        elif unmet or (failed and own is OnDependencyFailure.HOLD):
            expected[task] = S.BLOCKED
        else:
            expected[task] = S.PENDING
    assert {task: ledger.status(task) for task in needs} == expected
    ledger.check()


@given(st.lists(st.integers(0, 30), max_size=25), st.integers(0, 25), st.booleans())
@settings(deadline=None)
def test_whoever_ends_before_its_children_takes_all_of_them_along(
    parents: list[int], chosen: int, has_returned: bool
) -> None:
    ledger = Ledger()
    tasks = [ledger.start("0", fail_fast=False)]
    parent: dict[TaskId, TaskId] = {}
    for number, of in enumerate(parents, 1):
        parent_id = tasks[of % len(tasks)]
        task = ledger.start(str(number), parent=parent_id, fail_fast=False)
        parent[task] = parent_id
        tasks.append(task)
    target = tasks[chosen % len(tasks)]
    if has_returned:
        for task in tasks:
            if ledger.is_open(task):
                ledger.end(task, Returned(None))
    below = {target}
    for task in tasks:  # parents come first
        if parent.get(task) in below:
            below.add(task)
    above: set[TaskId] = set()
    at: TaskId | None = target
    while at is not None:
        above.add(at)
        at = parent.get(at)
    ledger.cancel(target)
    for task in {*tasks} - (above - {target}):
        is_over = ledger.status(task).is_terminal or ledger.record(task).ends_as is not None
        assert is_over is (task in below)
    ledger.check()
