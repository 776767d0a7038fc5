"""Where a task goes when a run of it has ended, for every way a run can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import Settlement, StopCause
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Settled
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.resources import IoTotals
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TERMINAL, TRANSITIONS, TaskStatus
from taskmill.model.times import MILLISECOND
from taskmill.rules.ending import end_run
from taskmill.rules.moves import move
from taskmill.rules.reviving import REVIVABLE
from taskmill.rules.settle import (
    Halted,
    Interrupted,
    Raised,
    Result,
    Returned,
    Snoozed,
    settle,
)
from tests.rules.ledger import Ledger

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)
NOW_MS = 1_714_564_800_000
SECOND = timedelta(seconds=1)

ERROR = ErrorRecord(type="ValueError", message="no luck", traceback="", run=7, at=NOW)


def running(*, attempt: int, run: int = 7) -> TaskRecord:
    """A task whose claim has counted this attempt."""
    return TaskRecord(
        id=TaskId(3),
        type="ingest::fetch",
        domain="ingest",
        payload="{}",
        key=None,
        label="ingest::fetch",
        tags={},
        group=None,
        status=TaskStatus.RUNNING,
        priority=128,
        attempt=attempt,
        run=run,
        max_retries=None,
        options=None,
        created_at=NOW,
        ready_at=NOW,
        due_at=None,
        run_at=None,
        started_at=NOW,
        finished_at=None,
        parent=None,
        result=None,
        errors=(),
        reason=None,
    )


def settled(status: TaskStatus, *, attempt: int) -> Settlement:
    """The settlement of that run, with nothing but a status."""
    return Settlement(id=TaskId(3), run=7, now_ms=NOW_MS, status=status, attempt=attempt)


def raised(
    *, max_retries: int = 3, delay: timedelta | None = SECOND, dead_letter: bool = True
) -> Raised:
    return Raised(error=ERROR, max_retries=max_retries, delay=delay, dead_letter=dead_letter)


# --- every result --------------------------------------------------------------------------------


@pytest.mark.parametrize("attempt", [1, 2, 9])
@pytest.mark.parametrize("result", [None, '"done"'])
def test_a_return_completes_the_task_with_its_result(attempt: int, result: str | None) -> None:
    expected = attrs.evolve(settled(TaskStatus.COMPLETED, attempt=attempt), result=result)
    assert settle(running(attempt=attempt), Returned(result), now_ms=NOW_MS) == expected


@pytest.mark.parametrize("attempt", [1, 2, 9])
def test_a_cancelled_run_ends_the_task_and_says_so(attempt: int) -> None:
    expected = attrs.evolve(
        settled(TaskStatus.CANCELLED, attempt=attempt), reason="cancelled while running"
    )
    halted = Halted(StopCause.CANCELLED)
    assert settle(running(attempt=attempt), halted, now_ms=NOW_MS) == expected


@pytest.mark.parametrize("attempt", [1, 2, 9])
def test_shutdown_puts_the_task_back_at_once_and_refunds_the_attempt(attempt: int) -> None:
    expected = settled(TaskStatus.PENDING, attempt=attempt - 1)
    halted = Halted(StopCause.SHUTDOWN)
    assert settle(running(attempt=attempt), halted, now_ms=NOW_MS) == expected


@pytest.mark.parametrize("cause", [StopCause.PAUSED, StopCause.PREEMPTED])
def test_a_pause_or_something_more_urgent_refunds_the_attempt_too(cause: StopCause) -> None:
    expected = settled(TaskStatus.PENDING, attempt=1)
    was_preempted = cause is StopCause.PREEMPTED
    settlement = settle(running(attempt=2), Halted(cause), now_ms=NOW_MS)
    assert settlement == attrs.evolve(expected, preempted=was_preempted)


@pytest.mark.parametrize("cause", [StopCause.SUPERSEDED, StopCause.FAILED])
def test_a_run_that_was_to_end_ends_as_it_was_told(cause: StopCause) -> None:
    error = attrs.evolve(ERROR, message="on_cancel broke")
    halted = Halted(cause, is_undone=True, error=error)
    settlement = settle(running(attempt=2), halted, now_ms=NOW_MS)
    assert settlement.status.value == cause.value
    assert (settlement.is_undone, settlement.error) == (True, error)


def test_a_handler_that_cancels_its_task_says_why() -> None:
    halted = Halted(StopCause.CANCELLED, is_undone=True, reason="no such file")
    assert settle(running(attempt=1), halted, now_ms=NOW_MS).reason == "no such file"


def test_a_snooze_is_no_attempt_and_sets_the_time_of_the_next_run() -> None:
    expected = attrs.evolve(settled(TaskStatus.PENDING, attempt=2), due_at_ms=NOW_MS + 1_000)
    assert settle(running(attempt=3), Snoozed(SECOND), now_ms=NOW_MS) == expected
    at_once = settle(running(attempt=3), Snoozed(timedelta(0)), now_ms=NOW_MS)
    assert at_once.due_at_ms is None


@pytest.mark.parametrize("interruptions", [0, 4])
def test_a_lost_worker_puts_the_task_back_at_once_and_is_counted(interruptions: int) -> None:
    record = attrs.evolve(running(attempt=2), interruptions=interruptions)
    back = attrs.evolve(settled(TaskStatus.PENDING, attempt=1), is_interrupted=True)
    assert settle(record, Interrupted("gone", 5), now_ms=NOW_MS) == back


def test_a_task_that_loses_its_worker_once_too_often_is_dead_and_says_why() -> None:
    record = attrs.evolve(running(attempt=2), interruptions=5)
    dead = settle(record, Interrupted("killed by SIGSEGV", 5), now_ms=NOW_MS)
    reason = "interrupted 6 times while it ran; last: killed by SIGSEGV"
    assert dead == attrs.evolve(settled(TaskStatus.DEAD, attempt=2), reason=reason)


def test_a_task_that_nothing_could_begin_is_not_counted_and_waits_a_second() -> None:
    record = attrs.evolve(running(attempt=2), interruptions=5)
    back = settle(record, Interrupted("gone", 5, has_begun=False), now_ms=NOW_MS)
    assert back == attrs.evolve(settled(TaskStatus.PENDING, attempt=1), due_at_ms=NOW_MS + 1000)


@pytest.mark.parametrize("result", [Returned(None), raised(), Snoozed(SECOND)])
def test_what_all_runs_have_moved_is_settled_with_them(result: Result) -> None:
    totals = IoTotals(read=1)
    assert settle(running(attempt=1), result, now_ms=NOW_MS, io=totals).io == totals


def test_a_timeout_is_not_a_result_of_its_own() -> None:
    with pytest.raises(ValueError, match="TimeoutError"):
        settle(running(attempt=1), Halted(StopCause.TIMEOUT), now_ms=NOW_MS)


@pytest.mark.parametrize("attempt", [1, 3, 4, 9])
@pytest.mark.parametrize("dead_letter", [False, True])
def test_an_error_that_is_never_retried_fails_the_task(attempt: int, *, dead_letter: bool) -> None:
    expected = attrs.evolve(
        settled(TaskStatus.FAILED, attempt=attempt), reason="ValueError: no luck", error=ERROR
    )
    error = raised(delay=None, dead_letter=dead_letter)
    assert settle(running(attempt=attempt), error, now_ms=NOW_MS) == expected


@pytest.mark.parametrize("attempt", [1, 2, 3])
@pytest.mark.parametrize("dead_letter", [False, True])
def test_an_error_with_retries_left_waits_out_its_delay(attempt: int, *, dead_letter: bool) -> None:
    expected = attrs.evolve(
        settled(TaskStatus.PENDING, attempt=attempt), due_at_ms=NOW_MS + 1_000, error=ERROR
    )
    error = raised(dead_letter=dead_letter)
    assert settle(running(attempt=attempt), error, now_ms=NOW_MS) == expected


@pytest.mark.parametrize("attempt", [4, 5])
@pytest.mark.parametrize(
    ("dead_letter", "status"), [(True, TaskStatus.DEAD), (False, TaskStatus.FAILED)]
)
def test_an_error_with_no_retries_left_ends_the_task(
    attempt: int, status: TaskStatus, *, dead_letter: bool
) -> None:
    expected = attrs.evolve(
        settled(status, attempt=attempt),
        reason=f"failed {attempt} times; last: ValueError: no luck",
        error=ERROR,
    )
    error = raised(dead_letter=dead_letter)
    assert settle(running(attempt=attempt), error, now_ms=NOW_MS) == expected


def test_a_delay_of_zero_makes_the_task_ready_at_once() -> None:
    settlement = settle(running(attempt=1), raised(delay=timedelta(0)), now_ms=NOW_MS)
    assert (settlement.status, settlement.due_at_ms) == (TaskStatus.PENDING, None)


@pytest.mark.parametrize(
    ("delay", "ms"),
    [
        (timedelta(microseconds=1), 1),
        (timedelta(microseconds=999), 1),
        (timedelta(milliseconds=1), 1),
        (timedelta(microseconds=1_001), 2),
        (timedelta(days=365, microseconds=1), 31_536_000_001),
    ],
)
def test_a_delay_is_rounded_up_to_whole_milliseconds(delay: timedelta, ms: int) -> None:
    settlement = settle(running(attempt=1), raised(delay=delay), now_ms=NOW_MS)
    assert settlement.due_at_ms == NOW_MS + ms


# --- properties ----------------------------------------------------------------------------------

results: st.SearchStrategy[Result] = st.one_of(
    st.builds(Returned, st.sampled_from((None, "1", '"done"')), st.booleans()),
    st.builds(
        Raised,
        error=st.just(ERROR),
        max_retries=st.integers(0, 5),
        delay=st.none() | st.timedeltas(timedelta(0), timedelta(days=365)),
        dead_letter=st.booleans(),
    ),
    st.builds(Snoozed, st.timedeltas(timedelta(0), timedelta(days=365))),
    st.builds(Interrupted, st.just("gone"), st.integers(0, 5), st.booleans()),
    st.builds(
        Halted,
        st.sampled_from([cause for cause in StopCause if cause is not StopCause.TIMEOUT]),
        is_undone=st.booleans(),
    ),
)


@given(results, st.integers(1, 7), st.integers(1, 100))
@settings(deadline=None)
def test_every_settlement_is_a_legal_move_of_exactly_this_run(
    result: Result, attempt: int, run: int
) -> None:
    settlement = settle(running(attempt=attempt, run=run), result, now_ms=NOW_MS)
    assert settlement.status in TRANSITIONS[TaskStatus.RUNNING]
    assert (settlement.id, settlement.run, settlement.now_ms) == (3, run, NOW_MS)
    assert (settlement.error is not None) == isinstance(result, Raised), "every error is kept"
    has_failed = settlement.status.is_terminal and settlement.status is not TaskStatus.COMPLETED
    assert (settlement.reason is not None) == has_failed


@given(st.timedeltas(timedelta(0), timedelta(days=365)))
@settings(deadline=None)
def test_no_retry_is_early_and_none_is_a_millisecond_late(delay: timedelta) -> None:
    settlement = settle(running(attempt=1), raised(delay=delay), now_ms=NOW_MS)
    wait = ((settlement.due_at_ms or NOW_MS) - NOW_MS) * MILLISECOND
    assert delay <= wait < delay + MILLISECOND


@given(st.integers(0, 8), st.lists(st.booleans(), max_size=30), st.booleans())
@settings(deadline=None)
def test_n_retries_are_n_plus_1_attempts_however_often_it_is_interrupted(
    retries: int, interruptions: list[bool], dead_letter: bool
) -> None:
    counted, failures = 0, 0
    status = TaskStatus.PENDING
    while status is TaskStatus.PENDING:
        interrupted = bool(interruptions) and interruptions.pop()
        result = (
            Halted(StopCause.SHUTDOWN)
            if interrupted
            else raised(max_retries=retries, dead_letter=dead_letter)
        )
        failures += not interrupted
        settlement = settle(running(attempt=counted + 1), result, now_ms=NOW_MS)
        counted, status = settlement.attempt, settlement.status
    assert failures == retries + 1 == counted
    assert status is (TaskStatus.DEAD if dead_letter else TaskStatus.FAILED)


# --- every state, every result -------------------------------------------------------------------

S = TaskStatus
UNDONE = {
    cause: Halted(cause, is_undone=True)
    for cause in (StopCause.CANCELLED, StopCause.SUPERSEDED, StopCause.FAILED)
}
RESULTS: Mapping[str, Result] = {
    "returned": Returned("1"),
    "returned for finalize": Returned("1", finalizes=True),
    "raised, will retry": raised(max_retries=1),
    "raised, retries spent": raised(max_retries=0),
    "raised, spent, no dead letter": raised(max_retries=0, dead_letter=False),
    "raised for good": raised(delay=None),
    "snoozed": Snoozed(SECOND),
    "cancelled": Halted(StopCause.CANCELLED),
    "superseded": Halted(StopCause.SUPERSEDED),
    "failed": Halted(StopCause.FAILED),
    "cancelled, undone": UNDONE[StopCause.CANCELLED],
    "superseded, undone": UNDONE[StopCause.SUPERSEDED],
    "failed, undone": UNDONE[StopCause.FAILED],
    "shutdown": Halted(StopCause.SHUTDOWN),
    "paused": Halted(StopCause.PAUSED),
    "preempted": Halted(StopCause.PREEMPTED),
    "interrupted": Interrupted("gone", 5),
    "interrupted too often": Interrupted("gone", 0),
    "never begun": Interrupted("gone", 5, has_begun=False),
}
AGAIN, UNDO = "pending again", "pending, to run on_cancel"
OUTCOMES: Mapping[str, tuple[str, str, str]] = {
    # with no stop on record; with one; with one, and an on_cancel
    "returned": (S.COMPLETED, "as it was to", UNDO),
    "returned for finalize": ("pending, to finalize", "as it was to", UNDO),
    "raised, will retry": (AGAIN, "as it was to", UNDO),
    "raised, retries spent": (S.DEAD, "as it was to", UNDO),
    "raised, spent, no dead letter": (S.FAILED, "as it was to", UNDO),
    "raised for good": (S.FAILED, "as it was to", UNDO),
    "snoozed": (AGAIN, "as it was to", UNDO),
    "cancelled": (S.CANCELLED, "as it was to", UNDO),
    "superseded": (S.SUPERSEDED, "as it was to", UNDO),
    "failed": (S.FAILED, "as it was to", UNDO),
    "cancelled, undone": (S.CANCELLED, "as it was to", "as it was to"),
    "superseded, undone": (S.SUPERSEDED, "as it was to", "as it was to"),
    "failed, undone": (S.FAILED, "as it was to", "as it was to"),
    "shutdown": (AGAIN, "as it was to", UNDO),
    "paused": (AGAIN, "as it was to", UNDO),
    "preempted": (AGAIN, "as it was to", UNDO),
    "interrupted": (AGAIN, "as it was to", UNDO),
    "interrupted too often": (S.DEAD, "as it was to", UNDO),
    "never begun": (AGAIN, "as it was to", UNDO),
}
ENDS = (S.CANCELLED, S.SUPERSEDED, S.FAILED)


def put_in(ledger: Ledger, status: TaskStatus, *, has_undo: bool) -> TaskId:
    """A task that has run and is in this state now, or was blocked before it could."""
    if status in (S.BLOCKED, S.DEPENDENCY_FAILED):
        need = ledger.start("need")
        task = ledger.add("a", need)
        if status is S.DEPENDENCY_FAILED:
            ledger.fail(need)
        return task
    task = ledger.start("a", has_undo=has_undo, ttl_ms=500)
    match status:
        case S.WAITING:
            ledger.add("child", parent=task)
            ledger.end(task, Returned(None))
        case S.PENDING:
            ledger.end(task, Halted(StopCause.SHUTDOWN))
        case S.EXPIRED:
            ledger.end(task, Halted(StopCause.SHUTDOWN))
            ledger.now_ms += 500
            ledger.expire()
        case S.COMPLETED:
            ledger.end(task, Returned(None))
        case S.DEAD:
            ledger.end(task, raised(max_retries=0))
        case S.FAILED | S.CANCELLED | S.SUPERSEDED:
            causes = {cause.value: cause for cause in UNDONE}
            ledger.end(task, UNDONE[causes[status.value]])
        case _:
            assert status is S.RUNNING
    return task


def outcome(ledger: Ledger, task: TaskId) -> str:
    record = ledger.record(task)
    if record.status is not S.PENDING:
        return record.status
    parts = {Stage.EXECUTE: AGAIN, Stage.FINALIZE: "pending, to finalize", Stage.UNDO: UNDO}
    return parts[record.stage.part]


def tell(ledger: Ledger, task: TaskId, ends_as: TaskStatus) -> None:
    """Put a stop of a running task on record."""
    match ends_as:
        case S.CANCELLED:
            ledger.cancel(task, "why")
        case S.SUPERSEDED:
            ledger.add("a", on_duplicate=OnDuplicate.SUPERSEDE)
        case _:
            ledger.cancel(ledger.add("child", parent=task))
    assert ledger.record(task).ends_as is ends_as


@pytest.mark.parametrize("concerns_others", [False, True])
@pytest.mark.parametrize("has_undo", [False, True])
@pytest.mark.parametrize("ends_as", [None, *ENDS])
@pytest.mark.parametrize("name", RESULTS)
def test_where_a_run_takes_its_task(
    name: str, ends_as: TaskStatus | None, *, has_undo: bool, concerns_others: bool
) -> None:
    ledger = Ledger()
    task = put_in(ledger, S.RUNNING, has_undo=has_undo)
    if concerns_others:
        ledger.add("dependent", task)
    if ends_as is not None:
        tell(ledger, task, ends_as)
    free, stopped, stopped_undo = OUTCOMES[name]
    expected = free if ends_as is None else stopped_undo if has_undo else stopped
    reason = ledger.record(task).reason
    ledger.end(task, RESULTS[name])
    record = ledger.record(task)
    assert outcome(ledger, task) == (ends_as if expected == "as it was to" else expected)
    if ends_as is not None:
        assert record.reason == reason, "what is on record first stays"
        assert record.result is None
    ledger.check()


@pytest.mark.parametrize("status", sorted((ACTIVE | TERMINAL) - {S.RUNNING, S.PAUSED}))
@pytest.mark.parametrize("has_undo", [False, True])
@pytest.mark.parametrize("name", RESULTS)
def test_what_does_not_run_cannot_be_settled(
    name: str, status: TaskStatus, *, has_undo: bool
) -> None:
    ledger = Ledger()
    task = put_in(ledger, status, has_undo=has_undo)
    record = ledger.record(task)
    assert record.status is status
    attempt = attrs.evolve(record, attempt=max(record.attempt, 1))
    late = settle(attempt, RESULTS[name], now_ms=ledger.now_ms)
    assert ledger.run(end_run(late)) == Settled(status=None)
    assert ledger.record(task) == record


# --- the table of moves --------------------------------------------------------------------------

LEGAL = {(before, after) for before, others in TRANSITIONS.items() for after in others}


def replace(ledger: Ledger) -> TaskId:
    return ledger.add("a", on_duplicate=OnDuplicate.SUPERSEDE)


def retry_that_a_child_ends(ledger: Ledger) -> None:
    task = ledger.start("a")
    child = ledger.start("child", parent=task)
    ledger.end(task, Halted(StopCause.SHUTDOWN))
    ledger.fail(child)


def waiting(ledger: Ledger, *, finalizes: bool = False, ends_well: bool | None = None) -> TaskId:
    task = ledger.start("a")
    child = ledger.start("child", parent=task)
    ledger.end(task, Returned(None, finalizes=finalizes))
    if ends_well is not None:
        (ledger.complete if ends_well else ledger.fail)(child)
    return task


def blocked(ledger: Ledger, *, ends_well: bool | None = None, **fields: object) -> TaskId:
    need = ledger.start("need")
    task = ledger.add("a", need, **fields)
    if ends_well is not None:
        (ledger.complete if ends_well else ledger.fail)(need)
    return task


def expire(ledger: Ledger, task: TaskId) -> None:
    ledger.now_ms += 1
    ledger.expire()
    assert ledger.status(task) is S.EXPIRED


def cancel_and_retry(ledger: Ledger, task: TaskId) -> None:
    ledger.cancel(task)
    ledger.revive(task)


def retry_after_its_need(ledger: Ledger, *, completes: bool) -> None:
    task = blocked(ledger, ends_well=False)
    need = TaskId(task - 1)
    ledger.revive(need)
    if completes:
        ledger.complete(need)
    ledger.revive(task)


MOVES: Mapping[tuple[TaskStatus, TaskStatus], Callable[[Ledger], object]] = {
    (S.PENDING, S.RUNNING): lambda of: of.start("a"),
    (S.PENDING, S.CANCELLED): lambda of: of.cancel(of.add("a")),
    (S.PENDING, S.SUPERSEDED): lambda of: (of.add("a"), replace(of)),
    (S.PENDING, S.EXPIRED): lambda of: expire(of, of.add("a", expires_at_ms=of.now_ms)),
    (S.PENDING, S.FAILED): retry_that_a_child_ends,
    (S.BLOCKED, S.PENDING): lambda of: blocked(of, ends_well=True),
    (S.BLOCKED, S.CANCELLED): lambda of: of.cancel(blocked(of)),
    (S.BLOCKED, S.SUPERSEDED): lambda of: (blocked(of), replace(of)),
    (S.BLOCKED, S.EXPIRED): lambda of: expire(of, blocked(of, expires_at_ms=of.now_ms)),
    (S.BLOCKED, S.DEPENDENCY_FAILED): lambda of: blocked(of, ends_well=False),
    (S.RUNNING, S.PENDING): lambda of: of.end(of.start("a"), Halted(StopCause.SHUTDOWN)),
    (S.RUNNING, S.WAITING): waiting,
    (S.RUNNING, S.COMPLETED): lambda of: of.complete(of.start("a")),
    (S.RUNNING, S.FAILED): lambda of: of.fail(of.start("a")),
    (S.RUNNING, S.DEAD): lambda of: of.end(of.start("a"), raised(max_retries=0)),
    (S.RUNNING, S.CANCELLED): lambda of: of.end(of.start("a"), UNDONE[StopCause.CANCELLED]),
    (S.RUNNING, S.SUPERSEDED): lambda of: of.end(of.start("a"), UNDONE[StopCause.SUPERSEDED]),
    (S.WAITING, S.PENDING): lambda of: waiting(of, finalizes=True, ends_well=True),
    (S.WAITING, S.COMPLETED): lambda of: waiting(of, ends_well=True),
    (S.WAITING, S.FAILED): lambda of: waiting(of, ends_well=False),
    (S.WAITING, S.CANCELLED): lambda of: of.cancel(waiting(of)),
    (S.WAITING, S.SUPERSEDED): lambda of: (waiting(of), replace(of)),
    (S.FAILED, S.PENDING): lambda of: (of.fail(of.add("a")), of.revive(TaskId(1))),
    (S.DEAD, S.PENDING): lambda of: (
        of.end(of.start("a"), raised(max_retries=0)),
        of.revive(TaskId(1)),
    ),
    (S.CANCELLED, S.PENDING): lambda of: cancel_and_retry(of, of.add("a")),
    (S.CANCELLED, S.BLOCKED): lambda of: cancel_and_retry(of, blocked(of)),
    (S.DEPENDENCY_FAILED, S.PENDING): lambda of: retry_after_its_need(of, completes=True),
    (S.DEPENDENCY_FAILED, S.BLOCKED): lambda of: retry_after_its_need(of, completes=False),
}


@pytest.mark.parametrize("legal", sorted(LEGAL))
def test_every_legal_move_is_made(legal: tuple[TaskStatus, TaskStatus]) -> None:
    """And none but legal ones: the ledger refuses them."""
    ledger = Ledger()
    MOVES[legal](ledger)
    assert legal in ledger.made


def test_every_state_is_active_or_terminal_but_paused_is_only_reported() -> None:
    assert set(TaskStatus) == ACTIVE | TERMINAL
    assert not ACTIVE & TERMINAL
    assert {status for move in LEGAL for status in move} == set(TaskStatus) - {S.PAUSED}


def test_an_ended_task_moves_nowhere_but_back_to_wait() -> None:
    for status in TERMINAL:
        never_ran = status in (S.CANCELLED, S.DEPENDENCY_FAILED)
        allowed = {S.PENDING, S.BLOCKED} if never_ran else {S.PENDING}
        assert TRANSITIONS.get(status, frozenset()) in (frozenset(), allowed)
    assert {status for status in TERMINAL if status in TRANSITIONS} == REVIVABLE


def test_an_illegal_move_is_a_bug() -> None:
    done = attrs.evolve(running(attempt=1), status=S.COMPLETED)
    with pytest.raises(AssertionError, match="task 3: completed cannot become pending"):
        move(done, status=S.PENDING)
