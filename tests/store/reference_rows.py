"""What the reference keeps of tasks, and what the end of one does to others, in plain Python."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import attrs

from taskmill.model.changes import NewTask, Ready
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.effects import Move
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.times import from_ms, to_ms

BLOCKED, PENDING = TaskStatus.BLOCKED, TaskStatus.PENDING
RUNNING, WAITING = TaskStatus.RUNNING, TaskStatus.WAITING
COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
CANCELLED, SUPERSEDED = TaskStatus.CANCELLED, TaskStatus.SUPERSEDED
DEPENDENCY_FAILED = TaskStatus.DEPENDENCY_FAILED


@attrs.define(kw_only=True)
class Row:
    """One task, and what its record does not show."""

    record: TaskRecord
    new: NewTask
    """As it was submitted."""
    needs: dict[TaskId, bool] = attrs.Factory(dict[TaskId, bool])
    """What it depends on, and whether that is no matter any more."""
    joined: dict[TaskId, bool] = attrs.Factory(dict[TaskId, bool])
    """What it spawned that was there already, and whether that has ended."""
    old_children: int = 0
    """Up to this id its children are none of its present life."""
    stands_until_ms: int | None = None

    @property
    def id(self) -> TaskId:
        return self.record.id

    @property
    def is_active(self) -> bool:
        return self.record.status in ACTIVE

    @property
    def place(self) -> Ready | None:
        record = self.record
        if record.status is not PENDING or record.due_at is not None:
            return None
        return Ready(
            record.type,
            record.group,
            record.priority,
            to_ms(record.ready_at),
            record.id,
            int(record.stage),
        )

    def change(self, **fields: Any) -> TaskRecord:
        """Change the record, and return it."""
        self.record = attrs.evolve(self.record, **fields)
        return self.record

    def copy(self) -> Row:
        return attrs.evolve(self, needs={**self.needs}, joined={**self.joined})


def bare(record: TaskRecord) -> TaskRecord:
    """A record as moves show it, which need not read errors and dependencies."""
    return attrs.evolve(record, errors=(), depends_on=())


def title(record: TaskRecord) -> str:
    return f"task {record.id} ({record.type})"


def is_failure(status: TaskStatus) -> bool:
    """Whether the end of a child is one to its parent."""
    return status not in ACTIVE and status not in (COMPLETED, SUPERSEDED)


class Rows:
    """All tasks by id, and the moves that the present change has made."""

    def __init__(self) -> None:
        self.all: dict[TaskId, Row] = {}
        self.last_id = TaskId(0)
        self.moves: list[Move] = []

    # --- looking ---

    def active(self, identity: bytes, *, is_follow_up: bool) -> Row | None:
        """The one task that stands for an identity, or the one behind it."""
        found = [
            row
            for row in self.all.values()
            if row.new.identity == identity
            and row.record.is_follow_up == is_follow_up
            and row.is_active
        ]
        assert len(found) <= 1
        return found[0] if found else None

    def in_window(self, identity: bytes, now_ms: int) -> Row | None:
        """The completed task that stands for an identity for the longest."""
        found = [
            (row.stands_until_ms, row.id)
            for row in self.all.values()
            if row.new.identity == identity
            and row.stands_until_ms is not None
            and row.stands_until_ms > now_ms
        ]
        return self.all[max(found)[1]] if found else None

    def children(self, parent: TaskId) -> list[Row]:
        return [row for row in self.all.values() if row.record.parent == parent]

    def is_open(self, row: Row) -> bool:
        """Whether a task has to wait for what it spawned."""
        return not all(row.joined.values()) or any(
            child.is_active for child in self.children(row.id)
        )

    def failed_child(self, row: Row) -> TaskRecord | None:
        """The first of what a task spawned in this life that ended in failure."""
        own = [each.record for each in self.children(row.id) if each.id > row.old_children]
        own = [each for each in own if is_failure(each.status)]
        if own:
            return min(own, key=lambda each: (each.finished_at, each.id))
        joined = [self.all[task].record for task in sorted(row.joined)]
        return next((each for each in joined if is_failure(each.status)), None)

    def unmet(self, row: Row) -> list[TaskId]:
        """What a task waits for of what it depends on; nobody waits for what was deleted."""
        return sorted(task for task, met in row.needs.items() if not met and task in self.all)

    def held_up_by(self, tasks: Iterable[TaskId]) -> set[TaskId]:
        """These tasks, and all that cannot end before one of them has."""
        found: set[TaskId] = set()
        behind = [*tasks]
        while behind:
            task = behind.pop()
            if task in found:
                continue
            found.add(task)
            behind += [
                row.id
                for row in self.all.values()
                if row.needs.get(task) is False or row.joined.get(task) is False
            ]
            row = self.all.get(task)
            if row is None:
                continue
            if row.record.parent is not None:
                behind.append(row.record.parent)
            if row.is_active and not row.record.is_follow_up:
                follow_up = self.active(row.new.identity, is_follow_up=True)
                behind += [] if follow_up is None else [follow_up.id]
        return found

    def waits_for(self, row: Row) -> set[TaskId]:
        """The active tasks that have to end before a task can."""
        found = {*self.unmet(row)} | {task for task, over in row.joined.items() if not over}
        found |= {child.id for child in self.children(row.id)}
        if row.record.is_follow_up:
            standing = self.active(row.new.identity, is_follow_up=False)
            assert standing is not None, f"task {row.id} follows nobody"
            found.add(standing.id)
        return {task for task in found if self.all[task].is_active}

    def check_that_all_can_end(self) -> None:
        """Nobody waits for nothing, or for itself through others."""
        waiting = {row.id: self.waits_for(row) for row in self.all.values() if row.is_active}
        for task, others in waiting.items():
            record = self.all[task].record
            if record.status in (BLOCKED, WAITING) and not others:
                is_held = record.on_dependency_failure is OnDependencyFailure.HOLD
                assert is_held, f"task {task} is forgotten"
                assert self.unmet(self.all[task]), f"task {task} is forgotten"
        while waiting:
            free = [task for task, others in waiting.items() if not others & waiting.keys()]
            assert free, f"these wait for each other: {waiting}"
            for task in free:
                del waiting[task]

    # --- moving ---

    def move(self, row: Row, **fields: Any) -> TaskRecord:
        """Change a record, and keep that as a move."""
        before = bare(row.record)
        after = row.change(**fields)
        self.moves.append(Move(before, bare(after)))
        if after.status is COMPLETED and after.unique_for is not None:
            assert after.finished_at is not None
            row.stands_until_ms = to_ms(after.finished_at + after.unique_for)
        return after

    def end(self, row: Row, status: TaskStatus, reason: str | None, now_ms: int) -> None:
        now = from_ms(now_ms)
        self.move(row, status=status, reason=reason, finished_at=now, due_at=None)

    def stop(self, row: Row, ends_as: TaskStatus, reason: str, now_ms: int) -> None:
        """A task is to end, if it is not already."""
        record = row.record
        if record.ends_as is not None or not row.is_active:
            return
        if record.status is RUNNING:
            self.move(row, ends_as=ends_as, reason=reason)
        elif record.has_undo:
            self.move(row, **owed(record, ends_as, reason, now_ms))
        elif record.status is WAITING:
            self.move(
                row,
                status=ends_as,
                reason=reason,
                finished_at=from_ms(now_ms),
                memo=None,
                stage=record.stage & Stage.ALONE,
            )
        else:
            self.end(row, ends_as, reason, now_ms)

    def release(self, row: Row, now_ms: int) -> None:
        """A task waits for nobody any more, only perhaps for its start time."""
        now, run_at = from_ms(now_ms), row.record.run_at
        self.move(
            row,
            status=PENDING,
            is_follow_up=False,
            ready_at=max(now, row.record.ready_at),
            due_at=run_at if run_at is not None and run_at > now else None,
        )

    # --- what follows ---

    def spread(self, now_ms: int) -> None:
        """What ends is told, wave by wave, to children, dependents, followers and parents."""
        told = 0
        while told < len(self.moves):
            wave, told = self.moves[told:], len(self.moves)
            self._to_children(wave, now_ms)
            over = {
                each.after.id: each.after
                for each in wave
                if each.before.status in ACTIVE and each.after.status not in ACTIVE
            }
            joiners = self._to_dependents(over, now_ms)
            self._to_followers(over, now_ms)
            self._to_parents(over, joiners, now_ms)

    def _to_children(self, wave: list[Move], now_ms: int) -> None:
        given_up: dict[TaskId, TaskRecord] = {}
        for each in wave:
            before, after = each.before, each.after
            is_over = before.status in ACTIVE and after.status not in ACTIVE
            if (is_over and after.status is not COMPLETED) or (
                before.ends_as is None and after.ends_as is not None
            ):
                given_up[after.id] = after
        for row in self._in_order(given_up, lambda row: row.record.parent):
            parent = given_up[row.record.parent or row.id]
            how = parent.ends_as or parent.status
            reason = f"its parent, {title(parent)}, ended as {how}"
            self.stop(row, CANCELLED, reason, now_ms)

    def _in_order(self, given: Collection[object], key: Callable[[Row], object]) -> Iterator[Row]:
        found = [row for row in self.all.values() if row.is_active and key(row) in given]
        yield from sorted(found, key=lambda row: row.id)

    def _to_dependents(self, over: dict[TaskId, TaskRecord], now_ms: int) -> list[Row]:
        """Judge what waits for these; return the tasks that had joined one of them."""
        joiners: list[Row] = []
        lost: dict[TaskId, TaskRecord] = {}
        freed: list[Row] = []
        for row in sorted(self.all.values(), key=lambda row: row.id):
            if not row.is_active:
                continue
            if any(row.joined.get(task) is False for task in over):
                joiners.append(row)
            for task in sorted(over):
                if row.joined.get(task) is False:
                    row.joined[task] = True
                if row.needs.get(task) is not False:
                    continue
                policy = row.new.on_dependency_failure
                if over[task].status is COMPLETED or policy is OnDependencyFailure.IGNORE:
                    row.needs[task] = True
                    freed.append(row)
                elif policy is OnDependencyFailure.CANCEL:
                    lost[row.id] = over[task]
        for task, other in lost.items():
            self.end(self.all[task], DEPENDENCY_FAILED, because_of(other), now_ms)
        self.free(freed, now_ms)
        return joiners

    def free(self, rows: Iterable[Row], now_ms: int) -> None:
        """Release those that wait for nobody."""
        for row in rows:
            record = row.record
            if record.status is BLOCKED and not record.is_follow_up and not self.unmet(row):
                self.release(row, now_ms)

    def _to_followers(self, over: dict[TaskId, TaskRecord], now_ms: int) -> None:
        stood = {self.all[each.id].new.identity for each in over.values() if not each.is_follow_up}
        for row in self._in_order(stood, lambda row: row.new.identity):
            if not row.record.is_follow_up:
                continue
            if self.unmet(row):
                self.move(row, is_follow_up=False)
            else:
                self.release(row, now_ms)

    def _to_parents(self, over: dict[TaskId, TaskRecord], joiners: list[Row], now_ms: int) -> None:
        above = {each.parent for each in over.values() if each.parent is not None}
        above |= {row.id for row in joiners}
        rows = [self.all[task] for task in sorted(above) if task in self.all]
        rows = [row for row in rows if row.is_active and row.record.ends_as is None]
        waiting: list[Row] = []
        for row in rows:
            failed = self.failed_child(row) if row.record.fail_fast else None
            if failed is not None:
                self.stop(row, FAILED, child_failed(failed), now_ms)
            elif row.record.status is WAITING:
                waiting.append(row)
        for row in waiting:
            if not self.is_open(row):
                self.after_children(row, now_ms)

    def after_children(self, row: Row, now_ms: int) -> None:
        """All that a task has spawned has ended: it finalizes, or ends."""
        now, record = from_ms(now_ms), row.record
        failed = self.failed_child(row)
        if record.stage & Stage.FINALIZE:
            row.joined.clear()
            row.old_children = self.last_id
            self.move(row, status=PENDING, ready_at=now)
        elif failed is not None:
            self.end(row, FAILED, child_failed(failed), now_ms)
        else:
            self.move(row, status=COMPLETED, result=record.memo, memo=None, finished_at=now)


def owed(
    record: TaskRecord, ends_as: TaskStatus, reason: str | None, now_ms: int
) -> dict[str, Any]:
    """What changes of a task whose next run is its ``on_cancel``."""
    return {
        "status": PENDING,
        "stage": Stage.UNDO | (record.stage & Stage.ALONE),
        "ends_as": ends_as,
        "reason": reason,
        "ready_at": from_ms(now_ms),
        "due_at": None,
        "attempt": 0,
        "interruptions": 0,
    }


def because_of(other: TaskRecord) -> str:
    reason = f"it depended on {title(other)}, which ended as {other.status}"
    return (f"{reason}: {other.reason}" if other.reason else reason)[:2000]


def child_failed(child: TaskRecord) -> str:
    reason = f"its child, {title(child)}, ended as {child.status}"
    return (f"{reason}: {child.reason}" if child.reason else reason)[:2000]
