"""What can be retried, what comes back as what, and what a person can change about a task."""

from __future__ import annotations

from datetime import timedelta

import pytest

from taskmill.model.changes import Reorder, Revive, SetTags, StopCause
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Changed, Refused
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.moves import ready_place
from taskmill.rules.reviving import REVIVABLE, reorder, revive, set_tags
from taskmill.rules.settle import Halted, Raised, Returned
from tests.rules.ledger import ERROR, T0, Ledger

S = TaskStatus
TASK = TaskId(1)
RETRY = Raised(error=ERROR, max_retries=9, delay=timedelta(seconds=1))


def dead(ledger: Ledger, name: str = "a", *needs: TaskId) -> TaskId:
    """A task whose retries are spent."""
    task = ledger.start(name, *needs)
    ledger.end(task, Raised(error=ERROR, max_retries=0, delay=timedelta(0)))
    return task


def refusal_of(effect: object) -> str:
    assert isinstance(effect, Refused), effect
    return effect.reason


# --- a worked example ----------------------------------------------------------------------------


def test_a_dead_task_starts_anew_with_its_attempts_back_and_its_errors_kept() -> None:
    ledger = Ledger()
    task = dead(ledger)
    ledger.now_ms += 500
    effect = ledger.revive(task)
    assert isinstance(effect, Changed)
    assert [(each.before.status, each.after.status) for each in effect.moves] == [
        (S.DEAD, S.PENDING)
    ]
    record = ledger.record(task)
    assert (record.attempt, record.run, record.errors) == (0, 1, (ERROR,))
    assert (record.reason, record.finished_at) == (None, None)
    assert record.ready_at == from_ms(T0 + 500)
    assert ledger.complete(task, "1").status is S.COMPLETED


# --- what can be retried -------------------------------------------------------------------------


def test_what_has_failed_or_was_cancelled_can_be_retried() -> None:
    assert {S.DEAD, S.FAILED, S.CANCELLED, S.DEPENDENCY_FAILED} == REVIVABLE
    assert REVIVABLE < TERMINAL


@pytest.mark.parametrize("status", [S.PENDING, S.RUNNING, S.WAITING, S.COMPLETED, S.EXPIRED])
def test_anything_else_cannot_and_says_where_it_is(status: TaskStatus) -> None:
    ledger = Ledger()
    ledger.add("a", expires_at_ms=T0 + 1)
    if status is S.EXPIRED:
        ledger.now_ms += 1
        ledger.expire()
    elif status is not S.PENDING:
        ledger.claim(TASK)
    if status is S.WAITING:
        ledger.add("child", parent=TASK)
    if status in (S.WAITING, S.COMPLETED):
        ledger.end(TASK, Returned(None))
    assert refusal_of(ledger.revive(TASK)).startswith(f"task 1 (ingest::fetch) is {status};")


def test_a_superseded_task_cannot_be_retried() -> None:
    ledger = Ledger()
    ledger.add("a")
    ledger.complete(ledger.add("a", on_duplicate=OnDuplicate.SUPERSEDE))
    assert "is superseded;" in refusal_of(ledger.revive(TASK))


def test_a_task_that_only_waits_to_be_free_cannot_be_run_anyway() -> None:
    ledger = Ledger()
    first = ledger.start("first")
    blocked, follow_up = ledger.add("blocked", first), ledger.add("first")
    assert f"is blocked by task {first} (running)" in refusal_of(ledger.revive(blocked))
    assert "is blocked by the task it follows" in refusal_of(ledger.revive(follow_up))


def test_an_unknown_task_or_one_of_another_domain_cannot_be_retried() -> None:
    ledger = Ledger()
    dead(ledger)
    assert ledger.revive(TaskId(9)) is None
    assert ledger.run(revive(Revive(id=TASK, domain="process", now_ms=T0))) is None
    assert ledger.run(reorder(Reorder(id=TASK, domain="process", now_ms=T0))) is None


