"""What any lasting backend promises about pauses over closing and opening again."""

from __future__ import annotations

from collections import Counter

import pytest

from taskmill.model.pauses import PauseRecord, PauseScope
from taskmill.model.selection import Selection
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms
from taskmill.store.base import Store

from .conformance import (
    MINUTE,
    T0,
    Place,
    cancel,
    claim,
    complete,
    end,
    new_task,
    pause,
    raised,
    resume,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

SCHEDULER, DOMAIN, GROUP = PauseScope.SCHEDULER, PauseScope.DOMAIN, PauseScope.GROUP
PAUSED = Selection(statuses=frozenset({TaskStatus.PAUSED}))
READY_IN = 10
"""When the tasks of these tests become ready, in milliseconds after `T0`."""


async def pauses_at(place: Place, now_ms: int) -> Counter[PauseRecord]:
    """The pauses that a store opened at this time holds."""
    store = place.store()
    opening = await store.open(now=from_ms(now_ms))
    await store.close()
    return Counter(opening.pauses)


def held(name: str = "g", *, since_ms: int = T0, until_ms: int | None = None) -> PauseRecord:
    return PauseRecord(scope=GROUP, name=name, since_ms=since_ms, until_ms=until_ms)


async def test_a_new_store_has_no_pauses(place: Place) -> None:
    assert not await pauses_at(place, T0)


async def test_pauses_hold_over_any_number_of_openings(place: Place) -> None:
    odd = 'it\'s 100% "ä" 日本語'
    async with place.opened() as store:
        await submit(store, new_task("a", group=odd), new_task("b"))
        expected = Counter(
            [
                await pause(store, DOMAIN, "far"),
                await pause(store, GROUP, odd, now_ms=T0 + 1),
                await pause(store, GROUP, "far", now_ms=T0 + 2, until_ms=T0 + 2 * MINUTE),
            ]
        )
    for _ in range(3):
        assert await pauses_at(place, T0 + MINUTE) == expected
    async with place.opened() as store:
        assert await store.count(PAUSED) == 1
        expected[await pause(store, SCHEDULER, now_ms=T0 + MINUTE)] += 1
        assert await store.count(PAUSED) == 2
    assert await pauses_at(place, T0 + MINUTE) == expected


async def test_a_pause_found_again_can_be_moved_and_resumed(place: Place) -> None:
    async with place.opened() as store:
        await pause(store, GROUP, "g", until_ms=T0 + MINUTE)
    async with place.opened() as store:
        assert await pause(store, GROUP, "g", now_ms=T0 + 5) == held()
        assert await resume(store, GROUP, "g", now_ms=T0 + 6) is not None
        assert await resume(store, GROUP, "g") is None
    assert not await pauses_at(place, T0 + 7)


async def test_a_pause_and_those_before_it_in_the_same_millisecond_are_all_found(
    place: Place,
) -> None:
    async with place.opened() as store:
        await submit(store, new_task("a", created_at_ms=T0 - 1))
        expected: Counter[object] = Counter()
        for _ in range(2):
            await pause(store, GROUP, "g")
            expected[await resume(store, GROUP, "g")] += 1
        expected[await pause(store, GROUP, "g")] += 1
    found = await pauses_at(place, T0)
    assert Counter(pause for pause in found.elements() if pause.ended_ms is None) == {held(): 1}
    assert found <= expected, "those that took no time may be left out: nobody waited through them"


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "opened", "ended"),
    [(9, 8, None), (9, 9, 9), (9, 10, 9), (9, MINUTE, 9), (-5, 3, 0), (0, 3, 0), (None, 9, None)],
)
async def test_a_deadline_that_passed_while_closed_ended_the_pause_when_it_came(
    place: Place, until: int | None, opened: int, ended: int | None
) -> None:
    until_ms = None if until is None else T0 + until
    async with place.opened() as store:
        await submit(store, new_task("a", group="g", created_at_ms=T0 - 1))
        await pause(store, GROUP, "g", until_ms=until_ms)
    store = place.store()
    opening = await store.open(now=from_ms(T0 + opened))
    assert await store.count(PAUSED) == (1 if ended is None else 0)
    holding = [pause for pause in opening.pauses if pause.ended_ms is None]
    assert holding == ([held(until_ms=until_ms)] if ended is None else [])
    assert [pause.ended_ms for pause in opening.pauses if pause.ended_ms != T0] == (
        [] if ended == 0 else [None if ended is None else T0 + ended]
    )
    assert (await resume(store, GROUP, "g") is None) == (ended is not None)
    await store.close()


