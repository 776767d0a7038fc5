"""Where a task goes when a run of it has ended, for every way a run can end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import Settlement, StopCause
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.status import ACTIVE, TERMINAL, TRANSITIONS, TaskStatus
from taskmill.model.times import MILLISECOND
from taskmill.rules.settle import Halted, Raised, Result, Returned, settle

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
    st.builds(Returned, st.sampled_from((None, "1", '"done"'))),
    st.builds(
        Raised,
        error=st.just(ERROR),
        max_retries=st.integers(0, 5),
        delay=st.none() | st.timedeltas(timedelta(0), timedelta(days=365)),
        dead_letter=st.booleans(),
    ),
    st.builds(Halted, st.sampled_from((StopCause.CANCELLED, StopCause.SHUTDOWN))),
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


# --- the table of moves --------------------------------------------------------------------------


def test_every_state_is_active_or_terminal_but_paused_is_only_reported() -> None:
    assert set(TaskStatus) == ACTIVE | TERMINAL | {TaskStatus.PAUSED}
    assert not ACTIVE & TERMINAL
    moves = {status for targets in TRANSITIONS.values() for status in targets}
    assert TaskStatus.PAUSED not in moves | set(TRANSITIONS)
    only_reported_or_submitted = {TaskStatus.PAUSED, TaskStatus.BLOCKED}
    assert moves == (ACTIVE | TERMINAL) - only_reported_or_submitted


def test_an_ended_task_moves_nowhere_but_back_to_pending() -> None:
    for status in TERMINAL:
        assert TRANSITIONS.get(status, frozenset()) <= {TaskStatus.PENDING}
