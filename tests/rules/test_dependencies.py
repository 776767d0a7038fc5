"""What a task depends on: how that is judged, what is refused, and when a task may go on."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import StopCause
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Changed, Fault, Placed, Refused
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.dedup import place
from taskmill.rules.dependencies import Needs, weigh
from taskmill.rules.settle import Halted, Raised, Returned
from tests.rules.ledger import ERROR, T0, Ledger, is_failure

S = TaskStatus
CANCEL, HOLD, IGNORE = OnDependencyFailure


def ended(ledger: Ledger, how: TaskStatus) -> TaskId:
    """A task that has ended so."""
    name = f"ended as {how}"
    if how is S.DEPENDENCY_FAILED:
        first = ledger.start("first")
        task = ledger.add(name, first)
        ledger.fail(first)
        return task
    task = ledger.add(name, expires_at_ms=ledger.now_ms + 1)
    match how:
        case S.EXPIRED:
            ledger.now_ms += 1
            ledger.expire()
        case S.SUPERSEDED:
            new = ledger.work(name, on_duplicate=OnDuplicate.SUPERSEDE)
            ledger.complete(ledger.submit(new).id)
        case S.CANCELLED:
            ledger.cancel(task)
        case S.FAILED | S.DEAD:
            ledger.claim(task)
            delay = None if how is S.FAILED else timedelta(0)
            ledger.end(task, Raised(error=ERROR, max_retries=0, delay=delay))
        case _:
            ledger.complete(task)
    assert ledger.status(task) is how
    return task


# --- a worked example ----------------------------------------------------------------------------


def test_a_task_starts_when_everything_it_depends_on_has_completed() -> None:
    ledger = Ledger()
    first, second = ledger.start("first"), ledger.start("second")
    placed = ledger.submit(ledger.work("last", first, second))
    assert placed == Placed(id=placed.id, outcome=SubmitOutcome.INSERTED)
    assert ledger.record(placed.id).depends_on == (first, second)
    assert ledger.status(placed.id) is S.BLOCKED
    assert ledger.complete(first).moves == ()
    ledger.now_ms += 500
    [released] = ledger.complete(second).moves
    assert (released.after.id, released.after.status) == (placed.id, S.PENDING)
    assert released.after.ready_at == from_ms(T0 + 500), "its place is that of its turn"
    assert ledger.record(placed.id).depends_on == (first, second), "that stays on record"


# --- what has ended already ----------------------------------------------------------------------


def test_what_has_completed_is_met_at_once() -> None:
    ledger = Ledger()
    done = ended(ledger, S.COMPLETED)
    placed = ledger.submit(ledger.work("last", done))
    assert placed.ready is not None
    assert ledger.record(placed.id).depends_on == (done,)


@pytest.mark.parametrize("how", sorted(TERMINAL - {S.COMPLETED}))
@pytest.mark.parametrize(
    ("policy", "expected"), [(CANCEL, S.DEPENDENCY_FAILED), (HOLD, S.BLOCKED), (IGNORE, S.PENDING)]
)
def test_what_has_failed_applies_the_policy_at_once(
    how: TaskStatus, policy: OnDependencyFailure, expected: TaskStatus
) -> None:
    ledger = Ledger()
    lost = ended(ledger, how)
    placed = ledger.submit(ledger.work("last", lost, on_dependency_failure=policy))
    assert placed.outcome is SubmitOutcome.INSERTED
    assert ledger.status(placed.id) is expected
    assert [each.after.status for each in placed.moves] == [expected] * (policy is CANCEL)
    if policy is CANCEL:
        assert f"ended as {how}" in (ledger.record(placed.id).reason or "")
    ledger.check()


@pytest.mark.parametrize("how", sorted(TERMINAL - {S.COMPLETED, S.EXPIRED, S.SUPERSEDED}))
@pytest.mark.parametrize(
    ("policy", "expected"), [(CANCEL, S.DEPENDENCY_FAILED), (HOLD, S.BLOCKED), (IGNORE, S.PENDING)]
)
def test_however_a_dependency_fails_the_policy_says_what_becomes_of_the_task(
    how: TaskStatus, policy: OnDependencyFailure, expected: TaskStatus
) -> None:
    ledger = Ledger()
    root = ledger.start("root")
    task = ledger.add("task", root) if how is S.DEPENDENCY_FAILED else root
    last = ledger.add("last", task, on_dependency_failure=policy)
    match how:
        case S.CANCELLED:
            ledger.end(task, Halted(StopCause.CANCELLED))
        case S.DEAD:
            ledger.end(task, Raised(error=ERROR, max_retries=0, delay=timedelta(0)))
        case _:
            ledger.fail(root)
    assert ledger.status(task) is how
    assert ledger.status(last) is expected
    ledger.check()


@pytest.mark.parametrize("policy", OnDependencyFailure)
def test_needs_are_weighed_by_where_they_are(policy: OnDependencyFailure) -> None:
    one, two, three = TaskId(1), TaskId(2), TaskId(3)
    states = {one: S.COMPLETED, two: S.DEAD, three: S.RUNNING}
    assert (
        weigh(states, policy)
        == {
            CANCEL: Needs((one,), (two, three), two),
            HOLD: Needs((one,), (two, three)),
            IGNORE: Needs((one, two), (three,)),
        }[policy]
    )


def test_one_that_ignores_failures_still_waits_for_the_others() -> None:
    ledger = Ledger()
    bad, slow = ledger.start("bad"), ledger.start("slow")
    last = ledger.add("last", bad, slow, on_dependency_failure=IGNORE)
    assert ledger.fail(bad).moves == ()
    ledger.complete(slow)
    assert ledger.status(last) is S.PENDING


# --- HOLD ----------------------------------------------------------------------------------------


def held() -> tuple[Ledger, TaskId, TaskId]:
    """A task that a failed dependency holds, and that."""
    ledger = Ledger()
    bad = ledger.start("bad")
    task = ledger.add("held", bad, on_dependency_failure=HOLD)
    assert ledger.fail(bad).moves == ()
    assert ledger.is_held(task)
    return ledger, task, bad


def test_a_held_task_goes_on_when_its_dependency_is_revived_and_completes() -> None:
    ledger, task, bad = held()
    ledger.revive(bad)
    ledger.complete(bad)
    assert ledger.status(task) is S.PENDING


def test_a_held_task_stays_held_when_its_dependency_is_revived_and_fails_again() -> None:
    ledger, task, bad = held()
    ledger.revive(bad)
    ledger.fail(bad)
    assert ledger.is_held(task)


def test_a_held_task_runs_anyway_when_somebody_says_so() -> None:
    ledger, task, bad = held()
    effect = ledger.revive(task)
    assert isinstance(effect, Changed)
    assert [each.after.status for each in effect.moves] == [S.PENDING]
    assert ledger.record(task).depends_on == (bad,)


def test_a_held_task_that_is_to_run_anyway_still_waits_for_what_has_not_ended() -> None:
    ledger, task, _ = held()
    slow = ledger.start("slow")
    other = ledger.add("other", slow, ended(ledger, S.DEAD), on_dependency_failure=HOLD)
    assert ledger.revive(other) == Changed(named=(other,))
    assert ledger.status(other) is S.BLOCKED
    ledger.complete(slow)
    assert ledger.status(other) is S.PENDING
    assert ledger.is_held(task)


def test_a_held_task_can_be_cancelled_and_a_crash_leaves_it() -> None:
    ledger, task, _ = held()
    ledger.crash()
    assert ledger.is_held(task)
    ledger.cancel(task)
    assert ledger.status(task) is S.CANCELLED


# --- together with other places ------------------------------------------------------------------


def test_a_follow_up_waits_for_its_dependencies_and_for_the_task_it_follows() -> None:
    for first_to_end in ("standing", "need"):
        ledger = Ledger()
        standing, need = ledger.start("a"), ledger.start("need")
        follow_up = ledger.add("a", need)
        ledger.complete(standing if first_to_end == "standing" else need)
        assert ledger.status(follow_up) is S.BLOCKED
        assert ledger.record(follow_up).is_follow_up is (first_to_end == "need")
        ledger.complete(need if first_to_end == "standing" else standing)
        assert ledger.status(follow_up) is S.PENDING


def test_a_follow_up_ends_with_its_dependency_and_leaves_the_place_free() -> None:
    ledger = Ledger()
    standing, need = ledger.start("a"), ledger.start("need")
    follow_up = ledger.add("a", need)
    ledger.fail(need)
    assert ledger.status(follow_up) is S.DEPENDENCY_FAILED
    another = ledger.submit(ledger.work("a"))
    assert another.outcome is SubmitOutcome.REQUEUED
    ledger.complete(standing)
    assert ledger.status(another.id) is S.PENDING


def test_a_blocked_task_that_is_not_due_yet_waits_for_its_time_when_it_is_free() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("a", need, due_at_ms=T0 + 9_000)
    [released] = ledger.complete(need).moves
    assert released.after.due_at == from_ms(T0 + 9_000)
    assert ledger.status(task) is S.PENDING


def test_a_dependency_that_is_tried_again_keeps_its_dependents_waiting() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("a", need)
    ledger.end(need, Raised(error=ERROR, max_retries=3, delay=timedelta(0)))
    assert ledger.status(task) is S.BLOCKED


def test_a_dependency_that_waits_for_its_children_has_not_completed() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    child = ledger.start("child", parent=need)
    task = ledger.add("a", need)
    assert ledger.end(need, Returned("1")).status is S.WAITING
    assert ledger.status(task) is S.BLOCKED
    ledger.complete(child)
    assert ledger.status(task) is S.PENDING


# --- what is refused -----------------------------------------------------------------------------


def test_an_unknown_dependency_is_refused_and_a_deleted_one_is_told_from_it() -> None:
    ledger = Ledger()
    gone = ledger.add("gone")
    ledger.complete(gone)
    ledger.add("newer")
    del ledger.rows[gone]
    for unknown in (TaskId(99), TaskId(0), TaskId(-1)):
        refused = ledger.refusal(ledger.work("a", unknown))
        assert (refused.fault, f"no task {unknown}," in refused.reason) == (Fault.DEPENDENCY, True)
    refused = ledger.refusal(ledger.work("a", gone))
    assert refused.fault is Fault.PRUNED


def test_a_child_cannot_depend_on_who_waits_for_it() -> None:
    ledger = Ledger()
    grandparent = ledger.start("grandparent")
    parent = ledger.start("parent", parent=grandparent)
    after_grandparent = ledger.add("after", grandparent)
    follow_up = ledger.add("grandparent")
    after_follow_up = ledger.add("after follow-up", follow_up)
    for other in (parent, grandparent, after_grandparent, follow_up, after_follow_up):
        refused = ledger.refusal(ledger.work("child", other, parent=parent))
        assert refused.fault is Fault.DEPENDENCY
        assert f"task {other}, which cannot end before" in refused.reason
    sibling = ledger.add("sibling", parent=parent)
    ledger.add("child", sibling, parent=parent)


def test_what_joined_a_task_cannot_be_waited_for_by_its_children() -> None:
    ledger = Ledger()
    joined = ledger.start("joined")
    parent = ledger.start("parent")
    ledger.submit(ledger.work("joined", parent=parent, requeue=False))
    assert ledger.joins(parent) == {joined}
    assert ledger.refusal(ledger.work("child", parent, parent=joined)).fault is Fault.DEPENDENCY


# --- properties ----------------------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.lists(st.integers(0, 20), max_size=2),
        st.none() | st.integers(0, 20),
        st.sampled_from(OnDuplicate),
        st.booleans(),
    ),
    max_size=25,
)


@given(steps)
@settings(deadline=None)
def test_no_sequence_of_submits_makes_a_circle_and_what_is_refused_would_have(
    drawn: list[tuple[str, list[int], int | None, OnDuplicate, bool]],
) -> None:
    ledger = Ledger()
    for name, edges, parent, on_duplicate, starts in drawn:
        tasks = [*ledger.rows]
        running = [each for each in tasks if ledger.status(each) is S.RUNNING]
        needs = {tasks[edge % len(tasks)] for edge in edges if tasks}
        new = ledger.work(
            name,
            *sorted(needs),
            parent=running[parent % len(running)] if parent is not None and running else None,
            on_duplicate=on_duplicate,
        )
        effect = ledger.run(place(new))
        ledger.check()
        if isinstance(effect, Refused):
            assert effect.fault is Fault.DEPENDENCY or "is to end" in effect.reason
        elif starts and ledger.status(effect.id) is S.PENDING:
            ledger.claim(effect.id)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=20))
@settings(deadline=None)
def test_whoever_is_free_is_not_looked_at_before_all_of_its_dependencies_are_met(
    ends: list[tuple[int, bool]],
) -> None:
    ledger = Ledger()
    needs = [ledger.start(str(number)) for number in range(10)]
    tasks = {
        ledger.add(f"after {n}", *needs[:n], on_dependency_failure=policy): needs[:n]
        for n, policy in enumerate([*OnDependencyFailure] * 3, 1)
    }
    for which, ends_well in ends:
        task = needs[which]
        if ledger.status(task) is S.RUNNING:
            (ledger.complete if ends_well else ledger.fail)(task)
    for task, others in tasks.items():
        states = [ledger.status(other) for other in others]
        policy = ledger.record(task).on_dependency_failure
        has_failed = any(map(is_failure, states))
        if policy is CANCEL and has_failed:
            expected = S.DEPENDENCY_FAILED
        elif S.RUNNING in states or (policy is HOLD and has_failed):
            expected = S.BLOCKED
        else:
            expected = S.PENDING
        assert ledger.status(task) is expected


def test_a_task_that_depends_on_one_task_twice_depends_on_it_once() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("a", need)
    twice = attrs.evolve(ledger.work("b"), depends_on=(need, need))
    again = ledger.submit(twice).id
    ledger.complete(need)
    assert (ledger.status(task), ledger.status(again)) == (S.PENDING, S.PENDING)