# --- whose identity is taken ---------------------------------------------------------------------


def test_a_task_whose_work_somebody_else_does_by_now_cannot_be_retried() -> None:
    ledger = Ledger()
    task = dead(ledger)
    other = ledger.add("a")
    reason = refusal_of(ledger.revive(task))
    assert f"task {other} (ingest::fetch), which is pending, does the same work" in reason
    ledger.complete(other)
    assert isinstance(ledger.revive(task), Changed)


def test_a_task_whose_work_was_done_not_long_ago_cannot_be_retried() -> None:
    ledger = Ledger()
    task = dead(ledger)
    other = ledger.add("a", unique_for_ms=1_000)
    ledger.complete(other)
    reason = refusal_of(ledger.revive(task))
    assert f"task {other} (ingest::fetch), which is completed, does the same work" in reason
    ledger.now_ms += 1_000
    assert isinstance(ledger.revive(task), Changed)


# --- dependencies --------------------------------------------------------------------------------


def test_a_task_whose_dependency_failed_waits_for_that_to_be_retried() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("task", need)
    ledger.fail(need)
    reason = refusal_of(ledger.revive(task))
    assert f"depends on task {need}, which ended as failed; retry that one first" in reason
    ledger.revive(need)
    ledger.revive(task)
    assert ledger.status(task) is S.BLOCKED
    ledger.complete(need)
    assert ledger.status(task) is S.PENDING


def test_a_task_whose_dependency_was_retried_and_completed_runs_at_once() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("task", need)
    ledger.fail(need)
    ledger.revive(need)
    ledger.complete(need)
    ledger.revive(task)
    assert ledger.status(task) is S.PENDING


def test_a_cancelled_task_that_was_blocked_is_blocked_again() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("task", need)
    ledger.cancel(task)
    ledger.revive(task)
    assert ledger.status(task) is S.BLOCKED
    ledger.fail(need)
    assert ledger.status(task) is S.DEPENDENCY_FAILED


def test_a_cancelled_follow_up_comes_back_as_a_task_of_its_own() -> None:
    ledger = Ledger()
    first = ledger.start("a")
    follow_up = ledger.add("a")
    ledger.cancel(follow_up)
    assert f"task {first} " in refusal_of(ledger.revive(follow_up))
    ledger.complete(first)
    ledger.revive(follow_up)
    assert ledger.status(follow_up) is S.PENDING


def test_reviving_where_leaves_what_cannot_be_and_tells_who_came_back() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("task", need)
    done = ledger.add("done")
    ledger.complete(done)
    ledger.fail(need)
    effect = ledger.revive_where(Selection(statuses=TERMINAL))
    assert effect.named == (need, task), "each sees what was revived before it"
    assert ledger.status(task) is S.BLOCKED


# --- children ------------------------------------------------------------------------------------


def test_a_retried_parent_starts_anew_and_its_old_children_fail_it_no_more() -> None:
    ledger = Ledger()
    parent = ledger.start("parent")
    slow = ledger.start("slow", parent=parent)
    ledger.end(parent, Returned("1"))
    ledger.cancel(parent)
    ledger.now_ms += 500
    ledger.revive(parent)
    ledger.claim(parent)
    ledger.stop(slow)
    assert ledger.status(slow) is S.CANCELLED
    assert ledger.record(parent).ends_as is None, "that was of the life before"
    assert ledger.end(parent, Returned("1")).status is S.COMPLETED


def test_a_child_of_the_new_life_fails_it_as_ever() -> None:
    ledger = Ledger()
    parent = dead(ledger, "parent")
    ledger.now_ms += 500
    ledger.revive(parent)
    ledger.claim(parent)
    child = ledger.start("child", parent=parent)
    ledger.fail(child)
    assert ledger.record(parent).ends_as is S.FAILED


