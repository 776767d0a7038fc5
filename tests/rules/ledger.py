"""A store in memory: it carries out the steps of rules, and refuses what a database would."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, TypeVar

import attrs

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Expire,
    NewTask,
    Reorder,
    Revive,
    ReviveWhere,
    Settlement,
    StopCause,
)
from taskmill.model.choices import OnDependencyFailure
from taskmill.model.effects import Changed, Move, Placed, Refused, Settled, Swept
from taskmill.model.record import ErrorRecord, TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.stages import Stage
from taskmill.model.status import TRANSITIONS, TaskStatus
from taskmill.model.times import MILLISECOND, from_ms, to_ms
from taskmill.rules.dedup import identity, place
from taskmill.rules.ending import cancel, cancel_where, end_run, expire, recover
from taskmill.rules.reviving import reorder, revive, revive_where
from taskmill.rules.settle import Halted, Raised, Result, Returned, settle
from taskmill.rules.steps import (
    AnyStep,
    EndWindow,
    FindActive,
    FindChildren,
    FindExpired,
    FindFailedChild,
    FindFollowUps,
    FindHeldUp,
    FindHolder,
    FindLastId,
    FindNeeds,
    FindNextExpiry,
    FindOpen,
    FindStates,
    FindTask,
    FindTasks,
    FindUnmet,
    FindWaiters,
    FindWindow,
    Insert,
    Link,
    Mark,
    Meet,
    Put,
    PutTags,
    RecordError,
    Redirect,
    Renew,
    Rule,
    Select,
    Settle,
    Tie,
    Untie,
    Waiter,
)

E = TypeVar("E")
T0 = 1_000_000
"""The time at which a ledger is opened, in milliseconds."""
ERROR = ErrorRecord(type="ValueError", message="no", traceback="", run=1, at=from_ms(T0))

Write = (
    Insert
    | Settle
    | Put
    | PutTags
    | RecordError
    | Link
    | Meet
    | Redirect
    | Untie
    | Mark
    | EndWindow
    | Renew
)
_CAUSES: Mapping[TaskStatus, StopCause] = {
    TaskStatus.CANCELLED: StopCause.CANCELLED,
    TaskStatus.SUPERSEDED: StopCause.SUPERSEDED,
    TaskStatus.FAILED: StopCause.FAILED,
}
_MAY_FOLLOW = frozenset(
    {
        TaskStatus.BLOCKED,
        TaskStatus.CANCELLED,
        TaskStatus.SUPERSEDED,
        TaskStatus.EXPIRED,
        TaskStatus.DEPENDENCY_FAILED,
    }
)
"""The states of a task in the follow-up place."""


NEVER = datetime.max.replace(tzinfo=UTC)


def _lifetime_ms(new: NewTask) -> int | None:
    if new.ttl_ms is not None or new.expires_at_ms is None:
        return new.ttl_ms
    return new.expires_at_ms - new.created_at_ms


def is_failure(status: TaskStatus) -> bool:
    return status.is_terminal and status is not TaskStatus.COMPLETED


@attrs.define(kw_only=True)
class Row:
    """One task, and what its record does not show."""

    record: TaskRecord
    identity: bytes
    ttl_ms: int | None
    is_ttl_from_start: bool
    max_interruptions: int
    earlier_children: int = 0
    """The highest id when its present life began."""
    unique_until_ms: int | None = None
    is_linked: bool

    @property
    def is_active(self) -> bool:
        return self.record.finished_at is None


@attrs.define
class Ledger:
    """Tasks, who waits for whom, and every kind of move that was ever made."""

    rows: dict[TaskId, Row] = attrs.field(factory=dict[TaskId, Row])
    now_ms: int = T0
    written: list[AnyStep] = attrs.field(factory=list[AnyStep])
    """The steps of the last rule that have changed something."""
    made: set[tuple[TaskStatus, TaskStatus]] = attrs.field(
        factory=set[tuple[TaskStatus, TaskStatus]]
    )
    edges: dict[TaskId, dict[tuple[TaskId, Tie], bool]] = attrs.field(
        factory=dict[TaskId, dict[tuple[TaskId, Tie], bool]]
    )
    """For each task what it waits for, and whether that is met."""
    _behind: dict[TaskId, dict[tuple[TaskId, Tie], None]] = attrs.field(
        factory=dict[TaskId, dict[tuple[TaskId, Tie], None]]
    )
    _unmet: dict[TaskId, dict[tuple[TaskId, Tie], None]] = attrs.field(
        factory=dict[TaskId, dict[tuple[TaskId, Tie], None]]
    )
    _children: dict[TaskId, list[TaskId]] = attrs.field(factory=dict[TaskId, list[TaskId]])
    _standing: dict[tuple[bytes, bool], TaskId] = attrs.field(
        factory=dict[tuple[bytes, bool], TaskId]
    )
    _windows: dict[bytes, set[TaskId]] = attrs.field(factory=dict[bytes, set[TaskId]])
    _puts: list[Move] = attrs.field(factory=list[Move])
    last_id: int = 0

    # --- rules ---

    def run(self, rule: Rule[E], *, revives: bool = False) -> E:
        """Carry out a rule; hold what it says it did against what it did."""
        self.written, self._puts = [], []
        effect: E
        try:
            step = next(rule)
            while True:
                answer = self.carry_out(step)
                has_failed = answer is False or (answer is None and isinstance(step, Insert))
                if isinstance(step, Write) and not has_failed:
                    self.written.append(step)
                step = rule.send(answer)
        except StopIteration as end:
            effect = end.value
        if isinstance(effect, Refused):
            assert not self.written, "what is refused changes nothing"
        back = [
            each
            for each in self._puts
            if each.before.status.is_terminal and not each.after.status.is_terminal
        ]
        assert revives or not back, "only a revive brings a task back"
        self._check_told(effect)
        return effect

    def _check_told(self, effect: object) -> None:
        """Moves tell everything that was put, in the order in which it was."""
        match effect:
            case Settled(after=after, moves=moves) if after is not None:
                told = [Move(self._puts[0].before, after), *moves]
            case Settled(moves=moves) | Placed(moves=moves) | Changed(moves=moves):
                told = [*moves]
            case Swept(moves=moves):
                told = [*moves]
            case _:
                return
        now: dict[TaskId, TaskRecord] = {}
        for each in told:
            task = each.after.id
            last = now.get(task, each.before)
            assert bare(last) == bare(each.before), "moves follow each other"
            now[task] = each.after
        put = {each.after.id: each.after for each in self._puts}
        for task, record in put.items():
            assert task in now, f"nobody is told of {record}"
            assert bare(now[task]) == bare(record), "moves tell what was put"
        for each in told:
            assert each.after.id in put or bare(each.before) == bare(each.after), "all was put"

    # --- steps ---

    def carry_out(self, step: AnyStep) -> Any:  # noqa: C901 - a case each
        """The answer to one step, as its class says."""
        match step:
            case Insert():
                return self._insert(step)
            case Settle(settlement=settlement):
                return self._settle(settlement)
            case Put(records=records):
                for record in records:
                    self._put(record)
            case PutTags(record=record):
                row = self.rows[record.id]
                row.record = attrs.evolve(row.record, tags=record.tags)
            case RecordError(settlement=settlement):
                row = self.rows[settlement.id]
                assert settlement.error is not None
                errors = (*row.record.errors, settlement.error)[-10:]
                row.record = attrs.evolve(row.record, errors=errors)
            case Link(id=task, waits_for=others, tie=tie, met=met):
                for other in others:
                    known = self.edges.get(task, {}).get((other, tie), True)
                    self._tie(task, other, tie, met=known and met)
            case Meet(pairs=pairs):
                for task, other in pairs:
                    for tie in Tie:
                        if (other, tie) in self._unmet.get(task, ()):
                            self._tie(task, other, tie, met=True)
            case Redirect(old=old, new=new):
                self._redirect(old, new)
            case Untie(id=task):
                for other, tie in list(self.edges.get(task, {})):
                    if tie is Tie.JOINS:
                        self._forget(task, other, tie)
                self.rows[task].earlier_children = self.last_id
            case Mark(ids=ids):
                for task in ids:
                    if task in self.rows:
                        self.rows[task].is_linked = True
            case EndWindow(identity=wanted):
                for task in self._windows.get(wanted, ()):
                    self.rows[task].unique_until_ms = None
            case Renew(id=task, now_ms=now_ms):
                return self._renew(self.rows[task], now_ms)
            case _:
                return self._find(step)
        return None

    def _find(self, step: AnyStep) -> Any:  # noqa: C901 - a case each
        match step:
            case FindTask(id=task):
                return self.find(task)
            case FindTasks(ids=ids):
                return tuple(self._seen(task) for task in sorted({*ids}) if task in self.rows)
            case FindStates(ids=ids):
                return {task: self.status(task) for task in sorted({*ids}) if task in self.rows}
            case FindLastId():
                return self.last_id
            case FindActive(identity=wanted, follow_up=follow_up):
                return self._at(wanted, follow_up=follow_up)
            case FindHolder(id=task, now_ms=now_ms):
                wanted = self.rows[task].identity
                found = self.standing(wanted) or self._window(wanted, now_ms)
                return None if found is None else self._seen(found)
            case FindWindow(identity=wanted, now_ms=now_ms):
                found = self._window(wanted, now_ms)
                return None if found is None else self._seen(found)
            case FindChildren(ids=ids):
                return tuple(self._seen(task) for task in sorted(self.open_children(ids)))
            case FindOpen(ids=ids):
                return frozenset(task for task in ids if self.is_open(task))
            case FindFailedChild(id=task):
                return self._failed_child(task)
            case FindFollowUps(ids=ids):
                behind = [self._at(self.rows[task].identity, follow_up=True) for task in ids]
                return tuple({each.id: each for each in behind if each is not None}.values())
            case FindWaiters(ids=ids):
                return self._waiters(ids)
            case FindHeldUp(ids=ids):
                return frozenset(self._held_up(ids))
            case FindNeeds(id=task):
                return {other: self.status(other) for other in sorted(self.needs(task))}
            case FindUnmet(ids=ids):
                return frozenset(task for task in ids if self._is_unmet(task))
            case Select(selection=selection):
                return tuple(sorted(self._select(selection)))
            case FindExpired(now_ms=now_ms, limit=limit):
                return self._expired(now_ms)[:limit]
            case FindNextExpiry():
                expiries = [to_ms(each.expires_at) for each in self._expiring() if each.expires_at]
                return min(expiries, default=None)
            case _:
                raise AssertionError(f"no rule about tasks asks for {step}")

    # --- reads ---

    def find(self, task: TaskId) -> TaskRecord | None:
        """The whole record of a task."""
        if task not in self.rows:
            return None
        needs = sorted({other for other, tie in self.edges.get(task, {}) if tie is Tie.NEEDS})
        return attrs.evolve(self.rows[task].record, depends_on=tuple(needs))

    def record(self, task: TaskId) -> TaskRecord:
        """The whole record of a task that exists."""
        found = self.find(task)
        assert found is not None
        return found

    def status(self, task: TaskId) -> TaskStatus:
        return self.rows[task].record.status

    def needs(self, task: TaskId) -> set[TaskId]:
        """What a task depends on that is not met."""
        return {other for other, tie in self._unmet.get(task, ()) if tie is Tie.NEEDS}

    def _is_unmet(self, task: TaskId) -> bool:
        return any(tie is Tie.NEEDS for _, tie in self._unmet.get(task, ()))

    def joins(self, task: TaskId) -> set[TaskId]:
        """What a task has joined that has not ended."""
        return {other for other, tie in self._unmet.get(task, ()) if tie is Tie.JOINS}

    def open_children(self, parents: Iterable[TaskId]) -> list[TaskId]:
        """The active children of some tasks."""
        return [
            child
            for parent in {*parents}
            for child in self._children.get(parent, ())
            if self.rows[child].is_active
        ]

    def is_open(self, task: TaskId) -> bool:
        """Whether a task has active children, or joined one that has not ended."""
        return bool(self.open_children([task]) or self.joins(task))

    def active(self) -> Iterator[TaskRecord]:
        return (row.record for row in self.rows.values() if row.is_active)

    def standing(self, wanted: bytes) -> TaskId | None:
        """The active task that stands for an identity."""
        return self._standing.get((wanted, False))

    def _seen(self, task: TaskId) -> TaskRecord:
        """What all but `FindTask` see: a row, without what other tables hold."""
        record = self.rows[task].record
        return attrs.evolve(record, errors=()) if record.errors else record

    def _at(self, wanted: bytes, *, follow_up: bool) -> TaskRecord | None:
        task = self._standing.get((wanted, follow_up))
        return None if task is None else self._seen(task)

    def _window(self, wanted: bytes, now_ms: int) -> TaskId | None:
        for task in sorted(self._windows.get(wanted, ())):
            until = self.rows[task].unique_until_ms
            if until is not None and until > now_ms:
                return task
        return None

    def _failed_child(self, task: TaskId) -> TaskRecord | None:
        before = self.rows[task].earlier_children
        own = [child for child in self._children.get(task, ()) if child > before]
        own.sort(key=lambda child: (self.rows[child].record.finished_at or NEVER, child))
        joined = sorted(other for other, tie in self.edges.get(task, {}) if tie is Tie.JOINS)
        for other in (*own, *joined):
            if is_failure(self.status(other)) and self.status(other) is not TaskStatus.SUPERSEDED:
                return self._seen(other)
        return None

    def _waiters(self, ids: Iterable[TaskId]) -> tuple[Waiter, ...]:
        pairs = [
            (task, other, tie)
            for other in {*ids}
            for task, tie in self._behind.get(other, ())
            if not self.edges[task][other, tie] and self.rows[task].is_active
        ]
        return tuple(Waiter(self._seen(task), other, tie) for task, other, tie in sorted(pairs))

    def _held_up(self, ids: Iterable[TaskId]) -> Iterator[TaskId]:
        for task in ids:
            for waiter, tie in self._behind.get(task, ()):
                if not self.edges[waiter][task, tie]:
                    yield waiter
            row = self.rows.get(task)
            if row is None:
                continue
            if row.record.parent is not None:
                yield row.record.parent
            follow_up = self._standing.get((row.identity, True))
            if follow_up is not None and not row.record.is_follow_up:
                yield follow_up

    def _select(self, wanted: Selection) -> Iterator[TaskId]:
        for task, row in self.rows.items():
            record = row.record
            if (
                record.status in wanted.statuses
                and wanted.domain in (None, record.domain)
                and (wanted.ids is None or task in wanted.ids)
                and (wanted.types is None or record.type in wanted.types)
                and wanted.parent in (None, record.parent)
                and wanted.key in (None, record.key)
                and (wanted.any_group or record.group == wanted.group)
            ):
                yield task

    def _expiring(self) -> Iterator[TaskRecord]:
        for record in self.active():
            waits = record.status in (TaskStatus.PENDING, TaskStatus.BLOCKED)
            if waits and record.stage.part is Stage.EXECUTE and record.expires_at is not None:
                yield record

    def _expired(self, now_ms: int) -> tuple[TaskRecord, ...]:
        over = [
            (record.expires_at, record.id)
            for record in self._expiring()
            if record.expires_at is not None and record.expires_at <= from_ms(now_ms)
        ]
        return tuple(self._seen(task) for _, task in sorted(over))

    # --- writes ---

    def _insert(self, step: Insert) -> TaskId | None:
        new, follow_up = step.task, step.follow_up
        taken = not follow_up and self._window(new.identity, new.created_at_ms) is not None
        if taken or (new.identity, follow_up) in self._standing:
            return None
        self.last_id += 1
        task = TaskId(self.last_id)
        self.rows[task] = Row(
            record=record_of(new, task, step.status, is_follow_up=follow_up),
            identity=new.identity,
            ttl_ms=_lifetime_ms(new),
            is_ttl_from_start=new.ttl_ms is not None,
            max_interruptions=new.max_interruptions,
            is_linked=bool(new.parent or new.unique_for_ms or new.schedule or new.depends_on),
        )
        if new.parent is not None:
            self._children.setdefault(new.parent, []).append(task)
        self._standing[new.identity, follow_up] = task
        check_record(self.rows[task].record)
        return task

    def _settle(self, settlement: Settlement) -> bool:
        row = self.rows.get(settlement.id)
        if (
            row is None
            or row.record.run != settlement.run
            or row.record.status is not TaskStatus.RUNNING
            or row.record.ends_as is not None
            or row.is_linked
        ):
            return False
        has_ended = settlement.status.is_terminal
        if has_ended:
            assert not self._concerns_others(row), f"{row} was to be marked"
        self._change(
            attrs.evolve(
                row.record,
                status=settlement.status,
                attempt=settlement.attempt,
                due_at=from_ms(settlement.due_at_ms),
                finished_at=from_ms(settlement.now_ms) if has_ended else None,
                result=settlement.result,
                reason=settlement.reason,
                preemptions=row.record.preemptions + settlement.preempted,
                io=row.record.io if settlement.io is None else settlement.io,
            )
        )
        return True

    def _concerns_others(self, row: Row) -> bool:
        task = row.record.id
        return (
            row.record.parent is not None
            or (row.identity, True) in self._standing
            or self.is_open(task)
            or bool(self._waiters([task]))
            or row.record.unique_for is not None
        )

    def _put(self, record: TaskRecord) -> None:
        """Write a record, which differs only in what the statement writes."""
        before = self.rows[record.id].record
        assert _fixed(before) == _fixed(record), "a rule changes only what is written"
        after = record
        if before.errors or before.tags != record.tags or record.depends_on:
            after = attrs.evolve(record, errors=before.errors, tags=before.tags, depends_on=())
        self._puts.append(Move(before, after))
        self._change(after)

    def _change(self, after: TaskRecord) -> None:
        """Move a row, as the indexes and checks of a database would let it."""
        row = self.rows[after.id]
        before = row.record
        if before.status is not after.status:
            assert after.status in TRANSITIONS.get(before.status, ()), (before, after)
            self.made.add((before.status, after.status))
        check_record(after)
        if before.finished_at is None:
            assert self._standing.pop((row.identity, before.is_follow_up)) == after.id
        if after.finished_at is None:
            assert (row.identity, after.is_follow_up) not in self._standing, "the identity is taken"
            self._standing[row.identity, after.is_follow_up] = after.id
        row.record = after
        row.unique_until_ms = None
        if after.status is TaskStatus.COMPLETED and after.unique_for is not None:
            assert after.finished_at is not None
            row.unique_until_ms = to_ms(after.finished_at) + after.unique_for // MILLISECOND
            self._windows.setdefault(row.identity, set()).add(after.id)

    def _redirect(self, old: TaskId, new: TaskId) -> None:
        for task, tie in list(self._behind.get(old, ())):
            if not self.edges[task][old, tie]:
                self._forget(task, old, tie)
                self._tie(task, new, tie, met=self.edges[task].get((new, tie), False))
        above = self.rows[old].record.parent
        if above is not None and above in self.rows and self.rows[above].is_active:
            self._tie(above, new, Tie.JOINS, met=False)

    def _renew(self, row: Row, now_ms: int) -> int | None:
        expires_ms = None
        if row.ttl_ms is not None and not row.is_ttl_from_start:
            expires_ms = now_ms + row.ttl_ms
        row.record = attrs.evolve(row.record, expires_at=from_ms(expires_ms))
        return expires_ms

    def _tie(self, task: TaskId, other: TaskId, tie: Tie, *, met: bool) -> None:
        self.edges.setdefault(task, {})[other, tie] = met
        self._behind.setdefault(other, {})[task, tie] = None
        if met:
            self._unmet.get(task, {}).pop((other, tie), None)
        else:
            self._unmet.setdefault(task, {})[other, tie] = None

    def _forget(self, task: TaskId, other: TaskId, tie: Tie) -> None:
        del self.edges[task][other, tie]
        del self._behind[other][task, tie]
        self._unmet.get(task, {}).pop((other, tie), None)

    # --- what happens to tasks, in one line each ---

    def submit(self, new: NewTask) -> Placed:
        """Submit a task that is taken."""
        effect = self.run(place(new))
        assert isinstance(effect, Placed), effect
        return effect

    def refusal(self, new: NewTask) -> Refused:
        """Submit a task that is refused."""
        effect = self.run(place(new))
        assert isinstance(effect, Refused), effect
        return effect

    def add(self, name: str, *needs: TaskId, **fields: Any) -> TaskId:
        """The id of a new task with this name."""
        return self.submit(self.work(name, *needs, **fields)).id

    def work(self, name: str = "a", *needs: TaskId, **fields: Any) -> NewTask:
        """A task of that name, to submit now."""
        return new_task(name, self.now_ms, depends_on=needs, **fields)

    def claim(self, task: TaskId, *, has_undo: bool = False) -> TaskRecord:
        """The next run of a pending task begins."""
        row = self.rows[task]
        record = row.record
        assert (record.status, record.due_at) == (TaskStatus.PENDING, None), record
        now = from_ms(self.now_ms)
        claimed = attrs.evolve(
            record,
            status=TaskStatus.RUNNING,
            run=record.run + 1,
            attempt=record.attempt + 1,
            started_at=now,
        )
        if row.ttl_ms is not None and row.is_ttl_from_start and claimed.expires_at is None:
            claimed = attrs.evolve(claimed, expires_at=now + row.ttl_ms * MILLISECOND)
        self._change(attrs.evolve(claimed, has_undo=record.has_undo or has_undo))
        return self.record(task)

    def start(self, name: str, *needs: TaskId, has_undo: bool = False, **fields: Any) -> TaskId:
        """The id of a new task that runs."""
        task = self.add(name, *needs, **fields)
        self.claim(task, has_undo=has_undo)
        return task

    def end(self, task: TaskId, result: Result) -> Settled:
        """The run of a task has ended."""
        return self.run(end_run(settle(self.record(task), result, now_ms=self.now_ms)))

    def complete(self, task: TaskId, result: str | None = None) -> Settled:
        """A task runs, where it does not already, and returns."""
        if self.status(task) is TaskStatus.PENDING:
            self.claim(task)
        return self.end(task, Returned(result))

    def fail(self, task: TaskId) -> Settled:
        """A task runs, where it does not already, and fails for good."""
        if self.status(task) is TaskStatus.PENDING:
            self.claim(task)
        return self.end(task, Raised(error=ERROR, max_retries=0, delay=None))

    def stop(self, task: TaskId) -> Settled:
        """A run that was told to stop has, and its ``on_cancel`` has run."""
        return self.end(task, Halted(_CAUSES[self._ends_as(task)], is_undone=True))

    def _ends_as(self, task: TaskId) -> TaskStatus:
        ends_as = self.record(task).ends_as
        assert ends_as is not None
        return ends_as

    def cancel(self, task: TaskId, reason: str | None = None) -> Changed:
        """Somebody cancels a task."""
        change = CancelTask(id=task, domain=None, reason=reason, now_ms=self.now_ms)
        effect = self.run(cancel(change))
        assert effect is not None
        return effect

    def cancel_where(self, selection: Selection) -> Changed:
        """Somebody cancels all that are meant."""
        change = CancelWhere(selection=selection, reason=None, now_ms=self.now_ms)
        return self.run(cancel_where(change))

    def revive(self, task: TaskId) -> Changed | Refused | None:
        """Somebody retries a task."""
        return self.run(revive(Revive(id=task, domain=None, now_ms=self.now_ms)), revives=True)

    def revive_where(self, selection: Selection) -> Changed:
        """Somebody retries all that are meant."""
        change = ReviveWhere(selection=selection, now_ms=self.now_ms)
        return self.run(revive_where(change), revives=True)

    def reorder(
        self, task: TaskId, *, priority: int | None = None, run_at_ms: int | None = None
    ) -> Changed | Refused | None:
        """Somebody moves a task in the queue."""
        change = Reorder(
            id=task, domain=None, now_ms=self.now_ms, priority=priority, run_at_ms=run_at_ms
        )
        return self.run(reorder(change))

    def expire(self, *, limit: int = 100) -> Swept:
        """The time to live of some is over."""
        return self.run(expire(Expire(now_ms=self.now_ms, limit=limit)))

    def promote(self) -> None:
        """What is due by now is ready."""
        for record in list(self.active()):
            if record.due_at is not None and record.due_at <= from_ms(self.now_ms):
                self.rows[record.id].record = attrs.evolve(record, due_at=None)

    def crash(self) -> None:
        """The process dies, and the next one recovers what it left."""
        running = [record for record in self.active() if record.status is TaskStatus.RUNNING]
        stopping = [self._seen(each.id) for each in running if each.ends_as is not None]
        others = [each for each in running if each.ends_as is None]
        suspects = [self._seen(each.id) for each in others if each.stage.is_alone]
        for record in others:
            row = self.rows[record.id]
            if record.stage.is_alone:
                continue
            crashes = record.interruptions + 1
            is_suspect = crashes >= row.max_interruptions
            self._change(
                attrs.evolve(
                    record,
                    status=TaskStatus.PENDING,
                    attempt=record.attempt - 1,
                    interruptions=crashes,
                    stage=record.stage | Stage.ALONE if is_suspect else record.stage,
                )
            )
            row.is_linked |= is_suspect
        self.run(recover(stopping, suspects, now_ms=self.now_ms))

    # --- what always holds ---

    def check(self) -> None:
        """No active task waits for something that can never happen, or for itself."""
        for record in self.active():
            self._check_waits(record)
        check_no_circle({record.id: self.waits_for(record.id) for record in self.active()})

    def _check_waits(self, record: TaskRecord) -> None:
        task = record.id
        unmet = self.needs(task)
        ended = {other for other in unmet if self.status(other).is_terminal}
        assert all(not self.status(other).is_terminal for other in self.joins(task))
        if record.status is TaskStatus.BLOCKED:
            if record.on_dependency_failure is not OnDependencyFailure.HOLD:
                assert not ended, f"{record} was not told"
            assert all(is_failure(self.status(other)) for other in ended)
            assert unmet or record.is_follow_up, f"{record} is blocked by nothing"
        elif record.ends_as is None:
            assert not unmet, f"{record} has started before what it depends on has ended"
        if record.is_follow_up:
            assert self.standing(self.rows[task].identity) is not None, f"{record} follows nobody"
        if record.status is TaskStatus.WAITING:
            assert self.is_open(task), f"{record} waits for no child"

    def waits_for(self, task: TaskId) -> set[TaskId]:
        """The active tasks that have to end before this one does."""
        row = self.rows[task]
        found = {*self.needs(task), *self.joins(task), *self.open_children([task])}
        standing = self.standing(row.identity)
        if row.record.is_follow_up and standing is not None:
            found.add(standing)
        return {other for other in found if self.rows[other].is_active}

    def is_held(self, task: TaskId) -> bool:
        """Whether only a person can let a task go on."""
        held = [other for other in self.needs(task) if self.status(other).is_terminal]
        return self.status(task) is TaskStatus.BLOCKED and bool(held)


_ELSEWHERE = frozenset({"errors", "depends_on", "tags"})
_FIXED = frozenset(
    {
        "id",
        "type",
        "domain",
        "payload",
        "key",
        "label",
        "group",
        "run",
        "max_retries",
        "options",
        "created_at",
        "started_at",
        "parent",
        "on_dependency_failure",
        "schedule",
        "scheduled_for",
        "fail_fast",
        "unique_for",
    }
)
_fixed: Callable[[TaskRecord], tuple[object, ...]] = attrgetter(*sorted(_FIXED))
"""What no rule changes once a task is there."""
bare: Callable[[TaskRecord], tuple[object, ...]] = attrgetter(
    *(field.name for field in attrs.fields(TaskRecord) if field.name not in _ELSEWHERE)
)
"""What a row of the tasks holds of a record; the rest is in other tables."""


def record_of(
    new: NewTask, task: TaskId, status: TaskStatus, *, is_follow_up: bool = False
) -> TaskRecord:
    """The record of a task that was just inserted."""
    return TaskRecord(
        id=task,
        type=new.type,
        domain=new.domain,
        payload=new.payload,
        key=new.key,
        label=new.label or new.type,
        tags=new.tags,
        group=new.group,
        status=status,
        priority=new.priority,
        attempt=0,
        run=0,
        max_retries=new.max_retries,
        options=new.options,
        created_at=from_ms(new.created_at_ms),
        ready_at=from_ms(new.ready_at_ms),
        due_at=None if status is TaskStatus.BLOCKED else from_ms(new.due_at_ms),
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
        unique_for=None if new.unique_for_ms is None else new.unique_for_ms * MILLISECOND,
    )


def new_task(name: str, now_ms: int, **fields: Any) -> NewTask:
    """A task whose identity is its name."""
    due_at_ms = fields.get("due_at_ms")
    usual = NewTask(
        type="ingest::fetch",
        domain="ingest",
        payload="{}",
        identity=identity("ingest::fetch", name, "{}"),
        key=name,
        label=None,
        tags={},
        group="red",
        priority=128,
        max_retries=None,
        options=None,
        created_at_ms=now_ms,
        ready_at_ms=now_ms if due_at_ms is None else due_at_ms,
        due_at_ms=due_at_ms,
        run_at_ms=due_at_ms,
        parent=None,
        inherits_tags=True,
        requeue=True,
    )
    return attrs.evolve(usual, **fields)


def check_record(record: TaskRecord) -> None:
    """What the checks of a database say of the states."""
    status, has_ended = record.status, record.finished_at is not None
    assert has_ended is status.is_terminal, record
    assert status is not TaskStatus.PAUSED
    assert 0 <= record.attempt <= record.run, record
    assert 0 <= record.preemptions <= record.run, record
    assert record.result is None or status is TaskStatus.COMPLETED, record
    assert not record.is_follow_up or status in _MAY_FOLLOW, record
    assert record.due_at is None or status is TaskStatus.PENDING, record
    if has_ended:
        assert bool(record.reason) is is_failure(status), record
        assert record.ends_as in (None, status), record
        assert record.ends_as is None or status in _CAUSES, record
    elif status is TaskStatus.PENDING:
        is_undo = record.stage.part is Stage.UNDO
        assert is_undo is (record.ends_as is not None) is bool(record.reason), record
        assert record.has_undo or not is_undo, record
    elif status is TaskStatus.RUNNING:
        assert (record.ends_as is None) is (record.reason is None), record
        assert record.started_at is not None, record
        assert record.run > 0, record
    else:
        assert (record.ends_as, record.reason) == (None, None), record


def check_no_circle(behind: Mapping[TaskId, set[TaskId]]) -> None:
    """Whoever waits for nobody ends; and so on, until nobody is left."""
    left = {task: {*others} & {*behind} for task, others in behind.items()}
    while left:
        free = {task for task, others in left.items() if not others}
        assert free, f"these wait for each other: {left}"
        left = {task: others - free for task, others in left.items() if task not in free}
