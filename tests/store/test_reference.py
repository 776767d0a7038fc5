"""Random batches do to any store what they do to the reference: effects, records, recovery."""

from __future__ import annotations

import tempfile
from datetime import timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias, assert_never

import anyio
import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskmill.model.changes import (
    CancelTask,
    Change,
    Claim,
    NewTask,
    Pause,
    Promote,
    Refill,
    Resume,
    StopCause,
    Submit,
)
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.settle import Halted, Raised, Returned, settle
from taskmill.store.base import Selection, Store
from taskmill.store.sqlite import reading

from .conformance import ANY, BACKENDS, T0, UNKNOWN, Backend, failure, new_task
from .reference import Reference

# A wish names a task by its turn among those that exist when its batch begins.


@attrs.frozen
class Tasks:
    """Submit tasks; the numbers say which of their options are unusual."""

    wanted: tuple[tuple[str, int, int | None, str | None, bool, int | None], ...]


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
class Look:
    """Promote what is due, and refill a level."""

    limit: int
    group: str | None
    after: int


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


Wish: TypeAlias = Tasks | Start | Finish | Cancel | Look | Hold | LetGo

TURNS = st.integers(0, 7)
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
WISHES: st.SearchStrategy[Wish] = st.one_of(
    st.builds(
        Tasks,
        st.lists(
            st.tuples(
                st.sampled_from("abcd"),
                st.sampled_from([10, 100]),
                st.sampled_from([None, 0, 1, 2]),
                GROUPS,
                st.booleans(),
                st.one_of(st.none(), st.none(), TURNS),
            ),
            min_size=1,
            max_size=3,
        ).map(tuple),
    ),
    st.builds(Start, TURNS),
    st.builds(Start, TURNS),
    st.builds(
        Finish,
        TURNS,
        st.sampled_from([0, 0, 0, 1, -1]),
        st.sampled_from(
            ["return", "retry", "retry later", "fail", "die", "halt", "shut down", "preempt"]
        ),
    ),
    st.builds(Cancel, TURNS, st.sampled_from([None, "work", "other"])),
    st.builds(Look, st.integers(1, 3), GROUPS, st.integers(0, 3)),
    st.builds(Hold, SCOPES, st.sampled_from([None, None, -1, 0, 1, 3])),
    st.builds(LetGo, SCOPES, st.sampled_from([0, 0, 2])),
)
BATCHES = st.lists(
    st.one_of(st.lists(WISHES, min_size=1, max_size=6), st.just("reopen")), max_size=14
)

NEEDLES = st.sampled_from(["a", "b", "n", "", "name"])
SELECTIONS = st.builds(
    Selection,
    domain=st.sampled_from([None, None, "work", "g", "none"]),
    types=st.sampled_from([None, None, frozenset({"work::job"}), frozenset({"g::x"})]),
    statuses=st.one_of(
        st.sampled_from([ACTIVE, TERMINAL, ACTIVE | TERMINAL]),
        st.frozensets(st.sampled_from(TaskStatus)),
    ),
    ids=st.one_of(st.none(), st.none(), st.frozensets(st.integers(-1, 9).map(TaskId))),
    any_group=st.sampled_from([True, True, False]),
    group=GROUPS,
    parent=st.sampled_from([None, None, None, TaskId(1), TaskId(2), TaskId(2**70)]),
    key=st.one_of(st.none(), st.none(), NEEDLES),
    tags=st.dictionaries(st.sampled_from(["name", "n_10"]), NEEDLES, max_size=1)
    | st.just({"name": "a", "n_10": "n"}),
    tag_prefix=st.sampled_from([None, None, "", "n", "n_", "name", "name ", "N"]),
    created_before=st.none() | st.integers(T0, T0 + 9).map(from_ms),
    created_after=st.none() | st.integers(T0, T0 + 9).map(from_ms),
)