@pytest.mark.parametrize("fail_fast", [True, False])
def test_what_a_task_joined_in_an_earlier_life_fails_it_no_more(*, fail_fast: bool) -> None:
    ledger = Ledger()
    other = ledger.start("other")
    parent = ledger.start("parent", fail_fast=fail_fast)
    ledger.submit(ledger.work("other", parent=parent, requeue=False))
    ledger.fail(parent)
    ledger.revive(parent)
    ledger.fail(other)
    assert ledger.complete(parent).status is S.COMPLETED


def test_a_child_that_is_retried_is_waited_for_again() -> None:
    ledger = Ledger()
    parent = ledger.start("parent", fail_fast=False)
    child = ledger.start("child", parent=parent)
    other = ledger.start("other", parent=parent)
    ledger.end(parent, Returned("1"))
    ledger.fail(child)
    ledger.revive(child)
    ledger.complete(other)
    assert ledger.status(parent) is S.WAITING
    ledger.complete(child)
    assert ledger.status(parent) is S.COMPLETED


# --- finalize ------------------------------------------------------------------------------------


def test_a_task_that_failed_in_its_finalize_finalizes_again() -> None:
    ledger = Ledger()
    task = ledger.start("a")
    ledger.end(task, Returned("[1]", finalizes=True))
    ledger.fail(task)
    ledger.revive(task)
    record = ledger.record(task)
    assert (record.stage, record.memo, record.attempt) == (Stage.FINALIZE, "[1]", 0)


def test_a_task_that_was_cancelled_in_its_finalize_starts_anew() -> None:
    ledger = Ledger()
    task = ledger.start("a")
    ledger.end(task, Returned("[1]", finalizes=True))
    ledger.cancel(task)
    ledger.revive(task)
    assert (ledger.record(task).stage, ledger.record(task).memo) == (Stage.EXECUTE, None)


def test_a_task_that_failed_with_a_child_before_its_finalize_starts_anew() -> None:
    ledger = Ledger()
    parent = ledger.start("parent")
    child = ledger.start("child", parent=parent)
    ledger.end(parent, Returned("[1]", finalizes=True))
    ledger.fail(child)
    assert ledger.status(parent) is S.FAILED
    ledger.revive(parent)
    assert (ledger.record(parent).stage, ledger.record(parent).memo) == (Stage.EXECUTE, None)


def test_a_task_whose_on_cancel_has_run_starts_anew() -> None:
    ledger = Ledger()
    task = ledger.start("a", has_undo=True)
    ledger.end(task, RETRY)
    ledger.cancel(task)
    ledger.claim(task)
    ledger.stop(task)
    ledger.revive(task)
    record = ledger.record(task)
    assert (record.status, record.stage, record.ends_as) == (S.PENDING, Stage.EXECUTE, None)
    assert not record.has_undo, "there is nothing to undo before it has started again"


def test_a_task_that_failed_has_not_undone_what_it_did_and_does_so_when_it_is_cancelled() -> None:
    ledger = Ledger()
    task = ledger.start("a", has_undo=True)
    ledger.fail(task)
    ledger.revive(task)
    assert ledger.record(task).has_undo
    ledger.cancel(task)
    assert (ledger.status(task), ledger.record(task).stage) == (S.PENDING, Stage.UNDO)


def test_a_suspect_that_is_retried_runs_alone() -> None:
    ledger = Ledger()
    ledger.start("a", max_interruptions=1)
    ledger.crash()
    ledger.claim(TASK)
    ledger.crash()
    assert ledger.status(TASK) is S.DEAD
    ledger.revive(TASK)
    assert (ledger.record(TASK).stage, ledger.record(TASK).interruptions) == (Stage.ALONE, 0)


def test_a_retried_task_has_its_whole_time_to_live_again() -> None:
    ledger = Ledger()
    ledger.add("a", expires_at_ms=T0 + 2_000)
    ledger.cancel(TASK)
    ledger.now_ms += 5_000
    ledger.revive(TASK)
    assert ledger.record(TASK).expires_at == from_ms(T0 + 7_000)


