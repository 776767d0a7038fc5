"""What the end of a run, a cancel, the passing of time and a crash do to a task."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest

from taskmill.model.changes import CancelTask, Settlement, StopCause
from taskmill.model.effects import Changed, Settled
from taskmill.model.record import TaskId
from taskmill.model.resources import IoTotals
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.ending import CHUNK, cancel, end_run
from taskmill.rules.moves import ready_place
from taskmill.rules.settle import Halted, Raised, Returned, Snoozed
from tests.rules.ledger import ERROR, T0, Ledger

S = TaskStatus
TASK = TaskId(1)
FOLLOW_UP = TaskId(2)
SECOND = timedelta(seconds=1)
RETRY = Raised(error=ERROR, max_retries=9, delay=SECOND)


def settlement(status: TaskStatus, *, run: int = 1, attempt: int = 1) -> Settlement:
    reason = None if status in (S.COMPLETED, S.PENDING) else "why"
    return Settlement(
        id=TASK, run=run, now_ms=T0, status=status, attempt=attempt, reason=reason, error=None
    )


def a_run(*, with_follow_up: bool = False, has_undo: bool = False) -> Ledger:
    ledger = Ledger()
    ledger.start("a", has_undo=has_undo)
    if with_follow_up:
        ledger.add("a")
    return ledger


# --- the end of a run ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [S.COMPLETED, S.FAILED, S.DEAD, S.CANCELLED])
def test_however_a_run_ends_the_task_its_follow_up_takes_its_place(status: TaskStatus) -> None:
    ledger = a_run(with_follow_up=True)
    ledger.now_ms += 500
    effect = ledger.run(end_run(attrs.evolve(settlement(status), now_ms=ledger.now_ms)))
    assert effect.status is status
    [released] = effect.moves
    assert released.after == ledger.record(FOLLOW_UP)
    assert released.after.status is S.PENDING
    assert released.after.ready_at == from_ms(T0 + 500), "it is as old as its turn"


def test_a_follow_up_that_is_not_due_yet_waits_for_its_time() -> None:
    ledger = a_run()
    ledger.add("a", due_at_ms=T0 + 9_000)
    [released] = ledger.complete(TASK).moves
    assert released.after.due_at == from_ms(T0 + 9_000)


def test_a_task_that_is_tried_again_keeps_its_follow_up_waiting() -> None:
    ledger = a_run(with_follow_up=True)
    effect = ledger.end(TASK, RETRY)
    assert (effect.status, effect.moves) == (S.PENDING, ())
    assert ledger.status(FOLLOW_UP) is S.BLOCKED
    assert ledger.record(TASK).errors == (ERROR,)
    assert ledger.record(TASK).due_at == from_ms(T0 + 1_000)


def test_what_follows_from_a_failure_is_told_its_error() -> None:
    ledger = a_run(with_follow_up=True)
    effect = ledger.end(TASK, Raised(error=ERROR, max_retries=0, delay=SECOND))
    assert effect.after is not None
    assert effect.after.errors == (ERROR,)


def test_an_interrupted_run_counts_as_an_interruption() -> None:
    ledger = a_run()
    ledger.run(end_run(attrs.evolve(settlement(S.PENDING), is_interrupted=True)))
    assert ledger.record(TASK).interruptions == 1


def test_the_reason_says_how_often_a_task_has_failed() -> None:
    ledger = a_run()
    last = Raised(error=ERROR, max_retries=0, delay=SECOND)
    ledger.end(TASK, last)
    assert ledger.record(TASK).reason == "failed once: ValueError: no"
    ledger = a_run()
    ledger.end(TASK, attrs.evolve(RETRY, delay=timedelta(0)))
    ledger.claim(TASK)
    ledger.end(TASK, last)
    assert ledger.record(TASK).reason == "failed 2 times; last: ValueError: no"


def test_the_end_of_a_task_that_concerns_nobody_is_one_write() -> None:
    ledger = a_run()
    effect = ledger.complete(TASK)
    assert effect == Settled(status=S.COMPLETED)
    assert len(ledger.written) == 1


@pytest.mark.parametrize("with_follow_up", [False, True])
def test_what_a_run_has_moved_and_how_often_it_was_preempted_is_kept(
    *, with_follow_up: bool
) -> None:
    ledger = a_run(with_follow_up=with_follow_up)
    totals = IoTotals(read=5)
    change = attrs.evolve(settlement(S.PENDING, attempt=0), preempted=True, io=totals)
    ledger.run(end_run(change))
    record = ledger.record(TASK)
    assert (record.io, record.preemptions, record.attempt) == (totals, 1, 0)


@pytest.mark.parametrize("status", [S.COMPLETED, S.PENDING, S.DEAD])
@pytest.mark.parametrize("with_follow_up", [False, True])
def test_a_stop_on_record_makes_any_end_a_cancel(
    status: TaskStatus, *, with_follow_up: bool
) -> None:
    ledger = a_run(with_follow_up=with_follow_up)
    ledger.cancel(TASK, "no need")
    effect = ledger.run(end_run(settlement(status)))
    assert effect.status is S.CANCELLED
    assert effect.after == ledger.record(TASK)
    assert (ledger.status(TASK), ledger.record(TASK).reason) == (S.CANCELLED, "no need")
    if with_follow_up:
        assert ledger.status(FOLLOW_UP) is S.PENDING


@pytest.mark.parametrize("status", [S.COMPLETED, S.PENDING, S.DEAD])
def test_a_run_that_ends_before_its_stop_reached_it_owes_its_on_cancel(status: TaskStatus) -> None:
    ledger = a_run(has_undo=True)
    ledger.cancel(TASK, "no need")
    assert ledger.run(end_run(settlement(status))).status is S.PENDING
    record = ledger.record(TASK)
    assert (record.stage, record.ends_as, record.reason) == (Stage.UNDO, S.CANCELLED, "no need")
    assert ready_place(record) is not None
    ledger.claim(TASK)
    assert ledger.stop(TASK).status is S.CANCELLED
    assert ledger.record(TASK).reason == "no need"


def test_an_on_cancel_that_a_shutdown_interrupts_is_still_owed() -> None:
    ledger = a_run(has_undo=True)
    ledger.cancel(TASK)
    for _ in range(3):
        assert ledger.end(TASK, Halted(StopCause.SHUTDOWN)).status is S.PENDING
        assert ledger.record(TASK).stage is Stage.UNDO
        ledger.claim(TASK)
    assert ledger.stop(TASK).status is S.CANCELLED


@pytest.mark.parametrize("run", [0, 2])
def test_a_settlement_of_another_run_changes_nothing(run: int) -> None:
    ledger = a_run(with_follow_up=True)
    before = ledger.record(TASK)
    effect = ledger.run(end_run(settlement(S.DEAD, run=run)))
    assert effect == Settled(status=None)
    assert ledger.record(TASK) == before
    assert not ledger.written


def test_a_second_settlement_of_a_run_changes_nothing() -> None:
    ledger = a_run()
    ledger.run(end_run(settlement(S.COMPLETED)))
    assert ledger.run(end_run(settlement(S.FAILED))) == Settled(status=None)
    assert ledger.status(TASK) is S.COMPLETED


def test_a_settlement_of_a_deleted_task_changes_nothing() -> None:
    assert Ledger().run(end_run(settlement(S.COMPLETED))) == Settled(status=None)


def test_a_handler_that_returns_for_its_finalize_has_it_run_next() -> None:
    ledger = a_run()
    ledger.end(TASK, RETRY)
    ledger.now_ms += 1_000
    ledger.promote()
    ledger.claim(TASK)
    assert ledger.end(TASK, Returned("[1]", finalizes=True)).status is S.PENDING
    record = ledger.record(TASK)
    assert (record.stage, record.memo, record.attempt) == (Stage.FINALIZE, "[1]", 0)
    assert ledger.complete(TASK, '"done"').status is S.COMPLETED
    assert ledger.record(TASK).result == '"done"'


# --- cancel --------------------------------------------------------------------------------------


def a_cancel(*, domain: str | None = None, reason: str | None = None) -> CancelTask:
    return CancelTask(id=TASK, domain=domain, reason=reason, now_ms=T0)


def test_an_unknown_task_cannot_be_cancelled() -> None:
    assert Ledger().run(cancel(a_cancel())) is None


def test_a_task_of_another_domain_is_as_good_as_unknown() -> None:
    ledger = Ledger()
    ledger.add("a")
    assert ledger.run(cancel(a_cancel(domain="process"))) is None
    assert not ledger.written
    changed = ledger.run(cancel(a_cancel(domain="ingest")))
    assert isinstance(changed, Changed)
    assert changed.named == (TASK,)


def test_a_task_that_has_ended_is_left_alone() -> None:
    ledger = a_run()
    ledger.complete(TASK)
    assert ledger.cancel(TASK) == Changed(named=())
    assert not ledger.written


def test_a_running_task_is_told_to_stop_and_keeps_running() -> None:
    ledger = a_run(with_follow_up=True)
    [told] = ledger.cancel(TASK).moves
    assert (told.after.status, told.after.ends_as) == (S.RUNNING, S.CANCELLED)
    assert told.after.reason == "cancelled while running"
    assert ledger.status(FOLLOW_UP) is S.BLOCKED


def test_a_second_cancel_of_a_running_task_says_so_and_changes_nothing() -> None:
    ledger = a_run()
    ledger.cancel(TASK, "first")
    assert ledger.cancel(TASK, "second") == Changed(named=(TASK,))
    assert ledger.record(TASK).reason == "first"


@pytest.mark.parametrize(
    ("reason", "expected"), [(None, "cancelled"), ("no need", "no need"), ("", "cancelled")]
)
def test_a_ready_task_ends_and_leaves_the_queue(reason: str | None, expected: str) -> None:
    ledger = Ledger()
    ledger.add("a")
    [ended] = ledger.cancel(TASK, reason).moves
    assert ready_place(ended.before) is not None
    assert ready_place(ended.after) is None
    record = ledger.record(TASK)
    assert (record.status, record.reason) == (S.CANCELLED, expected)
    assert record.finished_at == from_ms(T0)


def test_a_task_that_waits_for_its_time_ends_and_is_due_no_more() -> None:
    ledger = Ledger()
    ledger.add("a", due_at_ms=T0 + 9_000)
    [ended] = ledger.cancel(TASK).moves
    assert (ended.before.due_at, ended.after.due_at) == (from_ms(T0 + 9_000), None)


def test_a_task_whose_handler_has_started_before_runs_its_on_cancel_first() -> None:
    ledger = a_run(has_undo=True)
    ledger.end(TASK, RETRY)
    ledger.cancel(TASK)
    record = ledger.record(TASK)
    assert (record.status, record.stage, record.due_at) == (S.PENDING, Stage.UNDO, None)
    assert record.attempt == 0, "its tries are its own"
    assert ledger.cancel(TASK) == Changed(named=(TASK,))
    ledger.claim(TASK)
    assert ledger.stop(TASK).status is S.CANCELLED


def test_a_follow_up_can_be_cancelled_by_itself() -> None:
    ledger = a_run(with_follow_up=True)
    [ended] = ledger.cancel(FOLLOW_UP).moves
    assert ended.after.status is S.CANCELLED
    assert ledger.status(TASK) is S.RUNNING
    assert ledger.add("a") == 3
    assert ledger.record(TaskId(3)).is_follow_up


def test_the_follow_up_of_a_cancelled_retry_takes_its_place() -> None:
    ledger = a_run(with_follow_up=True)
    ledger.end(TASK, RETRY)
    _, released = ledger.cancel(TASK).moves
    assert (released.after.id, released.after.status) == (FOLLOW_UP, S.PENDING)


def test_cancel_where_ends_all_that_are_meant_once() -> None:
    ledger = Ledger()
    parent = ledger.start("parent")
    child = ledger.add("child", parent=parent)
    dependent = ledger.add("dependent", child)
    other = ledger.add("other")
    effect = ledger.cancel_where(Selection(statuses=ACTIVE, ids=frozenset({parent, child})))
    assert effect.named == (parent, child)
    assert [each.after.id for each in effect.moves] == [parent, child, dependent]
    assert ledger.status(child) is S.CANCELLED
    assert ledger.status(dependent) is S.DEPENDENCY_FAILED
    assert ledger.status(other) is S.PENDING


def test_cancel_where_names_nothing_that_has_ended_before() -> None:
    ledger = a_run()
    ledger.complete(TASK)
    other = ledger.add("other")
    effect = ledger.cancel_where(Selection(statuses=ACTIVE | {S.COMPLETED}))
    assert effect.named == (other,)


def test_cancel_where_looks_at_any_number_of_tasks() -> None:
    ledger = Ledger()
    tasks = [ledger.add(str(number)) for number in range(2 * CHUNK + 1)]
    chain = ledger.add("last", tasks[0])
    effect = ledger.cancel_where(Selection(statuses=ACTIVE))
    assert effect.named == (*tasks, chain)
    assert ledger.status(chain) is S.DEPENDENCY_FAILED
    assert not list(ledger.active())


# --- time ----------------------------------------------------------------------------------------


def test_what_has_not_started_in_time_expires_the_oldest_first() -> None:
    ledger = Ledger()
    late = ledger.add("late", expires_at_ms=T0 + 20)
    first = ledger.add("first", expires_at_ms=T0 + 10)
    ledger.start("running", expires_at_ms=T0 + 10)
    last = ledger.add("last", expires_at_ms=T0 + 5_000)
    ledger.now_ms += 20
    swept = ledger.expire(limit=1)
    assert ([each.after.id for each in swept.moves], swept.next_ms) == ([first], T0 + 20)
    swept = ledger.expire(limit=1)
    assert ([each.after.id for each in swept.moves], swept.next_ms) == ([late], T0 + 5_000)
    assert ledger.record(first).reason == "could not start in its time to live"
    assert ledger.status(last) is S.PENDING
    assert ledger.expire().moves == ()


def test_a_task_that_could_not_be_tried_again_in_time_says_so() -> None:
    ledger = Ledger()
    ledger.start("a", ttl_ms=500)
    assert ledger.record(TASK).expires_at == from_ms(T0 + 500)
    ledger.end(TASK, RETRY)
    ledger.now_ms += 500
    ledger.expire()
    assert ledger.status(TASK) is S.EXPIRED
    assert ledger.record(TASK).reason == "could not start again in its time to live"


def test_what_has_returned_or_is_to_end_does_not_expire() -> None:
    ledger = Ledger()
    returned = ledger.start("returned", expires_at_ms=T0 + 1)
    ledger.end(returned, Returned("1", finalizes=True))
    ending = ledger.start("ending", has_undo=True, expires_at_ms=T0 + 1)
    ledger.end(ending, RETRY)
    ledger.cancel(ending)
    ledger.now_ms += 10
    assert ledger.expire().moves == ()


def test_the_follow_up_of_an_expired_task_takes_its_place() -> None:
    ledger = Ledger()
    ledger.start("a", expires_at_ms=T0 + 1)
    ledger.add("a")
    ledger.end(TASK, RETRY)
    ledger.now_ms += 1
    ledger.expire()
    assert (ledger.status(TASK), ledger.status(FOLLOW_UP)) == (S.EXPIRED, S.PENDING)


# --- crashes -------------------------------------------------------------------------------------


def test_a_run_that_was_to_stop_ends_as_its_stop_says() -> None:
    ledger = a_run(with_follow_up=True)
    ledger.cancel(TASK, "no need")
    ledger.crash()
    assert (ledger.status(TASK), ledger.record(TASK).reason) == (S.CANCELLED, "no need")
    assert ledger.status(FOLLOW_UP) is S.PENDING


def test_an_on_cancel_is_begun_again_after_a_crash_five_times_at_most() -> None:
    ledger = a_run(has_undo=True)
    ledger.cancel(TASK)
    for _ in range(5):
        ledger.crash()
        assert ledger.record(TASK).stage is Stage.UNDO
        ledger.claim(TASK)
    ledger.crash()
    assert ledger.status(TASK) is S.CANCELLED


def test_crashes_of_the_handler_cost_its_on_cancel_no_try() -> None:
    ledger = a_run(has_undo=True)
    for _ in range(5):
        ledger.crash()
        ledger.claim(TASK)
    assert ledger.record(TASK).stage is Stage.ALONE
    ledger.cancel(TASK)
    ledger.crash()
    record = ledger.record(TASK)
    assert (record.status, record.stage) == (S.PENDING, Stage.UNDO | Stage.ALONE)


def test_a_task_that_ran_at_too_many_crashes_runs_alone_and_ends_if_that_crashes_too() -> None:
    ledger = Ledger()
    ledger.start("a", max_interruptions=3)
    ledger.add("a")
    for crashes in (1, 2, 3):
        ledger.crash()
        record = ledger.record(TASK)
        assert (record.status, record.attempt, record.interruptions) == (S.PENDING, 0, crashes)
        assert record.stage.is_alone is (crashes == 3)
        ledger.claim(TASK)
    ledger.crash()
    assert ledger.status(TASK) is S.DEAD
    assert ledger.record(TASK).reason == (
        "the process died 4 times while it ran; the last time it ran alone"
    )
    assert ledger.status(FOLLOW_UP) is S.PENDING


@pytest.mark.parametrize("result", [Returned("1"), RETRY, Returned("1", finalizes=True)])
def test_a_suspect_that_runs_alone_to_its_end_is_suspected_no_more(
    result: Returned | Raised,
) -> None:
    ledger = Ledger()
    ledger.start("a", max_interruptions=1)
    ledger.crash()
    ledger.claim(TASK)
    ledger.end(TASK, result)
    record = ledger.record(TASK)
    assert (record.stage.is_alone, record.interruptions) == (False, 0)


@pytest.mark.parametrize("result", [Halted(StopCause.SHUTDOWN), Snoozed(SECOND)])
def test_a_suspect_that_is_interrupted_runs_alone_again(result: Halted | Snoozed) -> None:
    ledger = Ledger()
    ledger.start("a", max_interruptions=1)
    ledger.crash()
    ledger.claim(TASK)
    ledger.end(TASK, result)
    assert ledger.record(TASK).stage is Stage.ALONE


def test_recovering_twice_changes_nothing_the_second_time() -> None:
    ledger = a_run(with_follow_up=True, has_undo=True)
    ledger.start("b")
    ledger.cancel(TASK)
    ledger.crash()
    before = {task: row.record for task, row in ledger.rows.items()}
    ledger.crash()
    assert before == {task: row.record for task, row in ledger.rows.items()}
    assert {record.status for record in before.values()} <= {S.PENDING, S.BLOCKED, *TERMINAL}
