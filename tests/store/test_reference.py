"""Random batches do to any store what they do to the reference: effects, records, recovery."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeAlias, assert_never

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Change,
    Claim,
    Delete,
    Expire,
    NewTask,
    Pause,
    Promote,
    Refill,
    Reorder,
    Resume,
    Revive,
    ReviveWhere,
    StopCause,
    Submit,
)
from taskmill.model.choices import OnDependencyFailure, OnDuplicate
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Halted, Raised, Result, Returned, Snoozed, settle
from taskmill.store.base import Store

from .conformance import ANY, BACKENDS, T0, UNKNOWN, Backend, failure, new_task
from .reference import Reference

# A wish names a task by its turn among those that exist when its batch begins, active ones first.


@attrs.frozen
class Want:
    """One task to submit."""

    name: str
    priority: int = 100
    delay: int | None = None
    group: str | None = None
    requeue: bool = True
    parent: int | None = None
    needs: tuple[int, ...] = ()
    policy: OnDependencyFailure = OnDependencyFailure.CANCEL
    on_duplicate: OnDuplicate = OnDuplicate.KEEP
    unique_for: int | None = None
    ttl: int | None = None
    is_from_start: bool = False
    fail_fast: bool = True
    crashes: int = 5


@attrs.frozen
class Tasks:
    """Submit tasks."""

    wanted: tuple[Want, ...]


@attrs.frozen
class Start:
    """Claim a task."""

    turn: int
    has_undo: bool = False


@attrs.frozen
class Finish:
    """Settle a run of a task: the one on record, one before it, or one that may begin meanwhile."""

    turn: int
    run: int
    how: str


@attrs.frozen
class Cancel:
    """Cancel a task."""

    turn: int
    domain: str | None


@attrs.frozen
class CancelSome:
    """Cancel several tasks at once."""

    turns: tuple[int, ...]
    domain: str | None


@attrs.frozen
class Again:
    """Revive tasks, one or several at once."""

    turns: tuple[int, ...]
    is_one: bool


@attrs.frozen
class Shift:
    """Give a task another priority, another start time, or both."""

    turn: int
    priority: int | None
    delay: int | None


@attrs.frozen
class Late:
    """End what did not start in time."""

    limit: int


@attrs.frozen
class Forget:
    """Delete tasks."""

    turns: tuple[int, ...]
    kept: int


@attrs.frozen
class Look:
    """Promote what is due, and refill a level."""

    limit: int
    group: str | None
    after: int
    stage: int


@attrs.frozen
class Hold:
    """Pause a scope."""

    scope: tuple[PauseScope, str]
    until: int | None


@attrs.frozen
class LetGo:
    """Resume a scope; the clock may have been set back."""

    scope: tuple[PauseScope, str]
    back: int


Wish: TypeAlias = (
    Tasks
    | Start
    | Finish
    | Cancel
    | CancelSome
    | Again
    | Shift
    | Late
    | Forget
    | Look
    | Hold
    | LetGo
)

TURNS = st.integers(0, 7)
SEVERAL = st.lists(TURNS, min_size=1, max_size=4).map(tuple)
GROUPS = st.sampled_from([None, "g"])
DOMAINS = {"c": "g"}
"""By the name of the task, where it is not ``"work"``: a domain may be named as a group."""
SCOPES = st.sampled_from(
    [
        (PauseScope.SCHEDULER, ""),
        (PauseScope.DOMAIN, "work"),
        (PauseScope.DOMAIN, "g"),
        (PauseScope.GROUP, "g"),
        (PauseScope.GROUP, "work"),
    ]
)
KEEP = OnDuplicate.KEEP
PLAIN = st.builds(
    Want,
    st.sampled_from("abcd"),
    priority=st.sampled_from([10, 100]),
    delay=st.sampled_from([None, 0, 1, 2]),
    group=GROUPS,
    requeue=st.booleans(),
    parent=st.one_of(st.none(), st.none(), TURNS),
)
TIED = st.builds(
    Want,
    st.sampled_from("abcdefgh"),
    priority=st.sampled_from([10, 100]),
    parent=st.one_of(st.none(), st.integers(0, 3)),
    needs=st.one_of(st.just(()), SEVERAL),
    policy=st.sampled_from(OnDependencyFailure),
    on_duplicate=st.sampled_from([KEEP, KEEP, KEEP, OnDuplicate.SUPERSEDE, OnDuplicate.REJECT]),
    unique_for=st.sampled_from([None, None, 2]),
    ttl=st.sampled_from([None, None, 1, 3]),
    is_from_start=st.booleans(),
    fail_fast=st.booleans(),
    crashes=st.sampled_from([1, 2, 5]),
)
ENDS = ("return", "return", "fail", "die", "halt", "undone")
PAUSES_ = ("retry", "retry later", "snooze", "shut down", "preempt", "finalize", "finalize")
FINISHES = st.builds(
    Finish, TURNS, st.sampled_from([0, 0, 0, 0, 1, -1]), st.sampled_from(ENDS + PAUSES_)
)
STARTS = st.builds(Start, TURNS, st.booleans())
COMMON: list[st.SearchStrategy[Wish]] = [
    st.builds(Tasks, st.lists(PLAIN, min_size=1, max_size=3).map(tuple)),
    st.builds(Tasks, st.lists(TIED, min_size=1, max_size=3).map(tuple)),
    st.builds(Tasks, st.lists(TIED, min_size=1, max_size=3).map(tuple)),
    STARTS,
    STARTS,
    FINISHES,
    FINISHES,
]
RARE: list[st.SearchStrategy[Wish]] = [
    st.builds(Cancel, TURNS, st.sampled_from([None, "work", "other"])),
    st.builds(CancelSome, SEVERAL, st.sampled_from([None, "work"])),
    st.builds(Again, SEVERAL, st.booleans()),
    st.builds(Shift, TURNS, st.sampled_from([None, 10, 200]), st.sampled_from([None, -1, 2])),
    st.builds(Late, st.integers(1, 3)),
    st.builds(Forget, SEVERAL, TURNS),
    st.builds(Look, st.integers(1, 3), GROUPS, st.integers(0, 3), st.sampled_from([0, 1, 2, 4])),
    st.one_of(
        st.builds(Hold, SCOPES, st.sampled_from([None, None, -1, 0, 1, 3])),
        st.builds(LetGo, SCOPES, st.sampled_from([0, 0, 2])),
    ),
]
WISHES: st.SearchStrategy[Wish] = st.one_of(*COMMON, *COMMON, *RARE)
BATCHES = st.lists(
    st.one_of(*[st.lists(WISHES, min_size=1, max_size=6)] * 6, st.just("reopen")), max_size=14
)

COUNTED = [
    frozenset({TaskStatus.PENDING}),
    frozenset({TaskStatus.PAUSED}),
    frozenset({TaskStatus.PENDING, TaskStatus.PAUSED}),
    frozenset({TaskStatus.PAUSED, TaskStatus.RUNNING, TaskStatus.BLOCKED}),
]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@settings(max_examples=150, deadline=None)
@given(batches=BATCHES)
def test_random_batches_do_what_the_reference_does(
    backend: Backend, batches: list[list[Wish] | str]
) -> None:
    anyio.run(partial(_compare, backend, batches))


async def _compare(backend: Backend, batches: list[list[Wish] | str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, reference = backend.make(Path(folder)), Reference()
        reference.check_opening(await store.open(now=from_ms(T0)), from_ms(T0))
        try:
            for step, wishes in enumerate(batches, start=1):
                now_ms = T0 + step
                if not isinstance(wishes, str):
                    changes = [
                        change for wish in wishes for change in _changes(wish, reference, now_ms)
                    ]
                    effects = await store.apply(changes)
                    for change, effect in zip(changes, effects, strict=True):
                        reference.check(change, effect)
                elif backend.is_lasting:
                    await store.close()
                    store = backend.make(Path(folder))
                    now = from_ms(now_ms)
                    reference.check_opening(await store.open(now=now), now)
                await _check_records(store, reference)
        finally:
            await store.close()


async def _check_records(store: Store, reference: Reference) -> None:
    for task, row in reference.rows.items():
        assert await store.get(task) == reference.expected(row)
    assert await store.count(ANY) == len(reference.rows)
    reported = [reference.reported(row) for row in reference.rows.values()]
    for statuses in COUNTED:
        expected = sum(1 for status in reported if status in statuses)
        assert await store.count(Selection(statuses=statuses)) == expected


def _changes(wish: Wish, reference: Reference, now_ms: int) -> list[Change]:  # noqa: C901 - a case each
    """What ``wish`` asks for, as things stand before its batch."""
    match wish:
        case Tasks(wanted=wanted):
            return [Submit(tuple(_new(now_ms, reference, want) for want in wanted))]
        case Start(turn=turn, has_undo=has_undo):
            return [Claim(_id(reference, turn), now_ms, has_undo)]
        case Finish():
            return _settlement(wish, reference, now_ms)
        case Cancel(turn=turn, domain=domain):
            task = _id(reference, turn)
            return [CancelTask(id=task, domain=domain, reason=None, now_ms=now_ms)]
        case CancelSome(turns=turns, domain=domain):
            meant = Selection(statuses=ACTIVE, ids=_ids(reference, turns), domain=domain)
            return [CancelWhere(selection=meant, reason="enough", now_ms=now_ms)]
        case Again(turns=turns, is_one=True):
            return [Revive(id=_id(reference, turns[0]), domain=None, now_ms=now_ms)]
        case Again(turns=turns):
            meant = Selection(statuses=ACTIVE | TERMINAL, ids=_ids(reference, turns))
            return [ReviveWhere(selection=meant, now_ms=now_ms)]
        case Shift(turn=turn, priority=priority, delay=delay):
            return [
                Reorder(
                    id=_id(reference, turn),
                    domain=None,
                    now_ms=now_ms,
                    priority=priority,
                    run_at_ms=None if delay is None else now_ms + delay,
                )
            ]
        case Late(limit=limit):
            return [Expire(now_ms=now_ms, limit=limit)]
        case Forget(turns=turns, kept=kept):
            ended = Selection(statuses=TERMINAL, ids=_ids(reference, turns))
            keep = frozenset({_id(reference, kept)})
            return [Delete(selection=ended, keep=keep, now_ms=now_ms)]
        case Look():
            return _look(wish, now_ms)
        case Hold(scope=(scope, name), until=until):
            until_ms = None if until is None else now_ms + until
            return [Pause(scope=scope, name=name, now_ms=now_ms, until_ms=until_ms)]
        case LetGo(scope=(scope, name), back=back):
            return [Resume(scope=scope, name=name, now_ms=now_ms - back)]
        case _:
            assert_never(wish)


def _look(wish: Look, now_ms: int) -> list[Change]:
    plain = Refill(type="work::job", group=wish.group, priority=100, after=(0, 0), limit=wish.limit)
    return [
        Promote(now_ms=now_ms, limit=wish.limit),
        attrs.evolve(plain, priority=10, after=(T0 + wish.after, 2)),
        attrs.evolve(plain, stage=wish.stage),
    ]


def _new(now_ms: int, reference: Reference, want: Want) -> NewTask:
    ttl_ms = want.ttl if want.is_from_start else None
    return new_task(
        want.name,
        domain=DOMAINS.get(want.name, "work"),
        priority=want.priority,
        group=want.group,
        requeue=want.requeue,
        tags={"name": want.name},
        created_at_ms=now_ms,
        due_at_ms=now_ms + want.delay if want.delay else None,
        parent=None if want.parent is None else _id(reference, want.parent),
        depends_on=[_id(reference, turn) for turn in want.needs],
        on_dependency_failure=want.policy,
        on_duplicate=want.on_duplicate,
        unique_for_ms=want.unique_for,
        ttl_ms=ttl_ms,
        expires_at_ms=None if want.ttl is None or ttl_ms is not None else now_ms + want.ttl,
        has_ttl=want.ttl is not None,
        fail_fast=want.fail_fast,
        max_interruptions=want.crashes,
    )


def _settlement(wish: Finish, reference: Reference, now_ms: int) -> list[Change]:
    row = reference.rows.get(_id(reference, wish.turn))
    if row is None:
        return []
    record = attrs.evolve(
        row.record, run=row.record.run + wish.run, attempt=max(1, row.record.attempt + wish.run)
    )
    return [settle(record, _result(wish.how, record), now_ms=now_ms)]


def _result(how: str, record: TaskRecord) -> Result:
    match how:
        case "return":
            return Returned(f"{record.run}")
        case "finalize":
            return Returned(f"[{record.run}]", finalizes=True)
        case "snooze":
            return Snoozed(timedelta(milliseconds=1))
        case "halt":
            return Halted(StopCause.CANCELLED)
        case "undone":
            return Halted(StopCause.CANCELLED, is_undone=True)
        case "shut down":
            return Halted(StopCause.SHUTDOWN)
        case "preempt":
            return Halted(StopCause.PREEMPTED)
        case _:
            delays = {"retry": 0, "retry later": 2, "die": 0}
            delay = timedelta(milliseconds=delays[how]) if how in delays else None
            error = failure(record.run, message=how)
            return Raised(error=error, max_retries=0 if how == "die" else 1000, delay=delay)


def _id(reference: Reference, turn: int) -> TaskId:
    active = [task for task, row in reference.rows.items() if row.is_active]
    ids = [*active, *reference.rows]
    return ids[turn] if turn < len(ids) else UNKNOWN


def _ids(reference: Reference, turns: Sequence[int]) -> frozenset[TaskId]:
    return frozenset(_id(reference, turn) for turn in turns)
