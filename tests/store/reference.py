"""What a store should do, in plain Python: a dict of tasks, and each change in its own words."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, assert_never

import attrs

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    Ended,
    NewTask,
    Pause,
    Promote,
    Ready,
    Refill,
    Resume,
    Settlement,
    Stopping,
    Submit,
    Unchanged,
)
from taskmill.model.effects import (
    Effect,
    LevelCount,
    Opening,
    Placed,
    Promoted,
    Refilled,
    Refused,
    Settled,
)
from taskmill.model.errors import StoreError
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.store.base import Selection

STOPPED = "cancelled while running"


@attrs.define(kw_only=True)
class Row:
    """One task, and what its record does not show."""

    record: TaskRecord
    identity: bytes
    is_follow_up: bool = False
    is_stopping: bool = False

    def change(self, **fields: Any) -> TaskRecord:
        """Change the record, and return it."""
        self.record = attrs.evolve(self.record, **fields)
        return self.record

    @property
    def place(self) -> Ready | None:
        record = self.record
        if record.status is not TaskStatus.PENDING or record.due_at is not None:
            return None
        ready_at_ms = to_ms(record.ready_at)
        return Ready(record.type, record.group, record.priority, ready_at_ms, record.id)


class Reference:
    """All tasks by id. Where a store may choose, in ids and among equals, it is asked what it did.

    Each check raises AssertionError where the store did something else.
    """

    def __init__(self) -> None:
        self.rows: dict[TaskId, Row] = {}
        self.pauses: list[PauseRecord] = []
        self.epoch = 0

    def check(self, change: Change, effect: Effect | StoreError) -> None:
        """Apply ``change``, whose effect on the store was ``effect``."""
        match change:
            case Submit():
                self._submit(change, effect)
            case Promote():
                self._promote(change, effect)
            case Claim():
                assert effect == self._claim(change)
            case Settlement():
                assert effect == self._settle(change)
            case CancelTask():
                assert effect == self._cancel(change)
            case Refill():
                assert effect == self._refill(change)
            case Pause():
                assert effect == self._hold(change)
            case Resume():
                assert effect == self._let_go(change)
            case _:
                assert_never(change)

    def check_opening(self, opening: Opening, now: datetime) -> None:
        """Close, and open again at ``now``."""
        recovered = 0
        for row in self._with_status(TaskStatus.RUNNING):
            if row.is_stopping:
                row.change(status=TaskStatus.CANCELLED, finished_at=now, reason=STOPPED)
                self._release(row, to_ms(now))
            else:
                row.change(status=TaskStatus.PENDING, attempt=row.record.attempt - 1)
                recovered += 1
        self.epoch += 1
        levels = Counter(row.place[:3] for row in self.rows.values() if row.place is not None)
        assert set(opening.levels) == {LevelCount(*level, n) for level, n in levels.items()}
        assert len(opening.levels) == len(levels)
        due = [row.record for row in self._due()]
        assert opening.next_due_ms == self._next_due()
        assert opening.retries == Counter(record.type for record in due if record.attempt)
        assert (opening.recovered, opening.epoch) == (recovered, self.epoch)
        self._close_pauses(to_ms(now))
        assert Counter(opening.pauses) == Counter(self.pauses)

    # --- submit ---

    def _submit(self, change: Submit, effect: Effect | StoreError) -> None:
        parents = {new.parent for new in change.tasks if new.parent is not None}
        if not all(self._can_have_children(parent) for parent in parents):
            assert isinstance(effect, Refused), effect
            return
        assert isinstance(effect, tuple), effect
        for new, placed in zip(change.tasks, effect, strict=True):
            self._place(new, placed)

    def _can_have_children(self, parent: TaskId) -> bool:
        row = self.rows.get(parent)
        return row is not None and row.record.status is TaskStatus.RUNNING

    def _place(self, new: NewTask, placed: Placed) -> None:
        standing = self._active(new.identity, is_follow_up=False)
        tags = None if new.parent is None else new.tags
        if standing is None:
            row = self._insert(new, placed.id, is_follow_up=False)
            expected = Placed(
                id=placed.id, outcome=SubmitOutcome.INSERTED, ready=row.place, tags=tags
            )
        elif standing.record.status is TaskStatus.RUNNING and not new.requeue:
            expected = Placed(id=standing.record.id, outcome=SubmitOutcome.DUPLICATE)
        elif standing.record.status is TaskStatus.RUNNING:
            follow_up = self._active(new.identity, is_follow_up=True)
            if follow_up is not None:
                expected = _joined(follow_up, new)
            else:
                self._insert(new, placed.id, is_follow_up=True)
                expected = Placed(id=placed.id, outcome=SubmitOutcome.REQUEUED, tags=tags)
        else:
            expected = _joined(standing, new)
        assert placed == expected

    def _insert(self, new: NewTask, task: TaskId, *, is_follow_up: bool) -> Row:
        assert task > max(self.rows, default=0)
        record = TaskRecord(
            id=task,
            type=new.type,
            domain=new.domain,
            payload=new.payload,
            key=new.key,
            label=new.type if new.label is None else new.label,
            tags=new.tags,
            group=new.group,
            status=TaskStatus.BLOCKED if is_follow_up else TaskStatus.PENDING,
            priority=new.priority,
            attempt=0,
            run=0,
            max_retries=new.max_retries,
            options=new.options,
            created_at=from_ms(new.created_at_ms),
            ready_at=from_ms(new.ready_at_ms),
            due_at=None if is_follow_up else from_ms(new.due_at_ms),
            run_at=from_ms(new.run_at_ms),
            started_at=None,
            finished_at=None,
            parent=new.parent,
            result=None,
            errors=(),
            reason=None,
        )
        row = self.rows[task] = Row(record=record, identity=new.identity, is_follow_up=is_follow_up)
        return row

    # --- runs ---

    def _claim(self, change: Claim) -> TaskRecord | None:
        row = self.rows.get(change.id)
        if row is None or row.place is None:
            return None
        return row.change(
            status=TaskStatus.RUNNING,
            run=row.record.run + 1,
            attempt=row.record.attempt + 1,
            started_at=from_ms(change.now_ms),
        )

    def _settle(self, change: Settlement) -> Settled:
        row = self.rows.get(change.id)
        if row is None or (row.record.status, row.record.run) != (TaskStatus.RUNNING, change.run):
            return Settled(status=None)
        if change.error is not None:
            row.change(errors=(*row.record.errors, change.error)[-10:])
        if row.is_stopping:
            row.change(
                status=TaskStatus.CANCELLED, finished_at=from_ms(change.now_ms), reason=STOPPED
            )
        else:
            row.change(
                status=change.status,
                attempt=change.attempt,
                due_at=from_ms(change.due_at_ms),
                finished_at=from_ms(change.now_ms) if change.status.is_terminal else None,
                result=change.result,
                reason=change.reason,
                preemptions=row.record.preemptions + (1 if change.preempted else 0),
            )
        return Settled(status=row.record.status, unblocked=self._release(row, change.now_ms))

    def _release(self, row: Row, now_ms: int) -> TaskRecord | None:
        follow_up = self._active(row.identity, is_follow_up=True)
        if row.record.status in ACTIVE or follow_up is None:
            return None
        follow_up.is_follow_up = False
        run_at, now = follow_up.record.run_at, from_ms(now_ms)
        return follow_up.change(
            status=TaskStatus.PENDING,
            ready_at=max(now, follow_up.record.ready_at),
            due_at=run_at if run_at is not None and run_at > now else None,
        )

    def _cancel(self, change: CancelTask) -> Ended | Stopping | Unchanged | None:
        row = self.rows.get(change.id)
        if row is None or change.domain not in (None, row.record.domain):
            return None
        before, left = row.record, row.place
        if before.status is TaskStatus.RUNNING:
            row.is_stopping = True
            return Stopping(before.id)
        if before.status not in ACTIVE:
            return Unchanged(before.status)
        reason = change.reason or "cancelled"
        finished_at = from_ms(change.now_ms)
        row.change(status=TaskStatus.CANCELLED, finished_at=finished_at, due_at=None, reason=reason)
        return Ended(
            record=before,
            reason=reason,
            left=left,
            was_due_at_ms=None if before.due_at is None else to_ms(before.due_at),
            unblocked=self._release(row, change.now_ms),
        )

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
        level = (change.type, change.group, change.priority)
        places = [row.place for row in self.rows.values() if row.place is not None]
        positions = sorted(place[3:] for place in places if place[:3] == level)
        behind = [position for position in positions if position > change.after]
        return Refilled(tuple(behind[: change.limit]))

    def _active(self, identity: bytes, *, is_follow_up: bool) -> Row | None:
        found = [
            row
            for row in self.rows.values()
            if row.identity == identity
            and row.is_follow_up == is_follow_up
            and row.record.status in ACTIVE
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def _with_status(self, status: TaskStatus) -> list[Row]:
        return [row for row in self.rows.values() if row.record.status is status]

    def _due(self) -> list[Row]:
        return [row for row in self.rows.values() if row.record.due_at is not None]

    def _next_due(self) -> int | None:
        return min((to_ms(at) for row in self._due() if (at := row.record.due_at)), default=None)


def _joined(standing: Row, new: NewTask) -> Placed:
    task, left = standing.record.id, standing.place
    if new.priority >= standing.record.priority:
        return Placed(id=task, outcome=SubmitOutcome.DUPLICATE)
    standing.change(priority=new.priority, effective_priority=new.priority)
    return Placed(id=task, outcome=SubmitOutcome.UPGRADED, left=left, ready=standing.place)