# --- another place, another time, other tags -----------------------------------------------------


@pytest.mark.parametrize("status", [S.PENDING, S.BLOCKED, S.RUNNING, S.WAITING])
def test_whatever_has_not_ended_can_be_given_another_priority(status: TaskStatus) -> None:
    ledger = Ledger()
    needs = [ledger.start("need")] if status is S.BLOCKED else []
    task = ledger.add("a", *needs)
    if status in (S.RUNNING, S.WAITING):
        ledger.claim(task)
    if status is S.WAITING:
        ledger.add("child", parent=task)
        ledger.end(task, Returned(None))
    effect = ledger.reorder(task, priority=3)
    assert isinstance(effect, Changed)
    assert effect.named == (task,)
    record = ledger.record(task)
    assert (record.status, record.priority, record.effective_priority) == (status, 3, 3)


def test_what_has_ended_is_not_moved() -> None:
    ledger = Ledger()
    dead(ledger)
    assert "has ended as dead" in refusal_of(ledger.reorder(TASK, priority=3))


def test_a_task_can_be_put_off_and_brought_forward() -> None:
    ledger = Ledger()
    ledger.add("a")
    ledger.reorder(TASK, run_at_ms=T0 + 9_000)
    record = ledger.record(TASK)
    assert (record.due_at, record.ready_at) == (from_ms(T0 + 9_000),) * 2
    assert ready_place(record) is None
    ledger.reorder(TASK, run_at_ms=T0 - 5)
    record = ledger.record(TASK)
    assert (record.due_at, record.ready_at) == (None, from_ms(T0))
    assert ready_place(record) is not None


def test_a_task_that_is_to_run_at_this_moment_is_ready() -> None:
    ledger = Ledger()
    ledger.add("a", due_at_ms=T0 + 9_000)
    ledger.reorder(TASK, run_at_ms=T0)
    assert ledger.record(TASK).due_at is None
    assert ready_place(ledger.record(TASK)) is not None


def test_a_blocked_task_keeps_its_new_time_until_it_is_free() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("a", need)
    ledger.reorder(task, run_at_ms=T0 + 9_000)
    assert ledger.record(task).due_at is None
    ledger.complete(need)
    assert ledger.record(task).due_at == from_ms(T0 + 9_000)


def test_what_runs_waits_or_is_to_end_cannot_be_given_another_time() -> None:
    ledger = Ledger()
    task = ledger.start("a", has_undo=True)
    assert "is running" in refusal_of(ledger.reorder(task, run_at_ms=T0))
    ledger.end(task, RETRY)
    ledger.cancel(task)
    assert "only one that waits to start" in refusal_of(ledger.reorder(task, run_at_ms=T0))


def test_tags_can_be_replaced_at_any_time() -> None:
    ledger = Ledger()
    ledger.add("a", tags={"a": "1"})
    for _ in range(2):
        effect = ledger.run(set_tags(SetTags(id=TASK, tags={"b": "2"})))
        assert isinstance(effect, Changed)
        assert ledger.record(TASK).tags == {"b": "2"}
        ledger.cancel(TASK)
    assert ledger.run(set_tags(SetTags(id=TaskId(9), tags={}))) is None


def test_a_run_that_was_claimed_before_a_change_does_not_undo_it() -> None:
    ledger = Ledger()
    ledger.start("a")
    ledger.reorder(TASK, priority=3)
    ledger.end(TASK, Halted(StopCause.SHUTDOWN))
    assert ledger.record(TASK).priority == 3


def test_a_policy_is_kept_over_lives() -> None:
    ledger = Ledger()
    need = ledger.start("need")
    task = ledger.add("task", need, on_dependency_failure=OnDependencyFailure.HOLD)
    ledger.cancel(task)
    ledger.fail(need)
    ledger.revive(task)
    assert ledger.is_held(task)