COUNTED = [
    frozenset({TaskStatus.PENDING}),
    frozenset({TaskStatus.PAUSED}),
    frozenset({TaskStatus.PENDING, TaskStatus.PAUSED}),
    frozenset({TaskStatus.PAUSED, TaskStatus.RUNNING, TaskStatus.BLOCKED}),
]


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
@settings(max_examples=150, deadline=None)
@given(
    few=st.sampled_from([reading.FEW, 0]),
    batches=BATCHES,
    selections=st.lists(SELECTIONS, min_size=4, max_size=8),
)
def test_random_batches_do_what_the_reference_does(
    backend: Backend, few: int, batches: list[list[Wish] | str], selections: list[Selection]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not few:  # a page of many tasks is found in another way
            patch.setattr(reading, "FEW", 0)
            patch.setattr(reading, "MANY", 0)
        anyio.run(partial(_compare, backend, batches, selections))


async def _compare(
    backend: Backend, batches: list[list[Wish] | str], selections: list[Selection]
) -> None:
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
            for selection in selections:
                await _check_reading(store, reference, selection)
        finally:
            await store.close()


async def _check_records(store: Store, reference: Reference) -> None:
    for task, row in reference.rows.items():
        assert await store.get(task) == row.record
    assert await store.count(ANY) == len(reference.rows)
    reported = [reference.reported(row) for row in reference.rows.values()]
    for statuses in COUNTED:
        expected = sum(1 for status in reported if status in statuses)
        assert await store.count(Selection(statuses=statuses)) == expected


async def _check_reading(store: Store, reference: Reference, selection: Selection) -> None:
    chosen, ended = reference.chosen(selection), reference.ended(selection)
    assert await store.ids(selection) == [record.id for record in chosen]
    assert await store.count(selection) == len(chosen)
    assert await store.tasks(selection, limit=100) == chosen
    assert await store.ended(selection, limit=100) == ended
    for before, behind in pairwise([None, *chosen, None]):
        after = None if before is None else before.id
        expected = [] if behind is None else [behind]
        assert await store.tasks(selection, limit=1, after=after) == expected
    for before, behind in pairwise([None, *ended, None]):
        place = None
        if before is not None and before.finished_at is not None:
            place = (to_ms(before.finished_at), before.id)
        expected = [] if behind is None else [behind]
        assert await store.ended(selection, limit=1, after=place) == expected
    for key in ("name", "n_10", "none"):
        counts = await store.count_by_tag(selection, key)
        assert [*counts.items()] == reference.count_by_tag(selection, key)
    domain, prefix = selection.domain, selection.tag_prefix or ""
    assert await store.tag_keys(domain, prefix) == reference.tag_keys(domain, prefix)


def _changes(wish: Wish, reference: Reference, now_ms: int) -> list[Change]:
    """What ``wish`` asks for, as things stand before its batch."""
    match wish:
        case Tasks(wanted=wanted):
            return [Submit(tuple(_new(now_ms, reference, *one) for one in wanted))]
        case Start(turn=turn):
            return [Claim(_id(reference, turn), now_ms)]
        case Finish():
            return _settlement(wish, reference, now_ms)
        case Cancel(turn=turn, domain=domain):
            task = _id(reference, turn)
            return [CancelTask(id=task, domain=domain, reason=None, now_ms=now_ms)]
        case Look(limit=limit, group=group, after=after):
            position = (T0 + after, 2)
            return [
                Promote(now_ms=now_ms, limit=limit),
                Refill(type="work::job", group=group, priority=10, after=position, limit=limit),
                Refill(type="work::job", group=group, priority=100, after=(0, 0), limit=limit),
            ]
        case Hold(scope=(scope, name), until=until):
            until_ms = None if until is None else now_ms + until
            return [Pause(scope=scope, name=name, now_ms=now_ms, until_ms=until_ms)]
        case LetGo(scope=(scope, name), back=back):
            return [Resume(scope=scope, name=name, now_ms=now_ms - back)]
        case _:
            assert_never(wish)


def _new(
    now_ms: int,
    reference: Reference,
    name: str,
    priority: int,
    delay_ms: int | None,
    group: str | None,
    requeue: bool,
    parent: int | None,
) -> NewTask:
    return new_task(
        name,
        domain=DOMAINS.get(name, "work"),
        priority=priority,
        group=group,
        requeue=requeue,
        key=None if name == "d" else name,
        tags={} if name == "d" else {"name": name, f"n_{priority}": "n"},
        created_at_ms=now_ms,
        due_at_ms=now_ms + delay_ms if delay_ms else None,
        parent=None if parent is None else _id(reference, parent),
    )


def _settlement(wish: Finish, reference: Reference, now_ms: int) -> list[Change]:
    row = reference.rows.get(_id(reference, wish.turn))
    if row is None:
        return []
    record = attrs.evolve(
        row.record, run=row.record.run + wish.run, attempt=max(1, row.record.attempt + wish.run)
    )
    return [settle(record, _result(wish.how, record), now_ms=now_ms)]


def _result(how: str, record: TaskRecord) -> Returned | Raised | Halted:
    match how:
        case "return":
            return Returned(f"{record.run}")
        case "halt":
            return Halted(StopCause.CANCELLED)
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
    ids = [
        *(
            task
            for task, row in reference.rows.items()
            if row.record.status in (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.BLOCKED)
        ),
        *reference.rows,
    ]
    return ids[turn] if turn < len(ids) else UNKNOWN
