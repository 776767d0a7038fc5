"""What any backend promises about pauses: what holds since when, and which tasks are counted."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from taskmill.model.changes import Pause, Resume, Submit
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.store.base import Store

from .conformance import (
    ANY,
    MINUTE,
    T0,
    apply_one,
    cancel,
    claim,
    complete,
    expect,
    new_task,
    pause,
    record_of,
    released,
    resume,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

SCHEDULER, DOMAIN, GROUP = PauseScope.SCHEDULER, PauseScope.DOMAIN, PauseScope.GROUP
PENDING, PAUSED = TaskStatus.PENDING, TaskStatus.PAUSED

ODD_NAMES = ["it's", '"', "100%", "a_b", "\\", "ä", "日本語", "🦆\u200d🔥", "a\0b", " ", "NULL"]


# --- setting and ending --------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "name"), [(SCHEDULER, ""), (DOMAIN, "work"), (GROUP, "work")])
async def test_a_pause_holds_from_when_it_was_set_until_its_resume(
    store: Store, scope: PauseScope, name: str
) -> None:
    held = PauseRecord(scope=scope, name=name, since_ms=T0, until_ms=T0 + MINUTE)
    assert await pause(store, scope, name, until_ms=T0 + MINUTE) == held
    ended = await resume(store, scope, name, now_ms=T0 + 5)
    assert ended == attrs.evolve(held, ended_ms=T0 + 5)


@pytest.mark.parametrize("until_ms", [T0 + 9, T0 + 2 * MINUTE, T0 - 1, None])
async def test_pausing_again_moves_the_deadline_and_keeps_the_beginning(
    store: Store, until_ms: int | None
) -> None:
    await pause(store, GROUP, "g", until_ms=T0 + MINUTE)
    moved = PauseRecord(scope=GROUP, name="g", since_ms=T0, until_ms=until_ms)
    assert await pause(store, GROUP, "g", now_ms=T0 + 5, until_ms=until_ms) == moved
    ended = attrs.evolve(moved, ended_ms=T0 + 7)
    assert await resume(store, GROUP, "g", now_ms=T0 + 7) == ended


async def test_a_resume_of_what_is_not_held_changes_nothing(store: Store) -> None:
    assert await resume(store, GROUP, "g") is None
    await pause(store, GROUP, "g")
    assert await resume(store, GROUP, "g") is not None
    assert await resume(store, GROUP, "g") is None
    assert await resume(store, GROUP, "unheard of") is None


async def test_a_scope_can_be_paused_resumed_and_paused_in_one_millisecond(store: Store) -> None:
    hold, let_go = (
        Pause(scope=GROUP, name="g", now_ms=T0),
        Resume(scope=GROUP, name="g", now_ms=T0),
    )
    held = PauseRecord(scope=GROUP, name="g", since_ms=T0)
    ended = attrs.evolve(held, ended_ms=T0)
    effects = await store.apply([hold, let_go, hold, let_go, let_go, hold])
    assert effects == [held, ended, held, ended, None, held]
    await submit(store, new_task("a", group="g"))
    assert await counted(store) == (1, 0)
    assert await resume(store, GROUP, "g", now_ms=T0 + 1) == attrs.evolve(held, ended_ms=T0 + 1)
    assert await counted(store) == (0, 1)


async def test_a_new_pause_begins_anew_after_the_last_one_ended(store: Store) -> None:
    await pause(store, GROUP, "g", until_ms=T0 + MINUTE)
    await resume(store, GROUP, "g", now_ms=T0 + 5)
    again = await pause(store, GROUP, "g", now_ms=T0 + 9)
    assert again == PauseRecord(scope=GROUP, name="g", since_ms=T0 + 9)


async def test_a_clock_set_back_ends_no_pause_before_it_began(store: Store) -> None:
    await pause(store, DOMAIN, "work")
    ended = expect(await resume(store, DOMAIN, "work", now_ms=T0 - MINUTE), PauseRecord)
    assert (ended.since_ms, ended.ended_ms) == (T0, T0)


async def test_scopes_of_one_name_are_paused_and_resumed_each_by_itself(store: Store) -> None:
    await pause(store, SCHEDULER)
    await pause(store, DOMAIN, "work", now_ms=T0 + 1)
    await pause(store, GROUP, "work", now_ms=T0 + 2)
    ended = expect(await resume(store, DOMAIN, "work", now_ms=T0 + 3), PauseRecord)
    assert (ended.scope, ended.since_ms) == (DOMAIN, T0 + 1)
    assert await resume(store, DOMAIN, "work") is None
    for scope, name, since_ms in ((GROUP, "work", T0 + 2), (SCHEDULER, "", T0)):
        ended = expect(await resume(store, scope, name, now_ms=T0 + 3), PauseRecord)
        assert (ended.scope, ended.since_ms) == (scope, since_ms)


async def test_a_deadline_alone_ends_nothing_in_an_open_store(store: Store) -> None:
    """A store reads no clock: that the time has come is a Resume like any other."""
    await submit(store, new_task("a", group="g"))
    await pause(store, GROUP, "g", until_ms=T0 - MINUTE)
    assert await counted(store) == (1, 0)


@pytest.mark.parametrize(
    ("scope", "name"), [(SCHEDULER, "g"), (DOMAIN, ""), (GROUP, ""), (GROUP, "\ud800")]
)
async def test_a_pause_that_no_row_can_hold_fails_alone(
    store: Store, scope: PauseScope, name: str
) -> None:
    before, refused, after = await store.apply(
        [
            Submit((new_task("a", group="g"),)),
            Pause(scope=scope, name=name, now_ms=T0),
            Pause(scope=GROUP, name="g", now_ms=T0),
        ]
    )
    assert isinstance(before, tuple)
    assert "Pause" in str(expect(refused, StoreError))
    assert expect(after, PauseRecord).since_ms == T0
    assert await counted(store) == (1, 0)


async def test_a_pause_changes_no_task(store: Store) -> None:
    tasks = [p.id for p in await submit(store, *(new_task(f"{n}", group="g") for n in range(3)))]
    await claim(store, tasks[0])
    before = [await record_of(store, task) for task in tasks]
    for scope, name in ((SCHEDULER, ""), (DOMAIN, "work"), (GROUP, "g")):
        await pause(store, scope, name)
    assert [await record_of(store, task) for task in tasks] == before
    assert (await claim(store, tasks[1])).status is TaskStatus.RUNNING
    assert (await complete(store, before[0])).status is TaskStatus.COMPLETED


# --- counting ------------------------------------------------------------------------------------


async def counted(store: Store, **filters: Any) -> tuple[int, int]:
    """How many tasks are paused, and how many pending; asked for both, a count gives the sum."""
    select = attrs.evolve(ANY, **filters)
    both, paused, pending = [
        await store.count(attrs.evolve(select, statuses=frozenset(statuses)))
        for statuses in ({PENDING, PAUSED}, {PAUSED}, {PENDING})
    ]
    assert both == paused + pending
    return paused, pending


async def populate(store: Store) -> None:
    """Eight pending tasks, and one each that is blocked, running, cancelled and completed."""
    for n, (domain, group) in enumerate(PLACES):
        kind = f"{domain}::job"
        await submit(store, new_task(f"{n}", domain=domain, kind=kind, group=group))
    await submit(store, new_task("late", group="g", due_at_ms=T0 + MINUTE))
    await claim(store, await submit_one(store, new_task("busy", group="g")))
    await submit(store, new_task("busy", group="g"))
    await complete(store, await claim(store, await submit_one(store, new_task("done"))))
    await cancel(store, await submit_one(store, new_task("gone", group="g")))


PLACES = [
    ("work", None),
    ("work", None),
    ("work", "g"),
    ("work", "far"),
    ("far", None),
    ("far", "work"),
    ("far", "far"),
]
"""Groups may be named as domains; besides these, one task of ``("work", "g")`` is not due."""


@pytest.mark.parametrize(
    ("held", "paused"),
    [
        ([], 0),
        ([(SCHEDULER, "")], 8),
        ([(DOMAIN, "work")], 5),
        ([(DOMAIN, "far")], 3),
        ([(GROUP, "g")], 2),
        ([(GROUP, "work")], 1),
        ([(GROUP, "far")], 2),
        ([(DOMAIN, "g")], 0),
        ([(DOMAIN, "Work"), (GROUP, "G"), (GROUP, "%"), (GROUP, "_")], 0),
        ([(DOMAIN, "work"), (GROUP, "far")], 6),
        ([(DOMAIN, "far"), (GROUP, "far")], 4),
        ([(GROUP, "g"), (GROUP, "work"), (GROUP, "far")], 5),
        ([(DOMAIN, "work"), (DOMAIN, "far")], 8),
        ([(SCHEDULER, ""), (DOMAIN, "work"), (GROUP, "g")], 8),
    ],
)
async def test_a_pending_task_counts_as_paused_while_any_of_its_scopes_is_held(
    store: Store, held: list[tuple[PauseScope, str]], paused: int
) -> None:
    await populate(store)
    for scope, name in held:
        await pause(store, scope, name)
    assert await counted(store) == (paused, 8 - paused)
    others = ACTIVE - {PENDING, PAUSED}
    assert await store.count(Selection(statuses=others)) == 2
    assert await store.count(Selection(statuses=others | {PAUSED})) == 2 + paused
    assert await store.count(Selection(statuses=others | {PENDING})) == 10 - paused
    assert await store.count(Selection(statuses=TERMINAL)) == 2
    assert await store.count(ANY) == 12
    for scope, name in held:
        await resume(store, scope, name)
    assert await counted(store) == (0, 8)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"domain": "work"}, (2, 3)),
        ({"domain": "far"}, (3, 0)),
        ({"any_group": False, "group": None}, (1, 2)),
        ({"any_group": False, "group": "far"}, (1, 1)),
        ({"any_group": False, "group": "g"}, (2, 0)),
        ({"domain": "work", "any_group": False, "group": None}, (0, 2)),
        ({"domain": "far", "any_group": False, "group": "far"}, (1, 0)),
        ({"types": frozenset({"far::job"})}, (3, 0)),
        ({"types": frozenset[str]()}, (0, 0)),
        ({"ids": frozenset({1, 3})}, (1, 1)),
    ],
)
async def test_a_count_of_paused_tasks_obeys_the_other_filters(
    store: Store, filters: dict[str, Any], expected: tuple[int, int]
) -> None:
    await populate(store)
    await pause(store, DOMAIN, "far")
    await pause(store, GROUP, "g")
    assert await counted(store, **filters) == expected


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_a_pause_may_have_any_name_and_holds_no_other(store: Store, name: str) -> None:
    await submit(
        store,
        new_task("group", group=name),
        new_task("domain", domain=name),
        new_task("domain and group", domain=name, group=name),
        new_task("none"),
        new_task("other", group=f"{name}b", domain=f"b{name}"),
    )
    record = await pause(store, GROUP, name)
    assert record.name == name
    assert await counted(store) == (2, 3)
    await pause(store, DOMAIN, name)
    assert await counted(store) == (3, 2)
    assert expect(await resume(store, GROUP, name), PauseRecord).name == name
    assert await counted(store) == (2, 3)


async def test_tasks_that_come_back_or_become_ready_under_a_pause_are_paused(store: Store) -> None:
    first = await submit_one(store, new_task("a", group="g"))
    running = await claim(store, first)
    follow_up = await submit_one(store, new_task("a", group="g"))
    await pause(store, GROUP, "g")
    await submit(store, new_task("b", group="g"))
    assert await counted(store) == (1, 0)
    assert released(await complete(store, running)).id == follow_up
    assert await counted(store) == (2, 0)


async def test_a_count_sees_a_pause_applied_before_it(store: Store) -> None:
    await submit(store, new_task("a"))
    for _ in range(3):
        await apply_one(store, Pause(scope=SCHEDULER, name="", now_ms=T0))
        assert await counted(store) == (1, 0)
        await apply_one(store, Resume(scope=SCHEDULER, name="", now_ms=T0))
        assert await counted(store) == (0, 1)
