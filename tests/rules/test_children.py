"""Parents and children: who waits for whom, what a failure does, and what finalize is for."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmill.model.changes import StopCause
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Changed, Fault
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Halted, Raised, Returned
from tests.rules.ledger import ERROR, T0, Ledger

S = TaskStatus
RETRY = Raised(error=ERROR, max_retries=9, delay=timedelta(0))
FINALIZES = Returned("[1]", finalizes=True)


def a_parent(*, fail_fast: bool = True, has_undo: bool = False) -> tuple[Ledger, TaskId]:
    ledger = Ledger()
    return ledger, ledger.start("parent", fail_fast=fail_fast, has_undo=has_undo)


# --- worked examples -----------------------------------------------------------------------------


def test_a_parent_that_has_returned_waits_for_its_children_and_keeps_its_result() -> None:
    ledger, parent = a_parent()
    one, two = ledger.start("one", parent=parent), ledger.start("two", parent=parent)
    effect = ledger.end(parent, Returned('"all"'))
    assert effect.status is S.WAITING
    assert (ledger.record(parent).memo, ledger.record(parent).result) == ('"all"', None)
    assert ledger.complete(one).moves == ()
    [ended] = ledger.complete(two).moves
    assert (ended.after.id, ended.after.status) == (parent, S.COMPLETED)
    record = ledger.record(parent)
    assert (record.result, record.memo, record.attempt) == ('"all"', None, 1)


def test_a_parent_with_a_finalize_runs_it_when_its_children_have_ended() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    assert ledger.end(parent, FINALIZES).status is S.WAITING
    ledger.now_ms += 500
    [woken] = ledger.complete(child).moves
    assert (woken.after.status, woken.after.stage) == (S.PENDING, Stage.FINALIZE)
    assert woken.after.ready_at == from_ms(T0 + 500)
    record = ledger.claim(parent)
    assert (record.attempt, record.run, record.memo) == (1, 2, "[1]")
    assert ledger.end(parent, RETRY).status is S.PENDING
    assert ledger.record(parent).stage is Stage.FINALIZE, "a retry of finalize is of finalize"
    assert ledger.complete(parent, '"done"').status is S.COMPLETED
    assert ledger.record(parent).result == '"done"'


def test_the_first_child_that_fails_ends_its_siblings_and_its_parent() -> None:
    ledger, parent = a_parent()
    bad, runs, waits = (ledger.start(name, parent=parent) for name in ("bad", "runs", "waits"))
    ledger.end(waits, RETRY)
    below = ledger.add("below", parent=runs)
    ledger.fail(bad)
    assert ledger.record(parent).ends_as is S.FAILED, "it runs, and is told to stop"
    assert ledger.record(runs).ends_as is S.CANCELLED
    assert ledger.status(waits) is S.CANCELLED
    assert ledger.status(below) is S.CANCELLED
    assert ledger.end(parent, RETRY).status is S.FAILED, "without another try"
    reason = f"its child, task {bad} (ingest::fetch), ended as failed: ValueError: no"
    assert ledger.record(parent).reason == reason


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("finalizes", [False, True])
def test_a_waiting_parent_fails_with_its_child(*, finalizes: bool) -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    ledger.end(parent, Returned("1", finalizes=finalizes))
    ledger.fail(child)
    assert ledger.status(parent) is S.FAILED


def test_a_parent_that_waits_for_a_retry_fails_with_its_child() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    ledger.end(parent, RETRY)
    ledger.fail(child)
    assert ledger.status(parent) is S.FAILED


def test_a_parent_with_an_on_cancel_runs_it_when_a_child_fails() -> None:
    ledger, parent = a_parent(has_undo=True)
    child = ledger.start("child", parent=parent)
    ledger.end(parent, Returned("1"))
    ledger.fail(child)
    record = ledger.record(parent)
    assert (record.status, record.stage, record.ends_as) == (S.PENDING, Stage.UNDO, S.FAILED)
    ledger.claim(parent)
    assert ledger.stop(parent).status is S.FAILED


@pytest.mark.parametrize("returns_first", [True, False])
def test_without_fail_fast_and_finalize_a_parent_waits_for_all_and_fails(
    *, returns_first: bool
) -> None:
    ledger, parent = a_parent(fail_fast=False)
    bad, good = ledger.start("bad", parent=parent), ledger.start("good", parent=parent)
    if returns_first:
        ledger.end(parent, Returned("1"))
    ledger.fail(bad)
    assert not ledger.status(parent).is_terminal
    ledger.complete(good)
    if not returns_first:
        assert ledger.end(parent, Returned("1")).status is S.FAILED
    record = ledger.record(parent)
    assert (record.status, record.attempt) == (S.FAILED, 1)
    assert (record.reason or "").startswith(f"its child, task {bad} ")


@pytest.mark.parametrize("returns_first", [True, False])
@pytest.mark.parametrize("later_ms", [0, 500])
@pytest.mark.parametrize("joins", [True, False])
def test_without_fail_fast_a_finalize_has_the_last_word(
    *, returns_first: bool, later_ms: int, joins: bool
) -> None:
    ledger = Ledger()
    bad = ledger.start("bad") if joins else TaskId(2)
    parent = ledger.start("parent", fail_fast=False)
    new = ledger.work("bad", parent=parent, requeue=False)
    assert ledger.submit(new).id == bad
    if returns_first:
        ledger.end(parent, FINALIZES)
    ledger.now_ms += later_ms
    ledger.fail(bad)
    if not returns_first:
        ledger.end(parent, FINALIZES)
    assert ledger.complete(parent, "2").status is S.COMPLETED
    assert ledger.record(parent).result == "2"


def test_a_finalize_that_spawns_children_waits_for_them_with_its_result() -> None:
    ledger, parent = a_parent()
    ledger.end(parent, FINALIZES)
    ledger.claim(parent)
    child = ledger.start("child", parent=parent)
    assert ledger.end(parent, Returned("2")).status is S.WAITING
    ledger.complete(child)
    record = ledger.record(parent)
    assert (record.status, record.result, record.run) == (S.COMPLETED, "2", 2)


@pytest.mark.parametrize("joins", [True, False])
def test_children_of_a_finalize_alone_decide_after_it_how_its_task_ends(*, joins: bool) -> None:
    ledger = Ledger()
    bad = ledger.start("bad") if joins else TaskId(2)
    parent = ledger.start("parent", fail_fast=False)
    ledger.submit(ledger.work("bad", parent=parent, requeue=False))
    ledger.end(parent, FINALIZES)
    ledger.fail(bad)
    ledger.claim(parent)
    child = ledger.start("child", parent=parent)
    assert ledger.end(parent, Returned("2")).status is S.WAITING
    ledger.complete(child)
    assert (ledger.status(parent), ledger.record(parent).result) == (S.COMPLETED, "2")


def test_of_two_children_that_end_together_one_that_fails_is_enough() -> None:
    ledger, top = a_parent()
    good = ledger.start("good", parent=top)
    bad = ledger.start("bad", parent=top, fail_fast=False)
    failing = ledger.start("failing", parent=bad)
    other = ledger.add("other")
    for parent in (good, bad):
        ledger.submit(ledger.work("other", parent=parent))
        ledger.end(parent, Returned("1"))
    ledger.fail(failing)
    ledger.complete(other)
    assert (ledger.status(good), ledger.status(bad)) == (S.COMPLETED, S.FAILED)
    assert ledger.record(top).ends_as is S.FAILED


def test_failure_goes_up_by_the_policy_of_each_ancestor() -> None:
    ledger = Ledger()
    top = ledger.start("top")
    patient = ledger.start("patient", parent=top, fail_fast=False)
    hasty = ledger.start("hasty", parent=patient)
    child = ledger.start("child", parent=hasty)
    other = ledger.start("other", parent=patient)
    for each in (top, patient, hasty):
        ledger.end(each, Returned("1"))
    ledger.fail(child)
    assert ledger.status(hasty) is S.FAILED
    assert ledger.status(patient) is S.WAITING, "it waits for its other child"
    assert ledger.status(top) is S.WAITING
    ledger.complete(other)
    assert (ledger.status(patient), ledger.status(top)) == (S.FAILED, S.FAILED)


def test_a_child_that_cannot_run_fails_its_parent_at_once() -> None:
    ledger, parent = a_parent()
    lost = ledger.add("lost")
    ledger.fail(lost)
    placed = ledger.submit(ledger.work("child", lost, parent=parent))
    assert [each.after.id for each in placed.moves] == [placed.id, parent]
    assert ledger.record(parent).ends_as is S.FAILED


def test_a_superseded_child_is_no_failure() -> None:
    ledger, parent = a_parent()
    ledger.add("child", parent=parent)
    ledger.end(parent, Returned("1"))
    new = ledger.add("child", on_duplicate=OnDuplicate.SUPERSEDE)
    assert ledger.status(parent) is S.WAITING, "the other stands in for it"
    ledger.complete(new)
    assert ledger.status(parent) is S.COMPLETED


def test_a_child_that_a_sibling_supersedes_is_waited_for_as_that() -> None:
    ledger, parent = a_parent()
    ledger.add("child", parent=parent)
    ledger.end(parent, Returned("1"))
    new = ledger.add("child", on_duplicate=OnDuplicate.SUPERSEDE, parent=parent)
    assert ledger.status(parent) is S.WAITING
    ledger.complete(new)
    assert ledger.status(parent) is S.COMPLETED


# --- the end of a parent -------------------------------------------------------------------------


@pytest.mark.parametrize("how", [S.FAILED, S.DEAD, S.CANCELLED, S.SUPERSEDED, S.EXPIRED])
def test_a_parent_that_ends_in_anything_but_completed_cancels_its_subtree(how: TaskStatus) -> None:
    ledger = Ledger()
    parent = ledger.start("parent", ttl_ms=500)
    child = ledger.start("child", parent=parent)
    below = ledger.add("below", parent=child)
    match how:
        case S.FAILED:
            ledger.fail(parent)
        case S.DEAD:
            ledger.end(parent, Raised(error=ERROR, max_retries=0, delay=timedelta(0)))
        case S.CANCELLED:
            ledger.end(parent, Halted(StopCause.CANCELLED))
        case S.SUPERSEDED:
            ledger.add("parent", on_duplicate=OnDuplicate.SUPERSEDE)
            ledger.stop(parent)
        case _:
            ledger.end(parent, RETRY)
            ledger.now_ms += 500
            ledger.expire()
    assert ledger.status(parent) is how
    assert ledger.record(child).ends_as is S.CANCELLED
    assert (
        ledger.record(child).reason == f"its parent, task {parent} (ingest::fetch), ended as {how}"
    )
    assert ledger.status(below) is S.CANCELLED


def test_a_parent_that_is_tried_again_keeps_its_children() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    ledger.end(parent, RETRY)
    assert ledger.record(child).ends_as is None
    ledger.claim(parent)
    ledger.complete(child)
    assert ledger.end(parent, Returned("1")).status is S.COMPLETED


def test_a_parent_that_is_to_stop_waits_for_none_of_its_children() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    ledger.cancel(parent)
    assert ledger.stop(parent).status is S.CANCELLED
    assert ledger.record(child).ends_as is S.CANCELLED
    ledger.stop(child)
    assert ledger.status(child) is S.CANCELLED


def test_a_cancelled_child_is_a_failure_too() -> None:
    ledger, parent = a_parent()
    child = ledger.add("child", parent=parent)
    effect = ledger.cancel(child)
    assert isinstance(effect, Changed)
    assert ledger.record(parent).ends_as is S.FAILED


# --- spawning what is there already --------------------------------------------------------------


@pytest.mark.parametrize("ends_well", [True, False])
def test_a_parent_waits_for_what_it_has_joined_without_owning_it(*, ends_well: bool) -> None:
    ledger = Ledger()
    other = ledger.add("other")
    parent = ledger.start("parent")
    placed = ledger.submit(ledger.work("other", parent=parent))
    assert (placed.id, placed.outcome) == (other, SubmitOutcome.DUPLICATE)
    assert ledger.record(other).parent is None
    assert ledger.end(parent, Returned("1")).status is S.WAITING
    (ledger.complete if ends_well else ledger.fail)(other)
    assert ledger.status(parent) is (S.COMPLETED if ends_well else S.FAILED)


def test_the_end_of_a_parent_is_none_of_what_it_has_joined() -> None:
    ledger = Ledger()
    other = ledger.add("other")
    parent = ledger.start("parent")
    ledger.submit(ledger.work("other", parent=parent))
    ledger.fail(parent)
    assert ledger.status(other) is S.PENDING


def test_a_parent_that_joined_a_replaced_task_waits_for_the_new_one() -> None:
    ledger = Ledger()
    ledger.add("other")
    parent = ledger.start("parent")
    ledger.submit(ledger.work("other", parent=parent))
    ledger.end(parent, Returned("1"))
    new = ledger.add("other", on_duplicate=OnDuplicate.SUPERSEDE)
    assert ledger.joins(parent) == {new}
    ledger.complete(new)
    assert ledger.status(parent) is S.COMPLETED


def test_joining_the_same_task_again_waits_for_its_follow_up_too() -> None:
    ledger = Ledger()
    other = ledger.start("other")
    parent = ledger.start("parent")
    follow_up = ledger.submit(ledger.work("other", parent=parent))
    assert follow_up.outcome is SubmitOutcome.REQUEUED
    assert ledger.record(follow_up.id).parent == parent, "a new task, which it owns"
    ledger.end(parent, Returned("1"))
    ledger.complete(other)
    assert ledger.status(parent) is S.WAITING
    ledger.complete(follow_up.id)
    assert ledger.status(parent) is S.COMPLETED


def test_nobody_joins_what_waits_for_itself() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    placed = ledger.submit(ledger.work("parent", parent=child, requeue=False))
    assert (placed.id, placed.outcome) == (parent, SubmitOutcome.DUPLICATE)
    assert not ledger.joins(child)
    ledger.check()


def test_a_child_cannot_follow_or_replace_its_own_parent() -> None:
    ledger, parent = a_parent()
    child = ledger.start("child", parent=parent)
    for spawner in (parent, child):
        for on_duplicate in (OnDuplicate.KEEP, OnDuplicate.SUPERSEDE):
            new = ledger.work("parent", parent=spawner, on_duplicate=on_duplicate)
            assert ledger.refusal(new).fault is Fault.DEPENDENCY
    assert ledger.submit(ledger.work("parent")).outcome is SubmitOutcome.REQUEUED