async def test_a_moved_deadline_is_the_one_that_counts(place: Place) -> None:
    async with place.opened() as store:
        await pause(store, GROUP, "g", until_ms=T0 + 5)
        await pause(store, GROUP, "h", until_ms=T0 + MINUTE)
        await pause(store, GROUP, "g", until_ms=T0 + MINUTE)
        await pause(store, GROUP, "h", until_ms=T0 + 5)
    assert await pauses_at(place, T0 + 9) == {held(until_ms=T0 + MINUTE): 1}


# --- what is remembered --------------------------------------------------------------------------


async def paused_for(place: Place, *spans: tuple[int, int]) -> Counter[PauseRecord]:
    """The closed pauses of the scheduler, one for each span of milliseconds after `T0`."""
    records: Counter[PauseRecord] = Counter()
    async with place.opened() as store:
        for since, ended in spans:
            await pause(store, SCHEDULER, now_ms=T0 + since)
            record = await resume(store, SCHEDULER, now_ms=T0 + ended)
            assert isinstance(record, PauseRecord)
            records[record] += 1
    return records


async def test_a_pause_is_remembered_while_a_task_waits_that_was_ready_before_its_end(
    place: Place,
) -> None:
    async with place.opened() as store:
        await submit(store, new_task("a", created_at_ms=T0 + READY_IN))
        await submit(store, new_task("b", created_at_ms=T0 + MINUTE))
    earlier = await paused_for(place, (0, 5), (6, READY_IN - 1), (READY_IN - 1, READY_IN))
    assert earlier
    remembered = await paused_for(place, (5, READY_IN + 1), (11, 12), (MINUTE, MINUTE + 1))
    for _ in range(2):
        assert await pauses_at(place, T0 + 2 * MINUTE) == remembered


async def bring(store: Store, state: str) -> None:
    """A task in this state, ready since `READY_IN` where it is ready at all."""
    ready, later = T0 + READY_IN, T0 + MINUTE
    if state == "not due until later":
        await submit(store, new_task("a", due_at_ms=later))
        return
    is_first = state != "blocked"
    task = await submit_one(store, new_task("a", created_at_ms=ready if is_first else later))
    if state == "cancelled":
        await cancel(store, task)
    if state in ("pending", "cancelled"):
        return
    running = await claim(store, task, now_ms=later)
    match state:
        case "blocked":
            await submit(store, new_task("a", created_at_ms=ready))
        case "waiting for a retry":
            await end(store, running, raised(1, delay_ms=MINUTE), now_ms=later)
        case "failed":
            await end(store, running, raised(1, delay_ms=None), now_ms=later)
        case "completed":
            await complete(store, running)
        case "to stop":
            await cancel(store, task)
        case _:
            assert state == "running"


@pytest.mark.parametrize("end_ms", [READY_IN, READY_IN + 1])
@pytest.mark.parametrize(
    ("state", "is_active"),
    [
        ("pending", True),
        ("waiting for a retry", True),
        ("running", True),
        ("blocked", True),
        ("not due until later", False),
        ("completed", False),
        ("failed", False),
        ("cancelled", False),
        ("to stop", False),
    ],
)
async def test_tasks_that_have_ended_or_are_not_due_need_no_memory_of_a_pause(
    place: Place, state: str, is_active: bool, end_ms: int
) -> None:
    async with place.opened() as store:
        await bring(store, state)
    closed = await paused_for(place, (0, end_ms))
    is_remembered = is_active and end_ms > READY_IN
    assert await pauses_at(place, T0 + MINUTE) == (closed if is_remembered else Counter())


async def test_a_pause_that_nobody_waits_through_any_more_is_forgotten(place: Place) -> None:
    async with place.opened() as store:
        task = await submit_one(store, new_task("a"))
    closed = await paused_for(place, (0, 5), (6, 9))
    assert await pauses_at(place, T0 + 10) == closed
    async with place.opened() as store:
        running = await claim(store, task)
        holding = await pause(store, GROUP, "g")
        await complete(store, running)
    assert await pauses_at(place, T0 + 10) == {holding: 1}


async def test_a_pause_that_ended_while_closed_is_forgotten_at_once_where_nobody_waits(
    place: Place,
) -> None:
    async with place.opened() as store:
        await submit(store, new_task("a", group="g", created_at_ms=T0 + READY_IN))
        await pause(store, GROUP, "g", until_ms=T0 + READY_IN)
        await pause(store, GROUP, "h", until_ms=T0 + READY_IN + 1)
    [remembered] = await pauses_at(place, T0 + MINUTE)
    assert (remembered.name, remembered.ended_ms) == ("h", T0 + READY_IN + 1)
