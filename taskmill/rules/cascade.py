"""What the end of a task does to others: children, dependents, followers and parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from taskmill.model.choices import OnDependencyFailure
from taskmill.model.effects import Move
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.moves import ended, move, released, stopped, title
from taskmill.rules.pacing import occurrence_ended
from taskmill.rules.steps import (
    FindChildren,
    FindFailedChild,
    FindFollowUps,
    FindOpen,
    FindTasks,
    FindUnmet,
    FindWaiters,
    Meet,
    Put,
    Rule,
    Tie,
    Untie,
    Waiter,
    ask,
)


def spread(moves: list[Move], now_ms: int) -> Rule[None]:
    """Carry on what ``moves`` began, to any depth; what follows is put and appended to them."""
    done = 0
    while done < len(moves):
        batch = moves[done:]
        done = len(moves)
        yield from _stop_children(batch, moves, now_ms)
        over = {m.after.id: m.after for m in batch if _has_ended(m)}
        if over:
            waiters = yield from ask(FindWaiters(tuple(over)))
            yield from _tell_dependents(over, waiters, moves, now_ms)
            yield from _release_followers(over.values(), moves, now_ms)
            yield from _tell_parents(over, waiters, moves, now_ms)
            for record in over.values():
                if record.schedule is not None:
                    yield from occurrence_ended(record.domain, record.schedule, record.id, now_ms)


def put(following: Sequence[Move], moves: list[Move]) -> Rule[None]:
    """Write moves, and append them to the others."""
    if following:
        yield from ask(Put(tuple(each.after for each in following)))
        moves.extend(following)


def _has_ended(each: Move) -> bool:
    return each.after.status.is_terminal and not each.before.status.is_terminal


def _gives_up(each: Move) -> bool:
    """Whether it is a task that will not complete, and what it spawned is not wanted any more."""
    if _has_ended(each):
        return each.after.status is not TaskStatus.COMPLETED
    return each.after.ends_as is not None and each.before.ends_as is None


def _stop_children(batch: Sequence[Move], moves: list[Move], now_ms: int) -> Rule[None]:
    parents = {each.after.id: each.after for each in batch if _gives_up(each)}
    if not parents:
        return
    children = yield from ask(FindChildren(tuple(parents)))
    stops: list[Move] = []
    for child in children:
        parent = parents[child.parent or child.id]
        how = parent.ends_as or parent.status
        reason = f"its parent, {title(parent)}, ended as {how}"
        stop = stopped(child, TaskStatus.CANCELLED, reason, now_ms)
        if stop is not None:
            stops.append(stop)
    yield from put(stops, moves)


# --- dependents ---


def _tell_dependents(
    over: dict[TaskId, TaskRecord], waiters: Sequence[Waiter], moves: list[Move], now_ms: int
) -> Rule[None]:
    met: list[tuple[TaskId, TaskId]] = []
    freed: dict[TaskId, TaskRecord] = {}
    lost: dict[TaskId, Move] = {}
    for waiter in waiters:
        other, record = over[waiter.waits_for], waiter.record
        policy = record.on_dependency_failure
        if waiter.tie is Tie.JOINS:
            met.append((record.id, other.id))
        elif other.status is TaskStatus.COMPLETED or policy is OnDependencyFailure.IGNORE:
            met.append((record.id, other.id))
            freed[record.id] = record
        elif policy is OnDependencyFailure.CANCEL and record.status is TaskStatus.BLOCKED:
            lost[record.id] = dependency_failed(record, other, now_ms)
    if met:
        yield from ask(Meet(tuple(met)))
    yield from put(list(lost.values()), moves)
    yield from free(list(freed.values()), moves, now_ms)


def dependency_failed(record: TaskRecord, other: TaskRecord, now_ms: int) -> Move:
    """A task ends, for one that it depended on did not complete."""
    reason = f"it depended on {title(other)}, which ended as {other.status}"
    if other.reason:
        reason += f": {other.reason}"
    return ended(record, TaskStatus.DEPENDENCY_FAILED, reason[:2000], now_ms)


def free(records: Sequence[TaskRecord], moves: list[Move], now_ms: int) -> Rule[None]:
    """Release those that depend on nothing that is not met, and follow nobody."""
    blocked = [r for r in records if r.status is TaskStatus.BLOCKED and not r.is_follow_up]
    if not blocked:
        return
    unmet = yield from ask(FindUnmet(tuple(record.id for record in blocked)))
    yield from put([released(r, now_ms) for r in blocked if r.id not in unmet], moves)


def _release_followers(over: Iterable[TaskRecord], moves: list[Move], now_ms: int) -> Rule[None]:
    stood = tuple(record.id for record in over if not record.is_follow_up)
    if not stood:
        return
    followers = yield from ask(FindFollowUps(stood))
    if not followers:
        return
    unmet = yield from ask(FindUnmet(tuple(record.id for record in followers)))
    releases = [released(r, now_ms, is_blocked=r.id in unmet) for r in followers]
    yield from put(releases, moves)


# --- parents ---


def _tell_parents(
    over: dict[TaskId, TaskRecord], waiters: Sequence[Waiter], moves: list[Move], now_ms: int
) -> Rule[None]:
    children = _by_parent(over, waiters)
    if not children:
        return
    parents = yield from ask(FindTasks(tuple(sorted(children))))
    failures: list[Move] = []
    waiting: list[TaskRecord] = []
    for parent in parents:
        failed: TaskRecord | None = None
        if parent.fail_fast and any(is_failure(child) for child in children[parent.id]):
            failed = yield from ask(FindFailedChild(parent.id))
        if failed is not None:
            stop = stopped(parent, TaskStatus.FAILED, child_failed(failed), now_ms)
            failures += [] if stop is None else [stop]
        elif parent.status is TaskStatus.WAITING:
            waiting.append(parent)
    yield from put(failures, moves)
    if not waiting:
        return
    still_open = yield from ask(FindOpen(tuple(parent.id for parent in waiting)))
    for parent in waiting:
        if parent.id not in still_open:
            woken = yield from after_children(parent, now_ms)
            yield from put([woken], moves)


def _by_parent(
    over: dict[TaskId, TaskRecord], waiters: Sequence[Waiter]
) -> dict[TaskId, list[TaskRecord]]:
    """What has ended, by the task that spawned it or joined it."""
    children: dict[TaskId, list[TaskRecord]] = {}
    for record in over.values():
        if record.parent is not None:
            children.setdefault(record.parent, []).append(record)
    for waiter in waiters:
        if waiter.tie is Tie.JOINS:
            children.setdefault(waiter.record.id, []).append(over[waiter.waits_for])
    return children


def is_failure(child: TaskRecord) -> bool:
    """Whether the end of a child is a failure to its parent; another stands in for a superseded."""
    return child.status not in (TaskStatus.COMPLETED, TaskStatus.SUPERSEDED)


def child_failed(child: TaskRecord) -> str:
    """The reason of a parent that ends with its child."""
    reason = f"its child, {title(child)}, ended as {child.status}"
    return (f"{reason}: {child.reason}" if child.reason else reason)[:2000]


def after_children(parent: TaskRecord, now_ms: int) -> Rule[Move]:
    """All children of a task whose handler has returned have ended: it finalizes, or ends."""
    if parent.stage.part is Stage.FINALIZE:
        yield from ask(Untie(parent.id))  # its finalize may look at them, and decides
        return move(parent, status=TaskStatus.PENDING, ready_at=from_ms(now_ms))
    failed = yield from ask(FindFailedChild(parent.id))
    if failed is not None:
        return ended(parent, TaskStatus.FAILED, child_failed(failed), now_ms)
    return completed(parent, now_ms)


def completed(record: TaskRecord, now_ms: int) -> Move:
    """A task ends with what its handler has returned."""
    return move(
        record,
        status=TaskStatus.COMPLETED,
        result=record.memo,
        memo=None,
        finished_at=from_ms(now_ms),
    )


def with_memo(record: TaskRecord, memo: str | None, *, finalizes: bool) -> TaskRecord:
    """A task whose handler has returned; the runs of its ``finalize`` are counted anew."""
    stage = (Stage.FINALIZE if finalizes else Stage.EXECUTE) | (record.stage & Stage.ALONE)
    attempt = 0 if finalizes else record.attempt
    return attrs.evolve(record, memo=memo, stage=stage, attempt=attempt)
