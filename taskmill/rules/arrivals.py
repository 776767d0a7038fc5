"""Submits in transactions that are not the dispatcher's, and what it makes of them afterwards."""

from __future__ import annotations

import attrs

from taskmill.model.changes import NewTask
from taskmill.model.choices import OnDuplicate
from taskmill.model.effects import Move, Placed, Refused
from taskmill.model.outcomes import SubmitOutcome
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stages import Stage
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.cascade import dependency_failed, put, spread
from taskmill.rules.dedup import adopted, place
from taskmill.rules.dependencies import Needs, check_circle, judge, tie
from taskmill.rules.moves import ended, ready_place
from taskmill.rules.steps import (
    Announce,
    FindActive,
    FindTask,
    FindWindow,
    Insert,
    Mark,
    Rule,
    ask,
)


def enlist(new: NewTask) -> Rule[Placed | Refused]:
    """Insert a task where its identity is free; otherwise leave the submit to the dispatcher.

    What is refused is refused now; everything else is settled when it has been noticed.
    """
    if new.parent is not None:
        own = yield from adopted(new, new.parent)
        if isinstance(own, Refused):
            return own
        new = own
    needs = yield from judge(new)
    if isinstance(needs, Refused):
        return needs
    refused = yield from check_circle(new, ())
    if refused is not None:
        return refused
    task = yield from ask(Insert(new, arriving=True))
    if task is not None:
        if new.parent is not None:
            yield from ask(Mark((new.parent,)))
        yield from ask(Announce(new, task))
        return Placed(id=task, outcome=SubmitOutcome.INSERTED)
    standing = yield from ask(FindActive(new.identity, follow_up=False))
    is_over = standing is None
    if standing is None:
        standing = yield from ask(FindWindow(new.identity, new.created_at_ms))
    if standing is None:
        raise AssertionError("the store refused an identity that nothing holds")
    if new.on_duplicate is OnDuplicate.REJECT:
        return Placed(id=standing.id, outcome=SubmitOutcome.REJECTED)
    if not (is_over and new.on_duplicate is OnDuplicate.KEEP):
        yield from ask(Announce(new, None))
    return Placed(id=standing.id, outcome=SubmitOutcome.DUPLICATE)


def arrive(new: NewTask, task: TaskId | None, now_ms: int) -> Rule[Placed | Refused | None]:
    """What was announced: a task that is there takes its place, a submit that was left is made.

    None for a task that is gone.
    """
    if task is None:
        return (yield from place(new))
    return (yield from _settle_in(new, task, now_ms))


def _settle_in(new: NewTask, task: TaskId, now_ms: int) -> Rule[Placed | None]:
    record = yield from ask(FindTask(task))
    if record is None or record.stage is not Stage.ARRIVING or record.status.is_terminal:
        return None
    moves: list[Move] = []
    needs = yield from judge(new)
    arrived = attrs.evolve(record, stage=Stage.EXECUTE)
    if isinstance(needs, Refused):  # what it depends on was deleted meanwhile
        lost = ended(arrived, TaskStatus.CANCELLED, needs.reason, now_ms)
        yield from put([Move(record, lost.after)], moves)
        yield from spread(moves, now_ms)
        return Placed(id=task, outcome=SubmitOutcome.INSERTED, moves=tuple(moves))
    yield from tie(task, needs)
    after = _as_of_now(arrived, needs, now_ms)
    yield from put([Move(record, after)], [])
    if needs.failed is not None:
        other = yield from ask(FindTask(needs.failed))
        if other is not None:
            yield from put([dependency_failed(after, other, now_ms)], moves)
            yield from spread(moves, now_ms)
    return Placed(
        id=task,
        outcome=SubmitOutcome.INSERTED,
        ready=ready_place(after),
        is_due=after.due_at is not None,
        tags=after.tags,
        expires_at_ms=new.expires_at_ms,
        moves=tuple(moves),
    )


def _as_of_now(record: TaskRecord, needs: Needs, now_ms: int) -> TaskRecord:
    if needs.unmet:
        return attrs.evolve(record, status=TaskStatus.BLOCKED)
    run_at = record.run_at
    if run_at is not None and to_ms(run_at) > now_ms:
        return attrs.evolve(record, due_at=run_at, ready_at=run_at)
    return attrs.evolve(record, ready_at=max(record.ready_at, from_ms(now_ms)))
