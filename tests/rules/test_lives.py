"""Whatever is done to tasks in whatever order, nothing waits for what can never happen."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskmill.model.changes import StopCause
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import Refused
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.dedup import place
from taskmill.rules.settle import Halted, Interrupted, Raised, Result, Returned, Snoozed
from tests.rules.ledger import ERROR, Ledger, is_failure

NAMES = "abcdef"
SECOND = timedelta(seconds=1)
picks = st.integers(0, 11)
"""The newest task, the one before it, and so on."""


class Lives(RuleBasedStateMachine):
    """Tasks with every option; a third of the handlers has an on_cancel, a third a finalize."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.new_ledger()
        self.revived: set[TaskId] = set()
        """What came back while its parent was not there to take it back."""

    def new_ledger(self) -> Ledger:
        return Ledger()

    # --- what happens ---

    @rule(
        name=st.sampled_from(NAMES),
        needs=st.lists(picks, max_size=2),
        parent=st.none() | st.integers(0, 5),
        policy=st.sampled_from(OnDependencyFailure),
        on_duplicate=st.sampled_from(OnDuplicate),
        requeue=st.booleans(),
        fail_fast=st.booleans(),
        unique_for=st.sampled_from((None, None, 3_000)),
        ttl=st.sampled_from((None, None, None, 2_000)),
        priority=st.sampled_from((1, 128)),
        delay=st.sampled_from((None, None, 1_000)),
    )
    def submit(
        self,
        name: str,
        needs: list[int],
        parent: int | None,
        policy: OnDependencyFailure,
        on_duplicate: OnDuplicate,
        requeue: bool,
        fail_fast: bool,
        unique_for: int | None,
        ttl: int | None,
        priority: int,
        delay: int | None,
    ) -> None:
        now_ms = self.ledger.now_ms
        able = [each.id for each in self.in_state(TaskStatus.RUNNING, TaskStatus.WAITING)]
        new = self.ledger.work(
            name,
            *sorted({self.pick(need) for need in needs if self.ledger.rows}),
            parent=None if parent is None or not able else able[parent % len(able)],
            on_dependency_failure=policy,
            on_duplicate=on_duplicate,
            requeue=requeue,
            fail_fast=fail_fast,
            unique_for_ms=unique_for,
            expires_at_ms=None if ttl is None else now_ms + ttl,
            has_ttl=ttl is not None,
            priority=priority,
            due_at_ms=None if delay is None else now_ms + delay,
        )
        self.ledger.run(place(new))

    @rule(which=st.integers(0, 5))
    def claim(self, which: int) -> None:
        self.ledger.promote()
        ready = [each.id for each in self.in_state(TaskStatus.PENDING) if each.due_at is None]
        if ready:
            self.begin(ready[which % len(ready)])

    @rule()
    def claim_all(self) -> None:
        self.ledger.promote()
        for record in self.in_state(TaskStatus.PENDING):
            if record.due_at is None:
                self.begin(record.id)

    @rule(which=st.integers(0, 5), how=st.integers(0, 8))
    def end(self, which: int, how: int) -> None:
        running = self.in_state(TaskStatus.RUNNING)
        if running:
            record = running[which % len(running)]
            self.ledger.end(record.id, self.result(record, how))

    @precondition(lambda self: self.ledger.rows)
    @rule(which=picks)
    def cancel(self, which: int) -> None:
        task = self.pick(which)
        self.ledger.cancel(task)
        record = self.ledger.record(task)
        assert record.status.is_terminal or record.ends_as is not None
        self.revived.discard(task)

    @precondition(lambda self: self.ledger.rows)
    @rule(some=st.frozensets(picks, min_size=2, max_size=6))
    def cancel_where(self, some: frozenset[int]) -> None:
        chosen = frozenset(self.pick(each) for each in some)
        self.ledger.cancel_where(Selection(statuses=ACTIVE, ids=chosen))

    @precondition(lambda self: self.ledger.rows)
    @rule(which=picks)
    def revive(self, which: int) -> None:
        task = self.pick(which)
        has_ended = self.ledger.status(task).is_terminal
        effect = self.ledger.revive(task)
        if has_ended and not isinstance(effect, Refused):
            self.revived.add(task)

    @precondition(lambda self: self.ledger.rows)
    @rule(which=picks, later=st.sampled_from((-5, 500)))
    def reschedule(self, which: int, later: int) -> None:
        self.ledger.reorder(self.pick(which), run_at_ms=self.ledger.now_ms + later)

    @rule(ms=st.sampled_from((1, 1_000)))
    def wait(self, ms: int) -> None:
        self.ledger.now_ms += ms
        self.ledger.expire(limit=2)

    @rule()
    def crash(self) -> None:
        self.ledger.crash()

    def pick(self, which: int) -> TaskId:
        """The newest task, the one before it, and so on."""
        return sorted(self.ledger.rows)[-1 - which % len(self.ledger.rows)]

    # --- handlers ---

    def begin(self, task: TaskId) -> None:
        expires_at = self.ledger.record(task).expires_at
        is_over = expires_at is not None and expires_at <= from_ms(self.ledger.now_ms)
        if not is_over or self.ledger.record(task).stage.part is not Stage.EXECUTE:
            self.ledger.claim(task, has_undo=task % 3 == 0)

    def result(self, record: TaskRecord, how: int) -> Result:
        if record.ends_as is not None and how != 8:
            return Halted(StopCause.CANCELLED, is_undone=how % 2 == 0)
        if record.stage.part is Stage.UNDO:
            return Halted(StopCause.CANCELLED, is_undone=True)
        has_finalize = record.id % 3 == 1 and record.stage.part is Stage.EXECUTE
        match how:
            case 0:
                return Raised(error=ERROR, max_retries=0, delay=None)
            case 1:
                return Raised(error=ERROR, max_retries=1, delay=SECOND)
            case 2:
                return Snoozed(SECOND)
            case 3:
                return Halted(StopCause.SHUTDOWN)
            case 4:
                return Halted(StopCause.CANCELLED, is_undone=True)
            case 5:
                return Interrupted("gone", 1)
            case _:
                return Returned("1", finalizes=has_finalize)

    def in_state(self, *statuses: TaskStatus) -> list[TaskRecord]:
        return [each for each in self.ledger.active() if each.status in statuses]

    # --- what always holds ---

    @invariant()
    def nothing_waits_for_what_never_happens(self) -> None:
        self.ledger.check()

    @invariant()
    def what_has_failed_has_no_active_children(self) -> None:
        for child in self.ledger.active():
            if child.parent is None or child.id in self.revived:
                continue
            parent = self.ledger.record(child.parent)
            is_over = is_failure(parent.status) or parent.ends_as is not None
            assert not is_over or child.ends_as is not None, (parent, child)
            assert parent.status is not TaskStatus.COMPLETED

    def teardown(self) -> None:
        """Everything ends, but for what a failed dependency holds, and what waits for that."""
        for how in (7, 6) * 60:
            self.ledger.now_ms += 10_000
            self.ledger.expire()
            self.claim_all()
            running = self.in_state(TaskStatus.RUNNING)
            for record in running:
                self.ledger.end(record.id, self.result(self.ledger.record(record.id), how))
            self.ledger.check()
        for record in self.ledger.active():
            seen = {record.id}
            behind = [record.id]
            while behind and not any(self.ledger.is_held(each) for each in seen):
                behind = [o for each in behind for o in self.ledger.waits_for(each) - seen]
                seen |= {*behind}
            assert any(self.ledger.is_held(each) for each in seen), f"{record} is stuck"


def test_any_sequence_of_changes_leaves_nothing_behind() -> None:
    run_state_machine_as_test(
        Lives, settings=settings(deadline=None, max_examples=60, stateful_step_count=50)
    )
