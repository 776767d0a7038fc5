"""Random batches do to any store what they do to the reference: effects, records, recovery."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias, assert_never

import anyio
import attrs
import pytest

from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Change,
    Claim,
    ClaimNew,
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
from taskmill.model.effects import Effect
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms
from taskmill.rules.settle import Halted, Interrupted, Raised, Result, Returned, Snoozed, settle
from taskmill.store.base import Store

from .conformance import ANY, BACKENDS, T0, UNKNOWN, Backend, failure, new_task
from .reference import Reference

# A wish names a task by its turn among those it is likely to be about when its batch begins.


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
    """Submit tasks; one alone may be claimed when the rest of its batch is done."""

    wanted: tuple[Want, ...]
    begins: bool


@attrs.frozen
class Start:
    """Claim a task."""

    turn: int


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
Batch: TypeAlias = list[Wish]
CRASH: Batch = []
"""In place of a batch: the process dies, and the store is opened again."""

TURNS = 16
ANYWHERE = 7
"""The turn by which a wish names any task, or one that is not there."""
NAMES = "abcdefgh"
WITH_UNDO = "aceg"
"""The names of tasks whose handler has an ``on_cancel``."""
DOMAINS = {"c": "g"}
"""By the name of the task, where it is not ``"work"``: a domain may be named as a group."""
SCOPES = (
    (PauseScope.SCHEDULER, ""),
    (PauseScope.DOMAIN, "work"),
    (PauseScope.DOMAIN, "g"),
    (PauseScope.GROUP, "g"),
    (PauseScope.GROUP, "work"),
)
KEEP, REJECT, SUPERSEDE = OnDuplicate.KEEP, OnDuplicate.REJECT, OnDuplicate.SUPERSEDE
ENDS = ("return", "return", "return", "fail", "die", "halt", "undone", "undone")
BREAKS = ("retry", "retry later", "snooze", "shut down", "preempt", "lose", "finalize", "finalize")
WITH_CHILDREN = (TaskStatus.RUNNING, TaskStatus.WAITING)
FALLEN = (
    TaskStatus.BLOCKED,
    TaskStatus.FAILED,
    TaskStatus.DEAD,
    TaskStatus.CANCELLED,
    TaskStatus.DEPENDENCY_FAILED,
)


def life(seed: int, length: int) -> list[Batch]:
    """Batches of wishes, and now and then a crash."""
    random = Random(seed)  # noqa: S311 - a test
    names = NAMES[: random.choice([3, 5, 8])]
    return [
        CRASH
        if random.random() < 0.06
        else [_wish(random, names) for _ in range(random.choice([1, 1, 2, 2, 3, 5]))]
        for _ in range(length)
    ]


def _wish(random: Random, names: str) -> Wish:
    turn = random.randrange(TURNS)
    several = tuple(random.randrange(TURNS) for _ in range(random.randint(1, 4)))
    kind = random.choices(
        (Tasks, Start, Finish, Cancel, CancelSome, Again, Shift, Late, Forget, Look, Hold, LetGo),
        (20, 24, 22, 3, 2, 5, 3, 3, 2, 4, 1, 1),
    )[0]
    choose = random.choice
    match kind.__name__:
        case "Tasks":
            wanted = tuple(_want(random, names) for _ in range(choose([1, 1, 1, 2, 3])))
            return Tasks(wanted, begins=len(wanted) == 1 and choose([True, False]))
        case "Start":
            return Start(turn)
        case "Finish":
            return Finish(turn, choose([0, 0, 0, 0, 0, 0, 1, -1]), choose(ENDS + BREAKS))
        case "Cancel":
            return Cancel(turn, choose([None, None, "work", "other"]))
        case "CancelSome":
            return CancelSome(several, choose([None, "work"]))
        case "Again":
            return Again(several, choose([True, False]))
        case "Shift":
            return Shift(turn, choose([None, 10, 200]), choose([None, -1, 2]))
        case "Late":
            return Late(choose([1, 2, 9]))
        case "Forget":
            return Forget(several, turn)
        case "Look":
            return Look(choose([1, 3]), choose([None, "g"]), choose([0, 3]), choose([0, 1, 2, 4]))
        case "Hold":
            return Hold(choose(SCOPES), choose([None, None, -1, 0, 1, 3]))
        case _:
            return LetGo(choose(SCOPES), choose([0, 0, 2]))


def _want(random: Random, names: str) -> Want:
    choose = random.choice
    return Want(
        name=choose(names),
        priority=choose([10, 100]),
        delay=choose([None, None, None, 1, 2]),
        group=choose([None, "g"]),
        requeue=choose([True, True, False]),
        parent=choose([None, random.randrange(TURNS)]),
        needs=tuple(random.randrange(TURNS) for _ in range(choose([0, 0, 0, 1, 1, 2, 3]))),
        policy=choose(list(OnDependencyFailure)),
        on_duplicate=choose([KEEP, KEEP, KEEP, KEEP, SUPERSEDE, SUPERSEDE, REJECT]),
        unique_for=choose([None, None, None, 3]),
        ttl=choose([None, None, None, 2, 5]),
        is_from_start=choose([True, False]),
        fail_fast=choose([True, False]),
        crashes=choose([1, 2, 5]),
    )


COUNTED = [
    frozenset({TaskStatus.PENDING}),
    frozenset({TaskStatus.PAUSED}),
    frozenset({TaskStatus.PENDING, TaskStatus.PAUSED}),
    frozenset({TaskStatus.PAUSED, TaskStatus.RUNNING, TaskStatus.BLOCKED}),
]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_random_lives_are_as_the_reference_lives_them(backend: Backend) -> None:
    for seed in range(15 if backend.is_lasting else 5):
        batches = life(seed, 60)
        if not anyio.run(_is_alike, backend, batches):
            anyio.run(_compare, backend, anyio.run(_shortened, backend, batches))


async def _shortened(backend: Backend, batches: list[Batch]) -> list[Batch]:
    """What is needed of ``batches`` for a difference, to be read in the failure."""
    for index in reversed(range(len(batches))):
        without = [*batches[:index], [], *batches[index + 1 :]]
        if not await _is_alike(backend, without):
            batches = without
            continue
        for at in reversed(range(len(batches[index]))):
            fewer = [*batches[index][:at], *batches[index][at + 1 :]]
            without = [*batches[:index], fewer, *batches[index + 1 :]]
            if not await _is_alike(backend, without):
                batches = without
    return batches


async def _is_alike(backend: Backend, batches: list[Batch]) -> bool:
    try:
        await _compare(backend, batches)
    except AssertionError:
        return False
    return True


async def _compare(backend: Backend, batches: list[Batch]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, reference = backend.make(Path(folder)), Reference()
        reference.check_opening(await store.open(now=from_ms(T0)), from_ms(T0))
        try:
            for step, wishes in enumerate(batches, start=1):
                now_ms = T0 + step
                if wishes is not CRASH:
                    changes = _batch(wishes, reference, now_ms)
                    effects = await store.apply(changes)
                    for change, effect in zip(changes, effects, strict=True):
                        reference.check(_meant(change, effects), effect)
                elif backend.is_lasting:
                    await store.close()
                    store = backend.make(Path(folder))
                    now = from_ms(now_ms)
                    reference.check_opening(await store.open(now=now), now)
                await _check_records(store, reference)
        finally:
            await store.close()


async def _check_records(store: Store, reference: Reference) -> None:
    reference.tasks.check_that_all_can_end()
    for task, row in reference.rows.items():
        assert await store.get(task) == reference.expected(row)
    assert await store.count(ANY) == len(reference.rows)
    reported = [reference.reported(row) for row in reference.rows.values()]
    for statuses in COUNTED:
        expected = sum(1 for status in reported if status in statuses)
        assert await store.count(Selection(statuses=statuses)) == expected


def _batch(wishes: Batch, reference: Reference, now_ms: int) -> list[Change]:
    changes: list[Change] = []
    claims: list[Change] = []
    for wish in wishes:
        if isinstance(wish, Tasks) and wish.begins:
            has_undo = wish.wanted[0].name in WITH_UNDO
            claims.append(ClaimNew(len(changes), now_ms, has_undo))
        changes += _changes(wish, reference, now_ms)
    return [*changes, *claims]


def _meant(change: Change, effects: Sequence[Effect | StoreError]) -> Change:
    """What a claim of a new task comes to, now that it has an id."""
    if not isinstance(change, ClaimNew):
        return change
    submitted = effects[change.place]
    task = UNKNOWN
    if isinstance(submitted, tuple) and submitted[0].ready is not None:
        task = submitted[0].id
    return Claim(task, change.now_ms, change.has_undo)


def _changes(wish: Wish, reference: Reference, now_ms: int) -> list[Change]:  # noqa: C901 - a case each
    """What ``wish`` asks for, as things stand before its batch."""
    match wish:
        case Tasks(wanted=wanted):
            return [Submit(tuple(_new(now_ms, reference, want) for want in wanted))]
        case Start(turn=turn):
            return [_claim(reference, turn, now_ms)]
        case Finish():
            return _settlement(wish, reference, now_ms)
        case Cancel(turn=turn, domain=domain):
            task = _id(reference, turn, *ACTIVE)
            return [CancelTask(id=task, domain=domain, reason=None, now_ms=now_ms)]
        case CancelSome(turns=turns, domain=domain):
            ids = _ids(reference, turns, *ACTIVE)
            meant = Selection(statuses=ACTIVE, ids=ids, domain=domain)
            return [CancelWhere(selection=meant, reason="enough", now_ms=now_ms)]
        case Again(turns=turns, is_one=True):
            return [Revive(id=_id(reference, turns[0], *FALLEN), domain=None, now_ms=now_ms)]
        case Again(turns=turns):
            ids = _ids(reference, turns, *FALLEN)
            meant = Selection(statuses=ACTIVE | TERMINAL, ids=ids)
            return [ReviveWhere(selection=meant, now_ms=now_ms)]
        case Shift(turn=turn, priority=priority, delay=delay):
            return [
                Reorder(
                    id=_id(reference, turn, *ACTIVE),
                    domain=None,
                    now_ms=now_ms,
                    priority=priority,
                    run_at_ms=None if delay is None else now_ms + delay,
                )
            ]
        case Late(limit=limit):
            return [Expire(now_ms=now_ms, limit=limit)]
        case Forget(turns=turns, kept=kept):
            ended = Selection(statuses=TERMINAL, ids=_ids(reference, turns, *TERMINAL))
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


def _claim(reference: Reference, turn: int, now_ms: int) -> Claim:
    ready = [row for row in reference.rows.values() if row.place is not None]
    row = reference.rows.get(_id(reference, turn))
    if ready and turn != ANYWHERE:
        row = ready[turn % len(ready)]
    if row is None:
        return Claim(UNKNOWN, now_ms)
    return Claim(row.id, now_ms, has_undo=row.record.tags["name"] in WITH_UNDO)


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
        parent=_parent(reference, want.parent),
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


def _parent(reference: Reference, turn: int | None) -> TaskId | None:
    """One that can have children, if there is one; now and then another."""
    if turn is None:
        return None
    likely = [row for row in reference.rows.values() if row.record.status in WITH_CHILDREN]
    return _id(reference, turn, *WITH_CHILDREN) if likely or turn == ANYWHERE else None


def _settlement(wish: Finish, reference: Reference, now_ms: int) -> list[Change]:
    row = reference.rows.get(_id(reference, wish.turn, TaskStatus.RUNNING))
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
        case "lose":
            return Interrupted("gone", 2)
        case _:
            delays = {"retry": 0, "retry later": 2, "die": 0}
            delay = timedelta(milliseconds=delays[how]) if how in delays else None
            error = failure(record.run, message=how)
            return Raised(error=error, max_retries=0 if how == "die" else 1000, delay=delay)


def _id(reference: Reference, turn: int, *likely: TaskStatus) -> TaskId:
    rows = reference.rows
    if turn == ANYWHERE:
        return max(rows, default=UNKNOWN) if len(rows) % 2 else UNKNOWN
    ids = [task for task, row in rows.items() if row.record.status in likely] or [*rows]
    return ids[turn % len(ids)] if ids else UNKNOWN


def _ids(reference: Reference, turns: Sequence[int], *likely: TaskStatus) -> frozenset[TaskId]:
    return frozenset(_id(reference, turn, *likely) for turn in turns)
