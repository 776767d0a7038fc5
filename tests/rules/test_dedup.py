"""Which task stands for submitted work, and what the end of one changes for the next."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar, assert_never

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import (
    CancelTask,
    Ended,
    NewTask,
    Ready,
    Settlement,
    Stopping,
    Unchanged,
)
from taskmill.model.effects import Placed, Refused, Settled
from taskmill.model.limits import MAX_TAGS
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.dedup import identity, place, ready_place
from taskmill.rules.ending import cancel, end_run
from taskmill.rules.steps import (
    Answer,
    EndWaiting,
    FindActive,
    FindTask,
    Insert,
    RecordError,
    ReleaseFollowUp,
    RequestStop,
    Rule,
    Settle,
    SettleStopped,
    Step,
    Upgrade,
)

E = TypeVar("E")
NOW_MS = 1_000
FETCH = "ingest::fetch"
TASK = TaskId(1)
ERROR = ErrorRecord(type="ValueError", message="no", traceback="", run=1, at=from_ms(NOW_MS))


@attrs.define
class Row:
    record: TaskRecord
    identity: bytes
    follow_up: bool = False
    stopping: bool = False


@attrs.define
class Table:
    """Rows in a dict, and the steps that were carried out on them."""

    rows: dict[TaskId, Row] = attrs.field(factory=dict[TaskId, Row])
    steps: list[Step] = attrs.field(factory=list[Step])

    def run(self, rule: Rule[E]) -> E:
        self.steps = []
        answer: Answer = None
        try:
            step = next(rule)
            while True:
                self.steps.append(step)
                answer = self.carry_out(step)
                step = rule.send(answer)
        except StopIteration as end:
            effect: E = end.value
            return effect

    def carry_out(self, step: Step) -> Answer:
        match step:
            case Insert(task=new, follow_up=follow_up):
                return self.insert(new, follow_up=follow_up)
            case FindActive(identity=identity, follow_up=follow_up):
                return self.find(identity, follow_up=follow_up)
            case FindTask(id=task):
                return self.rows[task].record if task in self.rows else None
            case Upgrade(id=task, priority=priority):
                self.change(task, lambda record: attrs.evolve(record, priority=priority))
            case Settle(settlement=settled):
                return self.settle(settled, settled.status, stopping=False)
            case SettleStopped(settlement=settled):
                return self.settle(settled, TaskStatus.CANCELLED, stopping=True)
            case RecordError(settlement=settled):
                errors = () if settled.error is None else (settled.error,)
                self.change(settled.id, lambda record: attrs.evolve(record, errors=errors))
            case EndWaiting(id=task, reason=reason):
                self.change(task, lambda record: with_status(record, TaskStatus.CANCELLED, reason))
            case RequestStop(id=task):
                self.rows[task].stopping = True
            case ReleaseFollowUp(id=task):
                return self.release(self.rows[task].identity)
            case _:
                assert_never(step)
        return None

    def change(self, task: TaskId, to: Callable[[TaskRecord], TaskRecord]) -> None:
        self.rows[task].record = to(self.rows[task].record)

    def insert(self, new: NewTask, *, follow_up: bool) -> TaskId | None:
        if self.find(new.identity, follow_up=follow_up) is not None:
            return None
        task = TaskId(len(self.rows) + 1)
        self.rows[task] = Row(record_of(new, task, follow_up=follow_up), new.identity, follow_up)
        return task

    def find(self, identity: bytes, *, follow_up: bool) -> TaskRecord | None:
        for row in self.rows.values():
            found = row.identity == identity and row.follow_up == follow_up
            if found and row.record.status in ACTIVE:
                return row.record
        return None

    def settle(self, settled: Settlement, status: TaskStatus, *, stopping: bool) -> TaskId | None:
        row = self.rows[settled.id]
        if row.record.status is not TaskStatus.RUNNING or row.record.run != settled.run:
            return None
        if row.stopping != stopping:
            return None
        row.record = with_status(row.record, status, settled.reason)
        return settled.id

    def release(self, identity: bytes) -> TaskRecord | None:
        for row in self.rows.values():
            if row.identity == identity and row.follow_up and row.record.status in ACTIVE:
                row.follow_up = False
                row.record = with_status(row.record, TaskStatus.PENDING, None)
                return row.record
        return None

    # --- how a test gets there ---

    def submit(self, new: NewTask) -> Placed:
        effect = self.run(place(new))
        assert isinstance(effect, Placed)
        return effect

    def holding(self, status: TaskStatus, **values: int) -> TaskRecord:
        """A table where one task with this status stands for the work."""
        new = work(**values)
        self.submit(new)
        self.change(TASK, lambda record: with_status(record, status, None))
        return self.rows[TASK].record

    def start(self, task: TaskId) -> None:
        self.change(task, lambda record: attrs.evolve(record, status=TaskStatus.RUNNING, run=1))

    def written(self) -> list[Step]:
        """The steps of the last rule that change something."""
        return [step for step in self.steps if not isinstance(step, FindActive | FindTask)]


def with_status(record: TaskRecord, status: TaskStatus, reason: str | None) -> TaskRecord:
    return attrs.evolve(record, status=status, reason=reason)


def record_of(new: NewTask, task: TaskId, *, follow_up: bool) -> TaskRecord:
    return TaskRecord(
        id=task,
        type=new.type,
        domain=new.domain,
        payload=new.payload,
        key=new.key,
        label=new.label or new.type,
        tags=new.tags,
        group=new.group,
        status=TaskStatus.BLOCKED if follow_up else TaskStatus.PENDING,
        priority=new.priority,
        attempt=0,
        run=0,
        max_retries=new.max_retries,
        options=new.options,
        created_at=from_ms(new.created_at_ms),
        ready_at=from_ms(new.ready_at_ms),
        due_at=from_ms(new.due_at_ms),
        run_at=from_ms(new.run_at_ms),
        started_at=None,
        finished_at=None,
        parent=new.parent,
        result=None,
        errors=(),
        reason=None,
    )


def work(priority: int = 128, due_at_ms: int | None = None) -> NewTask:
    """The same work each time."""
    return NewTask(
        type=FETCH,
        domain="ingest",
        payload="{}",
        identity=identity(FETCH, None, "{}"),
        key=None,
        label=None,
        tags={},
        group="red",
        priority=priority,
        max_retries=None,
        options=None,
        created_at_ms=NOW_MS,
        ready_at_ms=due_at_ms or NOW_MS,
        due_at_ms=due_at_ms,
        run_at_ms=due_at_ms,
        parent=None,
        inherits_tags=True,
        requeue=True,
    )


def settlement(status: TaskStatus, *, run: int = 1, error: ErrorRecord | None = None) -> Settlement:
    return Settlement(id=TASK, run=run, now_ms=NOW_MS, status=status, attempt=1, error=error)


def place_of(task: int, priority: int = 128) -> Ready:
    return Ready(FETCH, "red", priority, NOW_MS, TaskId(task))


# --- a worked example ----------------------------------------------------------------------------


def test_the_life_of_a_piece_of_work_that_is_submitted_again_and_again() -> None:
    table = Table()
    first = table.submit(work())
    assert (first.id, first.outcome) == (1, SubmitOutcome.INSERTED)
    assert table.submit(work()).outcome is SubmitOutcome.DUPLICATE
    assert table.submit(work(priority=64)).outcome is SubmitOutcome.UPGRADED
    table.start(first.id)
    second = table.submit(work())
    assert (second.id, second.outcome) == (2, SubmitOutcome.REQUEUED)
    assert table.submit(work()) == Placed(id=second.id, outcome=SubmitOutcome.DUPLICATE)
    assert table.submit(work(priority=1)) == Placed(id=second.id, outcome=SubmitOutcome.UPGRADED)
    ended = table.run(end_run(settlement(TaskStatus.COMPLETED)))
    assert ended.unblocked is not None
    assert (ended.unblocked.id, ended.unblocked.priority) == (second.id, 1)
    assert table.submit(work()).id == second.id
    table.start(second.id)
    table.run(end_run(attrs.evolve(settlement(TaskStatus.COMPLETED), id=second.id)))
    assert table.submit(work()).outcome is SubmitOutcome.INSERTED


# --- place ---------------------------------------------------------------------------------------


def test_new_work_is_inserted_and_ready() -> None:
    table = Table()
    effect = table.submit(work())
    assert effect == Placed(id=TASK, outcome=SubmitOutcome.INSERTED, ready=place_of(1))
    assert table.steps == [Insert(work())]


def test_new_work_for_later_is_inserted_and_not_ready() -> None:
    effect = Table().submit(work(due_at_ms=9_000))
    assert effect == Placed(id=TASK, outcome=SubmitOutcome.INSERTED)


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.BLOCKED])
@pytest.mark.parametrize("priority", [128, 129, 255])
def test_work_that_waits_already_is_a_duplicate(status: TaskStatus, priority: int) -> None:
    table = Table()
    table.holding(status)
    effect = table.submit(work(priority))
    assert effect == Placed(id=TASK, outcome=SubmitOutcome.DUPLICATE)
    assert table.written() == [Insert(work(priority))]


def test_a_better_priority_moves_a_ready_task_up_in_the_queue() -> None:
    table = Table()
    table.holding(TaskStatus.PENDING)
    effect = table.submit(work(priority=64))
    assert effect == Placed(
        id=TASK, outcome=SubmitOutcome.UPGRADED, left=place_of(1), ready=place_of(1, priority=64)
    )
    assert table.written()[1:] == [Upgrade(TASK, 64)]


@pytest.mark.parametrize(
    ("status", "due_at_ms"), [(TaskStatus.BLOCKED, None), (TaskStatus.PENDING, 9_000)]
)
def test_a_better_priority_upgrades_a_task_that_has_no_place_in_the_queue(
    status: TaskStatus, due_at_ms: int | None
) -> None:
    table = Table()
    table.submit(work(due_at_ms=due_at_ms))
    table.change(TASK, lambda record: with_status(record, status, None))
    effect = table.submit(work(priority=64))
    assert effect == Placed(id=TASK, outcome=SubmitOutcome.UPGRADED)
    assert table.rows[TASK].record.priority == 64


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.WAITING])
def test_work_that_runs_already_gets_a_follow_up(status: TaskStatus) -> None:
    table = Table()
    table.holding(status)
    effect = table.submit(work(priority=0))
    assert effect == Placed(id=TaskId(2), outcome=SubmitOutcome.REQUEUED)
    assert table.rows[TASK].record.priority == 128, "what runs is not upgraded"
    assert table.rows[TaskId(2)].record.status is TaskStatus.BLOCKED


@pytest.mark.parametrize("priority", [0, 128])
def test_without_requeue_running_work_is_a_duplicate(priority: int) -> None:
    table = Table()
    table.holding(TaskStatus.RUNNING)
    effect = table.submit(attrs.evolve(work(priority), requeue=False))
    assert effect == Placed(id=TASK, outcome=SubmitOutcome.DUPLICATE)
    assert len(table.rows) == 1


def test_without_requeue_waiting_work_is_still_upgraded() -> None:
    table = Table()
    table.holding(TaskStatus.PENDING)
    effect = table.submit(attrs.evolve(work(priority=1), requeue=False))
    assert effect.outcome is SubmitOutcome.UPGRADED


@pytest.mark.parametrize(
    ("priority", "outcome"), [(128, SubmitOutcome.DUPLICATE), (5, SubmitOutcome.UPGRADED)]
)
def test_a_second_follow_up_joins_the_first(priority: int, outcome: SubmitOutcome) -> None:
    table = Table()
    table.holding(TaskStatus.RUNNING)
    table.submit(work())
    assert table.submit(work(priority)) == Placed(id=TaskId(2), outcome=outcome)
    assert table.rows[TaskId(2)].record.priority == priority
    assert len(table.rows) == 2


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_work_that_has_ended_stands_in_nobodys_way(status: TaskStatus) -> None:
    table = Table()
    table.holding(status)
    assert table.submit(work()) == Placed(
        id=TaskId(2), outcome=SubmitOutcome.INSERTED, ready=place_of(2)
    )


# --- parents -------------------------------------------------------------------------------------


def child_of(parent: int) -> NewTask:
    return attrs.evolve(work(), parent=TaskId(parent), identity=b"child")


def test_a_parent_that_does_not_exist_refuses_the_child() -> None:
    table = Table()
    assert table.run(place(child_of(7))) == Refused("parent 7 does not exist")
    assert not table.written()


@pytest.mark.parametrize("status", [TaskStatus.PENDING, TaskStatus.BLOCKED, *sorted(TERMINAL)])
def test_a_parent_that_is_not_running_refuses_the_child(status: TaskStatus) -> None:
    table = Table()
    table.holding(status)
    effect = table.run(place(child_of(1)))
    assert isinstance(effect, Refused)
    assert effect.reason.startswith(f"parent 1 is {status}")
    assert not table.written()


@pytest.mark.parametrize("status", [TaskStatus.RUNNING, TaskStatus.WAITING])
def test_a_running_parent_gets_its_child(status: TaskStatus) -> None:
    table = Table()
    table.holding(status)
    effect = table.submit(child_of(1))
    assert (effect.id, effect.outcome, effect.ready) == (2, SubmitOutcome.INSERTED, place_of(2))
    assert table.rows[TaskId(2)].record.parent == TASK


def test_a_child_takes_over_the_tags_of_its_parent_where_it_sets_none() -> None:
    table = Table()
    table.submit(attrs.evolve(work(), tags={"a": "parent", "b": "parent"}))
    table.start(TASK)
    effect = table.submit(attrs.evolve(child_of(1), tags={"b": "child"}))
    assert effect.tags == {"a": "parent", "b": "child"}
    assert table.rows[effect.id].record.tags == effect.tags


def test_a_child_that_dropped_inherited_tags_takes_none_over() -> None:
    table = Table()
    table.submit(attrs.evolve(work(), tags={"a": "parent"}))
    table.start(TASK)
    effect = table.submit(attrs.evolve(child_of(1), inherits_tags=False))
    assert table.rows[effect.id].record.tags == {}


@pytest.mark.parametrize("own", [0, 20, MAX_TAGS])
def test_a_child_keeps_all_of_its_tags_and_takes_over_as_many_as_fit(own: int) -> None:
    table = Table()
    table.submit(attrs.evolve(work(), tags={f"p{n}": "v" for n in range(MAX_TAGS)}))
    table.start(TASK)
    tags = {f"c{n}": "v" for n in range(own)}
    effect = table.submit(attrs.evolve(child_of(1), tags=tags))
    merged = table.rows[effect.id].record.tags
    assert len(merged) == MAX_TAGS
    assert tags.items() <= merged.items()


# --- the end of a run ----------------------------------------------------------------------------


def a_run(*, with_follow_up: bool = False) -> Table:
    table = Table()
    table.submit(work())
    table.start(TASK)
    if with_follow_up:
        table.submit(work())
    return table


@pytest.mark.parametrize(
    "status", [TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.DEAD, TaskStatus.CANCELLED]
)
def test_however_a_run_ends_the_task_its_follow_up_takes_its_place(status: TaskStatus) -> None:
    table = a_run(with_follow_up=True)
    effect = table.run(end_run(settlement(status)))
    assert effect.status is status
    assert effect.unblocked == table.rows[TaskId(2)].record
    assert effect.unblocked is not None
    assert effect.unblocked.status is TaskStatus.PENDING


def test_a_task_that_is_tried_again_keeps_its_follow_up_waiting() -> None:
    table = a_run(with_follow_up=True)
    effect = table.run(end_run(settlement(TaskStatus.PENDING, error=ERROR)))
    assert effect == Settled(status=TaskStatus.PENDING)
    assert table.rows[TaskId(2)].record.status is TaskStatus.BLOCKED
    assert table.rows[TASK].record.errors == (ERROR,)


def test_the_end_of_a_task_without_a_follow_up_unblocks_nothing() -> None:
    effect = a_run().run(end_run(settlement(TaskStatus.COMPLETED)))
    assert effect == Settled(status=TaskStatus.COMPLETED)


@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, TaskStatus.PENDING, TaskStatus.DEAD])
def test_a_stop_on_record_makes_any_end_a_cancel(status: TaskStatus) -> None:
    table = a_run(with_follow_up=True)
    table.run(cancel(CancelTask(id=TASK, domain=None, reason=None, now_ms=NOW_MS)))
    effect = table.run(end_run(settlement(status)))
    assert effect.status is TaskStatus.CANCELLED
    assert effect.unblocked is not None
    assert table.rows[TASK].record.status is TaskStatus.CANCELLED


@pytest.mark.parametrize("run", [0, 2])
def test_a_settlement_of_another_run_changes_nothing(run: int) -> None:
    table = a_run(with_follow_up=True)
    before = table.rows[TASK].record
    effect = table.run(end_run(settlement(TaskStatus.DEAD, run=run, error=ERROR)))
    assert effect == Settled(status=None)
    assert table.rows[TASK].record == before
    assert table.rows[TaskId(2)].record.status is TaskStatus.BLOCKED


def test_a_second_settlement_of_a_run_changes_nothing() -> None:
    table = a_run()
    table.run(end_run(settlement(TaskStatus.COMPLETED)))
    assert table.run(end_run(settlement(TaskStatus.FAILED))) == Settled(status=None)
    assert table.rows[TASK].record.status is TaskStatus.COMPLETED


# --- cancel --------------------------------------------------------------------------------------


def a_cancel(*, domain: str | None = None, reason: str | None = None) -> CancelTask:
    return CancelTask(id=TASK, domain=domain, reason=reason, now_ms=NOW_MS)


def test_an_unknown_task_cannot_be_cancelled() -> None:
    assert Table().run(cancel(a_cancel())) is None


def test_a_task_of_another_domain_is_as_good_as_unknown() -> None:
    table = Table()
    table.submit(work())
    assert table.run(cancel(a_cancel(domain="process"))) is None
    assert not table.written()
    assert isinstance(table.run(cancel(a_cancel(domain="ingest"))), Ended)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_a_task_that_has_ended_is_left_alone(status: TaskStatus) -> None:
    table = Table()
    table.holding(status)
    assert table.run(cancel(a_cancel())) == Unchanged(status)
    assert not table.written()


def test_a_running_task_is_told_to_stop_and_keeps_running() -> None:
    table = a_run(with_follow_up=True)
    assert table.run(cancel(a_cancel())) == Stopping(TASK)
    assert table.written() == [RequestStop(TASK)]
    assert table.rows[TaskId(2)].record.status is TaskStatus.BLOCKED


@pytest.mark.parametrize(
    ("reason", "expected"), [(None, "cancelled"), ("no need", "no need"), ("", "cancelled")]
)
def test_a_ready_task_ends_and_leaves_the_queue(reason: str | None, expected: str) -> None:
    table = Table()
    before = table.holding(TaskStatus.PENDING)
    assert table.run(cancel(a_cancel(reason=reason))) == Ended(
        record=before, reason=expected, left=place_of(1), was_due_at_ms=None, unblocked=None
    )
    assert table.rows[TASK].record.status is TaskStatus.CANCELLED
    assert table.rows[TASK].record.reason == expected


def test_a_task_that_waits_for_its_time_ends_and_says_when_it_was_due() -> None:
    table = Table()
    table.submit(work(due_at_ms=9_000))
    effect = table.run(cancel(a_cancel()))
    assert isinstance(effect, Ended)
    assert (effect.left, effect.was_due_at_ms) == (None, 9_000)


def test_a_follow_up_can_be_cancelled_by_itself() -> None:
    table = a_run(with_follow_up=True)
    effect = table.run(cancel(attrs.evolve(a_cancel(), id=TaskId(2))))
    assert isinstance(effect, Ended)
    assert (effect.left, effect.unblocked) == (None, None)
    assert table.rows[TASK].record.status is TaskStatus.RUNNING
    assert table.submit(work()).outcome is SubmitOutcome.REQUEUED


def test_the_follow_up_of_a_cancelled_retry_takes_its_place() -> None:
    table = a_run(with_follow_up=True)
    table.run(end_run(settlement(TaskStatus.PENDING)))
    effect = table.run(cancel(a_cancel()))
    assert isinstance(effect, Ended)
    assert effect.unblocked is not None
    assert effect.unblocked.id == 2


# --- places in the queue -------------------------------------------------------------------------


@pytest.mark.parametrize("status", TaskStatus)
def test_only_a_pending_task_that_is_due_has_a_place_in_the_queue(status: TaskStatus) -> None:
    record = attrs.evolve(record_of(work(), TASK, follow_up=False), status=status)
    assert ready_place(record) == (place_of(1) if status is TaskStatus.PENDING else None)
    later = attrs.evolve(record, due_at=record.ready_at + timedelta(seconds=1))
    assert ready_place(later) is None


def test_a_place_is_as_old_as_the_task_has_been_ready() -> None:
    record = record_of(work(), TASK, follow_up=False)
    ready = ready_place(record)
    assert ready is not None
    assert ready.ready_at_ms == to_ms(record.ready_at)


# --- identity ------------------------------------------------------------------------------------

names = st.text(st.characters(exclude_categories=("Cs", "Zs", "Cc")), min_size=1, max_size=8)
texts = st.text(st.characters(codec="utf-8"), max_size=8)


def test_an_identity_is_the_same_in_every_release() -> None:
    """It is stored: what an older release submitted must still be found."""
    assert identity(FETCH, None, '{"url":"x"}').hex() == "fcd42fab905478d37e9b51c4c9c9f1a3"
    assert identity(FETCH, "x", '{"url":"x"}').hex() == "3f5f5fa8d910dc2378843977eeaa663b"


@given(names, st.none() | texts, texts)
@settings(deadline=None)
def test_equal_work_has_an_equal_identity(kind: str, key: str | None, payload: str) -> None:
    found = identity(kind, key, payload)
    assert found == identity(kind, key, payload)
    assert len(found) == 16


@given(names, texts, texts, texts)
@settings(deadline=None)
def test_with_a_key_the_payload_does_not_matter(kind: str, key: str, one: str, two: str) -> None:
    assert identity(kind, key, one) == identity(kind, key, two)


@given(st.lists(st.tuples(names, st.none() | texts, texts), max_size=20))
@settings(deadline=None)
def test_different_work_has_a_different_identity(drawn: list[tuple[str, str | None, str]]) -> None:
    """A type, a key and a payload are never taken for one another."""
    said = {(kind, key is None, payload if key is None else key) for kind, key, payload in drawn}
    assert len({identity(*one) for one in drawn}) == len(said)


def test_a_key_is_never_taken_for_a_payload() -> None:
    assert identity(FETCH, "same", "{}") != identity(FETCH, None, "same")


def test_identity_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from taskmill.rules.dedup import identity;"
        f"print(identity({FETCH!r}, None, '{{}}').hex(), identity({FETCH!r}, 'key', '').hex())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("0", "1")
    }
    here = (identity(FETCH, None, "{}").hex(), identity(FETCH, "key", "").hex())
    assert found == {f"{here[0]} {here[1]}\n"}
