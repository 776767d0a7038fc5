"""What a store should do, in plain Python: a dict of tasks, and each change in its own words."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, TypeVar, assert_never

import attrs

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Change,
    Claim,
    ClaimNew,
    Collect,
    Delete,
    Expire,
    Fire,
    NewTask,
    Pause,
    PauseUndeclared,
    Promote,
    Prune,
    Refill,
    Reorder,
    Resume,
    Revive,
    ReviveWhere,
    SetSchedule,
    SetTags,
    Settlement,
    SteerSchedule,
    Submit,
)
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.effects import (
    Changed,
    Deleted,
    Effect,
    Fault,
    LevelCount,
    Move,
    Opening,
    Placed,
    Promoted,
    Refilled,
    Refused,
    Settled,
    Swept,
)
from taskmill.model.errors import StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.times import from_ms, to_ms

from .reference_rows import (
    BLOCKED,
    CANCELLED,
    COMPLETED,
    DEPENDENCY_FAILED,
    FAILED,
    PENDING,
    RUNNING,
    SUPERSEDED,
    WAITING,
    Row,
    Rows,
    bare,
    because_of,
    owed,
)

STOPPED = "cancelled while running"
MAX_UNDOS = 5
REVIVABLE = (TaskStatus.DEAD, FAILED, CANCELLED, DEPENDENCY_FAILED)


class Refusal(Exception):
    """A rule refuses the change."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class Reference:
    """All tasks by id. Where a store may choose, in ids and among equals, it is asked what it did.

    Each check raises AssertionError where the store did something else.
    """

    def __init__(self) -> None:
        self.tasks = Rows()
        self.pauses: list[PauseRecord] = []
        self.epoch = 0

    @property
    def rows(self) -> dict[TaskId, Row]:
        return self.tasks.all

    def check(self, change: Change, effect: Effect | StoreError) -> None:  # noqa: C901 - a case each
        """Apply ``change``, whose effect on the store was ``effect``."""
        self.tasks.moves.clear()
        match change:
            case Submit():
                self._submit(change, effect)
            case Promote():
                self._promote(change, effect)
            case Claim():
                assert effect == self._claim(change)
            case Settlement():
                self._settle(change, effect)
            case CancelTask():
                assert seen(effect) == self._cancel(change)
            case CancelWhere():
                assert seen(effect) == self._cancel_where(change)
            case Revive():
                self._may_be_refused(effect, self._revive(change))
            case ReviveWhere():
                assert seen(effect) == self._revive_where(change)
            case Reorder():
                self._may_be_refused(effect, self._reorder(change))
            case Expire():
                assert seen(effect) == self._expire(change)
            case Delete():
                assert effect == self._delete(change)
            case Refill():
                assert effect == self._refill(change)
            case Pause():
                assert effect == self._hold(change)
            case Resume():
                assert effect == self._let_go(change)
            case SetTags() | Prune() | ClaimNew():
                raise AssertionError("no wish asks for it")
            case SetSchedule() | SteerSchedule() | PauseUndeclared() | Fire() | Collect():
                raise NotImplementedError("the model knows of no schedules and no enlisting")
            case _:
                assert_never(change)

    def expected(self, row: Row) -> TaskRecord:
        """The record of a task as it is read."""
        return attrs.evolve(row.record, depends_on=tuple(sorted(row.needs)))

    def _may_be_refused(
        self, effect: Effect | StoreError, expected: Changed | Fault | None
    ) -> None:
        if isinstance(expected, Fault):
            assert isinstance(effect, Refused), effect
            assert effect.fault is expected
            assert self.tasks.moves == []
        else:
            assert seen(effect) == expected

    def _changed(self, *named: TaskId) -> Changed:
        return Changed(named=named, moves=tuple(self.tasks.moves))

    # --- opening ---

    def check_opening(self, opening: Opening, now: datetime) -> None:
        """Close, and open again at ``now``."""
        recovered = self._recover(to_ms(now))
        self.epoch += 1
        levels = Counter(
            (row.place[:3], row.place.stage) for row in self.rows.values() if row.place is not None
        )
        assert set(opening.levels) == {
            LevelCount(*level, n, stage) for (level, stage), n in levels.items()
        }
        assert len(opening.levels) == len(levels)
        due = [row.record for row in self._due()]
        assert opening.next_due_ms == self._next_due()
        assert opening.next_expiry_ms == self._next_expiry()
        assert opening.retries == Counter(record.type for record in due if record.attempt)
        assert (opening.recovered, opening.epoch) == (recovered, self.epoch)
        self._close_pauses(to_ms(now))
        assert Counter(opening.pauses) == Counter(self.pauses)

    def _recover(self, now_ms: int) -> int:
        """The runs go back to the queue, or where they were to end; how many were not to."""
        self.tasks.moves.clear()
        for row in self.rows.values():
            if row.record.stage.is_unreadable:
                row.change(stage=row.record.stage & ~Stage.UNREADABLE)
        running = [row for row in self.rows.values() if row.record.status is RUNNING]
        running.sort(key=lambda row: row.id)
        told = [row for row in running if row.record.ends_as is not None]
        others = [row for row in running if row.record.ends_as is None]
        suspects = [row for row in others if row.record.stage.is_alone]
        for row in others:
            crashes = row.record.interruptions + 1
            if row not in suspects:
                alone = Stage.ALONE if crashes >= row.new.max_interruptions else Stage.EXECUTE
                row.change(
                    status=PENDING,
                    attempt=row.record.attempt - 1,
                    interruptions=crashes,
                    stage=row.record.stage | alone,
                )
        for row in told:
            record, ends_as = row.record, row.record.ends_as
            assert ends_as is not None
            tries = record.interruptions if record.stage.part is Stage.UNDO else 0
            if record.has_undo and tries < MAX_UNDOS:
                again = owed(record, ends_as, record.reason, now_ms)
                self.tasks.move(row, **{**again, "interruptions": tries + 1})
            else:
                self.tasks.end(row, ends_as, record.reason, now_ms)
        for row in suspects:
            often = f"the process died {row.record.interruptions + 1} times while it ran"
            reason = f"{often}; the last time it ran alone"
            self.tasks.end(row, TaskStatus.DEAD, reason, now_ms)
        self.tasks.spread(now_ms)
        return len(others)

    # --- submit ---

    def _submit(self, change: Submit, effect: Effect | StoreError) -> None:
        before = {task: row.copy() for task, row in self.rows.items()}
        last_id = self.tasks.last_id
        placed = effect if isinstance(effect, tuple) else ()
        try:
            for index, new in enumerate(change.tasks):
                self.tasks.moves.clear()
                task = placed[index].id if placed else TaskId(self.tasks.last_id + 1)
                expected = self._place(new, task)
                if placed:
                    assert seen(placed[index]) == expected
            fault = None
        except Refusal as refusal:
            fault = refusal.fault
            self.tasks.all, self.tasks.last_id = before, last_id
        if fault is None:
            assert len(placed) == len(change.tasks), effect
        else:
            assert isinstance(effect, Refused), effect
            assert effect.fault is fault

    def _place(self, new: NewTask, task: TaskId) -> Placed:
        now_ms = new.created_at_ms
        new = self._adopted(new)
        needs = self._judged(new)
        self._check_circle(new, [])
        standing = self.tasks.active(new.identity, is_follow_up=False)
        window = self.tasks.in_window(new.identity, now_ms)
        if (
            standing is None
            and window is not None
            and new.on_duplicate is not OnDuplicate.SUPERSEDE
        ):
            is_refused = new.on_duplicate is OnDuplicate.REJECT
            outcome = SubmitOutcome.REJECTED if is_refused else SubmitOutcome.DUPLICATE
            return Placed(id=window.id, outcome=outcome)
        if standing is None:
            self._end_windows(new)
            row = self._insert(new, task, needs, is_follow_up=False)
            self._fail_at_once(row, now_ms)
            self.tasks.spread(now_ms)
            return self._placed(row, SubmitOutcome.INSERTED)
        if new.on_duplicate is OnDuplicate.SUPERSEDE:
            return self._supersede(standing, new, task, needs)
        record = standing.record
        if record.ends_as is not None:
            follow_up = self.tasks.active(new.identity, is_follow_up=True)
            if follow_up is not None and new.on_duplicate is OnDuplicate.REJECT:
                return Placed(id=follow_up.id, outcome=SubmitOutcome.REJECTED)
            return self._follow(standing, attrs.evolve(new, requeue=True), task, needs)
        if new.on_duplicate is OnDuplicate.REJECT:
            return Placed(id=standing.id, outcome=SubmitOutcome.REJECTED)
        if record.status in (PENDING, BLOCKED) and record.stage.part is Stage.EXECUTE:
            return self._join(standing, new)
        return self._follow(standing, new, task, needs)

    def _adopted(self, new: NewTask) -> NewTask:
        """With what the parent gives it, if there is one that can have children."""
        if new.parent is None:
            return new
        row = self.rows.get(new.parent)
        if row is None or row.record.status not in (RUNNING, WAITING):
            raise Refusal(Fault.STATE)
        if row.record.ends_as is not None:
            raise Refusal(Fault.STATE)
        expires_at = row.record.expires_at
        is_to_come = expires_at is not None and to_ms(expires_at) > new.created_at_ms
        if not new.has_ttl and expires_at is not None and is_to_come:
            new = attrs.evolve(new, expires_at_ms=to_ms(expires_at))
        return new

    def _judged(self, new: NewTask) -> dict[TaskId, bool]:
        """What it depends on, and whether it need not wait for that."""
        for task in new.depends_on:
            if task not in self.rows:
                was_there = 0 < task <= self.tasks.last_id
                raise Refusal(Fault.PRUNED if was_there else Fault.DEPENDENCY)
        does_not_mind = new.on_dependency_failure is OnDependencyFailure.IGNORE
        return {
            task: self.rows[task].record.status is COMPLETED
            or (does_not_mind and not self.rows[task].is_active)
            for task in sorted(new.depends_on)
        }

    def _check_circle(self, new: NewTask, old: list[Row]) -> None:
        """Neither its parent nor who waits for what it replaces may be waited for."""
        waiting = [row.id for row in old] + ([] if new.parent is None else [new.parent])
        if self.tasks.held_up_by(waiting) & {*new.depends_on}:
            raise Refusal(Fault.DEPENDENCY)

    def _check_not_behind(self, standing: Row, new: NewTask) -> None:
        if new.parent is not None and standing.id in self.tasks.held_up_by([new.parent]):
            raise Refusal(Fault.DEPENDENCY)

    def _end_windows(self, new: NewTask) -> None:
        for row in self.rows.values():
            if row.new.identity == new.identity:
                row.stands_until_ms = None

    def _placed(self, row: Row, outcome: SubmitOutcome, replaced: TaskId | None = None) -> Placed:
        is_moved = any(each.after.id == row.id for each in self.tasks.moves)
        is_free = row.record.status is PENDING and not is_moved
        return Placed(
            id=row.id,
            outcome=outcome,
            replaced=replaced,
            ready=row.place if is_free else None,
            is_due=is_free and row.record.due_at is not None,
            tags=None if row.new.parent is None else row.new.tags,
            expires_at_ms=row.new.expires_at_ms,
            moves=tuple(self.tasks.moves),
        )

    def _fail_at_once(self, row: Row, now_ms: int) -> None:
        """What it depends on may have failed already."""
        if row.new.on_dependency_failure is not OnDependencyFailure.CANCEL:
            return
        failed = [task for task in self.tasks.unmet(row) if not self.rows[task].is_active]
        if failed:
            reason = because_of(self.rows[failed[0]].record)
            self.tasks.end(row, DEPENDENCY_FAILED, reason, now_ms)

    def _join(self, standing: Row, new: NewTask) -> Placed:
        self._wait_for(standing, new)
        if new.priority >= standing.record.priority:
            return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
        self.tasks.move(standing, priority=new.priority, effective_priority=new.priority)
        moves = tuple(self.tasks.moves)
        return Placed(id=standing.id, outcome=SubmitOutcome.UPGRADED, moves=moves)

    def _wait_for(self, standing: Row, new: NewTask) -> None:
        """A parent waits for what was there already, unless that waits for the parent."""
        if new.parent is None or standing.record.parent == new.parent:
            return
        if standing.id not in self.tasks.held_up_by([new.parent]):
            self.rows[new.parent].joined[standing.id] = False

    def _follow(
        self, standing: Row, new: NewTask, task: TaskId, needs: dict[TaskId, bool]
    ) -> Placed:
        if not new.requeue:
            self._wait_for(standing, new)
            return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)
        follow_up = self.tasks.active(new.identity, is_follow_up=True)
        if follow_up is not None:
            return self._join(follow_up, new)
        self._check_not_behind(standing, new)
        row = self._insert(new, task, needs, is_follow_up=True)
        self._fail_at_once(row, new.created_at_ms)
        self.tasks.spread(new.created_at_ms)
        return self._placed(row, SubmitOutcome.REQUEUED)

    def _supersede(
        self, standing: Row, new: NewTask, task: TaskId, needs: dict[TaskId, bool]
    ) -> Placed:
        """It takes the place of the follow-up, and of what stands before it."""
        now_ms = new.created_at_ms
        follow_up = self.tasks.active(new.identity, is_follow_up=True)
        old = [standing] if follow_up is None else [follow_up, standing]
        self._check_circle(new, old)
        self._check_not_behind(standing, new)
        for each in old:
            self.tasks.stop(each, SUPERSEDED, f"superseded by task {task}", now_ms)
        replaced = [each.after.id for each in self.tasks.moves]
        self._end_windows(new)
        row = self._insert(new, task, needs, is_follow_up=standing.is_active)
        for other in replaced:
            self._redirect(other, row)
        self._fail_at_once(row, now_ms)
        self.tasks.spread(now_ms)
        if not replaced:
            return self._placed(row, SubmitOutcome.REQUEUED)
        return self._placed(row, SubmitOutcome.SUPERSEDED, replaced[-1])

    def _redirect(self, old: TaskId, new: Row) -> None:
        """Who waited for the old task waits for the new one."""
        for row in self.rows.values():
            for ties in (row.needs, row.joined):
                if ties.get(old) is False:
                    del ties[old]
                    ties[new.id] = False
        parent = self.rows[old].record.parent
        if parent is not None and parent in self.rows and self.rows[parent].is_active:
            self.rows[parent].joined[new.id] = False

    def _insert(
        self, new: NewTask, task: TaskId, needs: dict[TaskId, bool], *, is_follow_up: bool
    ) -> Row:
        assert task > self.tasks.last_id
        self.tasks.last_id = task
        is_blocked = is_follow_up or not all(needs.values())
        record = TaskRecord(
            id=task,
            type=new.type,
            domain=new.domain,
            payload=new.payload,
            key=new.key,
            label=new.type if new.label is None else new.label,
            tags=new.tags,
            group=new.group,
            status=BLOCKED if is_blocked else PENDING,
            priority=new.priority,
            attempt=0,
            run=0,
            max_retries=new.max_retries,
            options=new.options,
            created_at=from_ms(new.created_at_ms),
            ready_at=from_ms(new.ready_at_ms),
            due_at=None if is_blocked else from_ms(new.due_at_ms),
            run_at=from_ms(new.run_at_ms),
            started_at=None,
            finished_at=None,
            parent=new.parent,
            result=None,
            errors=(),
            reason=None,
            expires_at=from_ms(new.expires_at_ms),
            on_dependency_failure=new.on_dependency_failure,
            fail_fast=new.fail_fast,
            is_follow_up=is_follow_up,
            unique_for=None
            if new.unique_for_ms is None
            else from_ms(new.unique_for_ms) - from_ms(0),
        )
        row = self.rows[task] = Row(record=record, new=new, needs=needs)
        return row

    # --- runs ---

    def _claim(self, change: Claim) -> TaskRecord | None:
        row = self.rows.get(change.id)
        if row is None or row.place is None:
            return None
        record, now = row.record, from_ms(change.now_ms)
        is_late = record.expires_at is not None and record.expires_at <= now
        if is_late and record.stage.part is Stage.EXECUTE:
            return None
        if record.expires_at is None and row.new.ttl_ms is not None:
            row.change(expires_at=from_ms(change.now_ms + row.new.ttl_ms))
        row.change(
            status=RUNNING,
            run=record.run + 1,
            attempt=record.attempt + 1,
            started_at=now,
            has_undo=record.has_undo or change.has_undo,
        )
        return self.expected(row)

    def _settle(self, change: Settlement, effect: Effect | StoreError) -> None:
        assert isinstance(effect, Settled), effect
        row = self.rows.get(change.id)
        if row is None or (row.record.status, row.record.run) != (RUNNING, change.run):
            assert effect == Settled(status=None)
            return
        if change.error is not None:
            row.change(errors=(*row.record.errors, change.error)[-10:])
        if row.record.stage.is_alone and change.attempt == row.record.attempt:
            row.change(stage=row.record.stage.part, interruptions=0)
        if row.record.ends_as is not None:
            self._settle_as_told(row, change)
        else:
            row.change(
                attempt=change.attempt,
                preemptions=row.record.preemptions + (1 if change.preempted else 0),
                interruptions=row.record.interruptions + (1 if change.is_interrupted else 0),
            )
            self._settle_as_it_went(row, change)
        self.tasks.spread(change.now_ms)
        moves, status = tuple(self.tasks.moves[1:]), row.record.status
        assert (effect.status, seen(effect)) == (status, attrs.evolve(effect, moves=moves))
        if effect.after is None:
            assert moves == ()
            assert status is change.status
        else:
            differences = differing(effect.after, self.expected(row))
            assert not differences, differences

    def _settle_as_told(self, row: Row, change: Settlement) -> None:
        record, ends_as = row.record, row.record.ends_as
        assert ends_as is not None
        if record.has_undo and not change.is_undone:
            self.tasks.move(row, **owed(record, ends_as, record.reason, change.now_ms))
        else:
            self.tasks.end(row, ends_as, record.reason, change.now_ms)

    def _settle_as_it_went(self, row: Row, change: Settlement) -> None:
        if change.is_unreadable:
            row.change(stage=row.record.stage | Stage.UNREADABLE)
        if change.status is PENDING:
            self.tasks.move(row, status=PENDING, due_at=from_ms(change.due_at_ms))
        elif change.status is not COMPLETED:
            self.tasks.end(row, change.status, change.reason, change.now_ms)
        elif self.tasks.is_open(row):
            self._returned(row, change)
            self.tasks.move(row, status=WAITING)
        elif change.finalizes or self.tasks.failed_child(row) is not None:
            self._returned(row, change)
            self.tasks.after_children(row, change.now_ms)
        else:
            finished_at = from_ms(change.now_ms)
            result = change.result
            self.tasks.move(
                row, status=COMPLETED, result=result, memo=None, finished_at=finished_at
            )

    def _returned(self, row: Row, change: Settlement) -> None:
        alone = row.record.stage & Stage.ALONE
        if change.finalizes:
            row.change(memo=change.result, stage=Stage.FINALIZE | alone, attempt=0)
        else:
            row.change(memo=change.result, stage=Stage.EXECUTE | alone)

    # --- ends ---

    def _cancel(self, change: CancelTask) -> Changed | None:
        row = self.rows.get(change.id)
        if row is None or change.domain not in (None, row.record.domain):
            return None
        if not row.is_active:
            return Changed(named=())
        self._stop([row], change.reason, change.now_ms)
        return self._changed(row.id)

    def _cancel_where(self, change: CancelWhere) -> Changed:
        rows = [row for row in self._meant(change.selection) if row.is_active]
        self._stop(rows, change.reason, change.now_ms)
        return self._changed(*(row.id for row in rows))

    def _stop(self, rows: list[Row], reason: str | None, now_ms: int) -> None:
        for row in rows:
            default = STOPPED if row.record.status is RUNNING else "cancelled"
            self.tasks.stop(row, CANCELLED, reason or default, now_ms)
        self.tasks.spread(now_ms)

    def _meant(self, selection: Selection) -> list[Row]:
        """Only by the conditions that wishes set."""
        return [
            row
            for task, row in sorted(self.rows.items())
            if row.record.status in selection.statuses
            and (selection.ids is None or task in selection.ids)
            and selection.domain in (None, row.record.domain)
        ]

    def _expire(self, change: Expire) -> Swept:
        late = sorted(
            (row.record.expires_at, row.id)
            for row in self._expiring()
            if row.record.expires_at is not None and row.record.expires_at <= from_ms(change.now_ms)
        )
        for _, task in late[: change.limit]:
            row = self.rows[task]
            again = " again" if row.record.run else ""
            reason = f"could not start{again} in its time to live"
            self.tasks.end(row, TaskStatus.EXPIRED, reason, change.now_ms)
        self.tasks.spread(change.now_ms)
        return Swept(moves=tuple(self.tasks.moves), next_ms=self._next_expiry())

    def _expiring(self) -> list[Row]:
        return [
            row
            for row in self.rows.values()
            if row.record.status in (PENDING, BLOCKED)
            and row.record.stage.part is Stage.EXECUTE
            and row.record.expires_at is not None
        ]

    def _next_expiry(self) -> int | None:
        times = [row.record.expires_at for row in self._expiring()]
        return min((to_ms(at) for at in times if at is not None), default=None)

    def _delete(self, change: Delete) -> Deleted:
        chosen = [row for row in self._meant(change.selection) if row.id not in change.keep]
        chosen = [row for row in chosen if not self._is_needed(row, change.now_ms)]
        for row in chosen:
            del self.rows[row.id]
        return Deleted(len(chosen))

    def _is_needed(self, row: Row, now_ms: int) -> bool:
        parent = self.rows.get(row.record.parent or row.id)
        return (
            row.is_active
            or (parent is not None and parent.is_active)
            or (row.stands_until_ms is not None and row.stands_until_ms > now_ms)
            or any(child.is_active for child in self.tasks.children(row.id))
            or any(
                other.is_active and (row.id in other.needs or row.id in other.joined)
                for other in self.rows.values()
            )
        )

    # --- reviving ---

    def _revive(self, change: Revive) -> Changed | Fault | None:
        row = self.rows.get(change.id)
        if row is None or change.domain not in (None, row.record.domain):
            return None
        return self._changed(row.id) if self._lives_again(row, change.now_ms) else Fault.STATE

    def _revive_where(self, change: ReviveWhere) -> Changed:
        meant = self._meant(change.selection)
        return self._changed(*(row.id for row in meant if self._lives_again(row, change.now_ms)))

    def _lives_again(self, row: Row, now_ms: int) -> bool:
        """Revive a task, or run it anyway, if that can be."""
        record, identity = row.record, row.new.identity
        unmet = self.tasks.unmet(row)
        over = [task for task in unmet if not self.rows[task].is_active]
        if record.status is BLOCKED:
            row.needs |= dict.fromkeys(over, True)
            self.tasks.free([row] if over else [], now_ms)
            return bool(over)
        if record.status is PENDING and record.stage.is_unreadable:
            self.tasks.move(row, stage=record.stage & ~Stage.UNREADABLE, due_at=None)
            return True
        if record.status not in REVIVABLE or self.tasks.in_window(identity, now_ms):
            return False
        if self.tasks.active(identity, is_follow_up=False) is not None:
            return False
        policy = row.new.on_dependency_failure
        completed = [task for task in over if self.rows[task].record.status is COMPLETED]
        if policy is OnDependencyFailure.CANCEL and over != completed:
            return False
        met = over if policy is OnDependencyFailure.IGNORE else completed
        row.needs |= dict.fromkeys(met, True)
        row.joined.clear()
        row.old_children = self.tasks.last_id
        self._begin_again(row, now_ms)
        return True

    def _begin_again(self, row: Row, now_ms: int) -> None:
        record, new = row.record, row.new
        finalizes = record.stage.part is Stage.FINALIZE and record.status is not CANCELLED
        part = Stage.FINALIZE if finalizes else Stage.EXECUTE
        expires_at_ms = None
        if new.ttl_ms is None and new.expires_at_ms is not None:
            expires_at_ms = now_ms + new.expires_at_ms - new.created_at_ms
        self.tasks.move(
            row,
            status=BLOCKED if self.tasks.unmet(row) else PENDING,
            stage=part | (record.stage & Stage.ALONE),
            memo=record.memo if finalizes else None,
            attempt=0,
            interruptions=0,
            ready_at=from_ms(now_ms),
            run_at=None,
            finished_at=None,
            reason=None,
            ends_as=None,
            is_follow_up=False,
            expires_at=from_ms(expires_at_ms),
            has_undo=record.has_undo and record.ends_as is None,
        )

    def _reorder(self, change: Reorder) -> Changed | Fault | None:
        row = self.rows.get(change.id)
        if row is None or change.domain not in (None, row.record.domain):
            return None
        record, now, run_at = row.record, from_ms(change.now_ms), from_ms(change.run_at_ms)
        waits_to_start = record.status in (PENDING, BLOCKED) and record.ends_as is None
        if not row.is_active or (run_at is not None and not waits_to_start):
            return Fault.STATE
        fields: dict[str, Any] = {}
        if change.priority is not None:
            fields = {"priority": change.priority, "effective_priority": change.priority}
        if run_at is not None:
            is_early = run_at > now
            fields["run_at"] = run_at
            fields["ready_at"] = run_at if is_early else min(record.ready_at, now)
            fields["due_at"] = run_at if is_early and record.status is PENDING else None
        self.tasks.move(row, **fields)
        return self._changed(row.id)

    # --- pauses ---

    def _hold(self, change: Pause) -> PauseRecord:
        held = self._held(change.scope, change.name)
        record = PauseRecord(
            scope=change.scope,
            name=change.name,
            since_ms=change.now_ms if held is None else held.since_ms,
            until_ms=change.until_ms,
        )
        self._replace(held, record)
        return record

    def _let_go(self, change: Resume) -> PauseRecord | None:
        held = self._held(change.scope, change.name)
        if held is None:
            return None
        ended = attrs.evolve(held, ended_ms=max(change.now_ms, held.since_ms))
        self._replace(held, ended)
        return ended

    def _close_pauses(self, now_ms: int) -> None:
        """End those whose time has come, and forget those that nobody waited through."""
        for pause in [*self.pauses]:
            until_ms = pause.until_ms
            if pause.ended_ms is None and until_ms is not None and until_ms <= now_ms:
                ended_ms = max(until_ms, pause.since_ms)
                self._replace(pause, attrs.evolve(pause, ended_ms=ended_ms))
        active = [row.record for row in self.rows.values() if row.record.status in ACTIVE]
        ready = [to_ms(record.ready_at) for record in active]
        self.pauses = [
            pause
            for pause in self.pauses
            if pause.ended_ms is None or any(at < pause.ended_ms for at in ready)
        ]

    def _held(self, scope: PauseScope, name: str) -> PauseRecord | None:
        found = [
            pause
            for pause in self.pauses
            if (pause.scope, pause.name, pause.ended_ms) == (scope, name, None)
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def _replace(self, old: PauseRecord | None, new: PauseRecord) -> None:
        if old is not None:
            self.pauses.remove(old)
        self.pauses.append(new)

    def reported(self, row: Row) -> TaskStatus:
        """The status under which a task is counted."""
        record = row.record
        scopes = {
            (PauseScope.SCHEDULER, ""),
            (PauseScope.DOMAIN, record.domain),
            (PauseScope.GROUP, record.group),
        }
        held = {(pause.scope, pause.name) for pause in self.pauses if pause.ended_ms is None}
        if record.status is TaskStatus.PENDING and scopes & held:
            return TaskStatus.PAUSED
        return record.status

    # --- reading ---

    def chosen(self, selection: Selection) -> list[TaskRecord]:
        """The tasks that a selection names, by id."""
        rows = [row for row in self.rows.values() if self._is_chosen(row, selection)]
        return sorted((row.record for row in rows), key=lambda record: record.id)

    def ended(self, selection: Selection) -> list[TaskRecord]:
        """Those that have ended, the last one first."""
        found = [(r.finished_at, r.id, r) for r in self.chosen(selection) if r.finished_at]
        return [record for _, _, record in sorted(found, key=lambda one: one[:2], reverse=True)]

    def count_by_tag(self, selection: Selection, key: str) -> list[tuple[str, int]]:
        """How many have each value of a tag, in order."""
        tags = [record.tags for record in self.chosen(selection)]
        return sorted(Counter(each[key] for each in tags if key in each).items())

    def tag_keys(self, domain: str | None, prefix: str) -> list[str]:
        """The keys of active tasks."""
        active = self.chosen(Selection(domain=domain, statuses=ACTIVE))
        return sorted({key for each in active for key in each.tags if key.startswith(prefix)})

    def _is_chosen(self, row: Row, selection: Selection) -> bool:
        record, prefix = row.record, selection.tag_prefix
        before, after = selection.created_before, selection.created_after
        return all(
            (
                self.reported(row) in selection.statuses,
                selection.domain in (None, record.domain),
                selection.types is None or record.type in selection.types,
                selection.ids is None or record.id in selection.ids,
                selection.any_group or record.group == selection.group,
                selection.parent in (None, record.parent),
                selection.key in (None, record.key),
                selection.tags.items() <= record.tags.items(),
                prefix is None or any(key.startswith(prefix) for key in record.tags),
                before is None or record.created_at < before,
                after is None or record.created_at > after,
            )
        )

    def _promote(self, change: Promote, effect: Effect | StoreError) -> None:
        assert isinstance(effect, Promoted), effect
        now = from_ms(change.now_ms)
        due = sorted(at for row in self._due() if (at := row.record.due_at) and at <= now)
        chosen = [self.rows[ready.id] for ready in effect.ready]
        times = sorted(row.record.due_at for row in chosen if row.record.due_at is not None)
        assert times == due[: change.limit]
        assert effect.retries == Counter(row.record.type for row in chosen if row.record.attempt)
        for row in chosen:
            row.change(due_at=None)
        assert list(effect.ready) == [row.place for row in chosen]
        assert effect.next_due_ms == self._next_due()

    def _refill(self, change: Refill) -> Refilled:
        level = (change.type, change.group, change.priority, change.stage)
        places = [row.place for row in self.rows.values() if row.place is not None]
        positions = sorted(
            (place.ready_at_ms, place.id) for place in places if (*place[:3], place.stage) == level
        )
        behind = [position for position in positions if position > change.after]
        return Refilled(tuple(behind[: change.limit]))

    def _due(self) -> list[Row]:
        return [row for row in self.rows.values() if row.record.due_at is not None]

    def _next_due(self) -> int | None:
        return min((to_ms(at) for row in self._due() if (at := row.record.due_at)), default=None)


Seen = TypeVar("Seen")


def seen(effect: Seen) -> Seen:
    """An effect, its moves without what they need not read."""
    if isinstance(effect, Placed | Settled | Changed | Swept):
        moves = tuple(Move(bare(each.before), bare(each.after)) for each in effect.moves)
        return attrs.evolve(effect, moves=moves)
    return effect


def differing(found: TaskRecord, expected: TaskRecord) -> dict[str, tuple[object, object]]:
    """The fields in which two records differ, as found and as expected."""
    names = [field.name for field in attrs.fields(TaskRecord)]
    both = {name: (getattr(found, name), getattr(expected, name)) for name in names}
    return {name: pair for name, pair in both.items() if pair[0] != pair[1]}
