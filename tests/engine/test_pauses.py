"""Pauses of the scheduler, of domains and of groups: what they hold, stop, keep and report."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from taskmill import (
    ConfigurationError,
    Context,
    Domain,
    DomainKey,
    InterruptCause,
    Interrupted,
    Paused,
    PauseScope,
    Resumed,
    Scheduler,
    Task,
    TaskStatus,
)
from taskmill.testing import START, virtual_time
from tests.engine.app import SECOND, App, Board, Errand, Nap, domains, open_app

pytestmark = pytest.mark.anyio


async def pause(app: App, scope: str) -> None:
    match scope:
        case "scheduler":
            await app.scheduler.pause()
        case "domain":
            await app.work.pause()
        case _:
            await app.work.pause_group("red")


async def resume(app: App, scope: str) -> None:
    match scope:
        case "scheduler":
            await app.scheduler.resume()
        case "domain":
            await app.work.resume()
        case _:
            await app.work.resume_group("red")


SCOPES = ["scheduler", "domain", "group"]


@pytest.mark.parametrize("scope", SCOPES)
async def test_nothing_in_a_paused_scope_starts_until_it_is_resumed(scope: str) -> None:
    async with open_app() as app:
        await pause(app, scope)
        paused = await app.work.submit(Nap(name="x"), group="red")
        assert paused.paused
        await anyio.sleep(100)
        assert app.board.started == []
        assert (await app.work.get(paused.id)).status is TaskStatus.PAUSED
        await resume(app, scope)
        assert await app.work.result(paused) == "x"
        assert not (await app.work.submit(Nap(name="y"), group="red")).paused


@pytest.mark.parametrize("scope", ["domain", "group"])
async def test_a_pause_holds_nothing_but_its_own_scope(scope: str) -> None:
    async with open_app(max_concurrency=1) as app:
        await pause(app, scope)
        await app.work.submit(Nap(name="held"), group="red", priority=0)
        other = await app.other.submit(Errand(number=7), group="blue", priority=255)
        assert await app.other.result(other) == 7


@pytest.mark.parametrize("scope", SCOPES)
async def test_pausing_stops_what_runs_and_refunds_the_attempt(scope: str) -> None:
    async with open_app() as app, app.work.events(Nap) as events:
        running = await app.work.submit(Nap(name="x", seconds=10), group="red")
        await anyio.sleep(4)
        await pause(app, scope)
        await anyio.sleep(1)
        record = await app.work.get(running.id)
        assert (record.status, record.attempt, record.run) == (TaskStatus.PAUSED, 0, 1)
        assert app.board.running == 0
        await resume(app, scope)
        assert await app.work.result(running) == "x"
        assert app.seconds() == 5 + 10
        seen = [event async for event in _until_read(events)]
        assert [e.cause for e in seen if isinstance(e, Interrupted)] == [InterruptCause.PAUSED]


async def _until_read(events: Any) -> AsyncGenerator[Any]:
    with anyio.move_on_after(2):
        async for event in events:
            yield event


@pytest.mark.parametrize("scope", SCOPES)
async def test_what_runs_may_finish_if_it_is_not_to_be_interrupted(scope: str) -> None:
    async with open_app() as app:
        running = await app.work.submit(Nap(name="x", seconds=10), group="red")
        waiting = await app.work.submit(Nap(name="y"), group="red", delay=5 * SECOND)
        await anyio.sleep(4)
        match scope:
            case "scheduler":
                await app.scheduler.pause(interrupt=False)
            case "domain":
                await app.work.pause(interrupt=False)
            case _:
                await app.work.pause_group("red", interrupt=False)
        assert await app.work.result(running) == "x"
        await anyio.sleep(10)
        assert (await app.work.get(waiting.id)).status is TaskStatus.PAUSED


async def test_pauses_are_independent_and_additive() -> None:
    async with open_app() as app:
        await app.scheduler.pause()
        await app.work.pause()
        await app.work.pause_group("red")
        task = await app.work.submit(Nap(name="x"), group="red")
        for step in (app.work.resume, app.scheduler.resume):
            await step()
            await anyio.sleep(5)
            assert (await app.work.get(task.id)).status is TaskStatus.PAUSED
        await app.scheduler.resume_group("red")
        assert await app.work.result(task) == "x"


async def test_what_is_unblocked_or_retried_under_a_pause_waits() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="x", seconds=5))
        await anyio.sleep(1)
        follow_up = await app.work.submit(Nap(name="x", seconds=1))
        await app.work.pause(interrupt=False)
        await app.work.wait(first.id)
        await anyio.sleep(10)
        assert (await app.work.get(follow_up.id)).status is TaskStatus.PAUSED
        await app.work.resume()
        await app.work.wait(follow_up.id)


async def test_a_group_resumes_itself_on_time_and_its_deadline_can_be_moved() -> None:
    async with open_app() as app:
        await app.work.pause_group("red", until=START + 60 * SECOND)
        await app.work.pause_group("red", until=START + 90 * SECOND)
        assert await app.work.paused_groups() == {"red": START + 90 * SECOND}
        task = await app.work.submit(Nap(name="x"), group="red")
        await app.work.wait(task.id)
        assert app.seconds() == pytest.approx(90, abs=0.01)
        assert await app.scheduler.paused_groups() == {}


async def test_pausing_again_without_a_deadline_takes_the_deadline_away() -> None:
    async with open_app() as app:
        await app.work.pause_group("red", until=START + 60 * SECOND)
        await app.work.pause_group("red")
        await anyio.sleep(1000)
        assert await app.work.paused_groups() == {"red": None}


async def test_a_deadline_that_has_passed_resumes_at_once() -> None:
    async with open_app() as app:
        await app.work.pause_group("red", until=START - SECOND)
        task = await app.work.submit(Nap(name="x"), group="red")
        await app.work.wait(task.id)


async def test_a_deadline_has_a_time_zone() -> None:
    async with open_app() as app:
        with pytest.raises(ConfigurationError, match="time zone"):
            await app.work.pause_group("red", until=START.replace(tzinfo=None))


async def test_pauses_survive_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "app.db")
    async with open_app(path) as app:
        await app.scheduler.pause()
        await app.work.pause()
        await app.work.pause_group("red", until=START + timedelta(days=1))
        await app.work.submit(Nap(name="x"), group="red")
    async with open_app(path) as app:
        assert app.scheduler.is_paused
        assert app.work.is_paused
        assert not app.other.is_paused
        assert await app.work.paused_groups() == {"red": START + timedelta(days=1)}
        await app.scheduler.resume()
        await app.work.resume()
        await app.scheduler.idle()
        assert app.board.started == []
        await anyio.sleep(timedelta(days=1).total_seconds() + 1)
        assert app.board.started == ["x"]


async def test_resuming_what_is_not_paused_does_nothing() -> None:
    async with open_app() as app, app.scheduler.events() as events:
        await app.scheduler.resume()
        await app.work.resume_group("red")
        assert [event async for event in _until_read(events)] == []


async def test_idle_does_not_wait_for_what_is_paused() -> None:
    async with open_app() as app:
        await app.work.pause_group("red")
        await app.work.submit(Nap(name="x"), group="red")
        await app.work.submit(Nap(name="y", seconds=3))
        await app.scheduler.idle()
        assert app.board.started == ["y"]
        await app.scheduler.pause()
        await app.work.submit(Nap(name="z"))
        await app.scheduler.idle()


async def test_paused_tasks_are_counted_and_filtered_as_paused() -> None:
    async with open_app() as app:
        await app.work.pause_group("red")
        await app.work.submit(Nap(name="x"), group="red")
        await app.work.submit(Nap(name="y"), delay=100 * SECOND)
        assert await app.work.count(status=TaskStatus.PAUSED) == 1
        assert await app.work.count(status=TaskStatus.PENDING) == 1
        assert await app.work.count() == 2
        await app.work.pause()
        assert await app.work.count(status=TaskStatus.PAUSED) == 2
        assert await app.work.count(status=TaskStatus.PENDING) == 0


async def test_a_pause_tells_who_listens_to_its_scope() -> None:
    async with open_app() as app, app.work.events() as work, app.other.events() as other:
        await app.work.pause()
        await app.scheduler.pause_group("red", until=START + SECOND)
        await app.work.resume()
        heard = [event async for event in _until_read(work)]
        assert heard == [
            Paused(scope=PauseScope.DOMAIN, name="work"),
            Paused(scope=PauseScope.GROUP, name="red", until=START + SECOND),
            Resumed(scope=PauseScope.DOMAIN, name="work"),
            Resumed(scope=PauseScope.GROUP, name="red"),
        ]
        assert heard[1].to_dict() == {
            "event": "Paused",
            "scope": "group",
            "name": "red",
            "until": (START + SECOND).isoformat(),
        }
        assert [event async for event in _until_read(other)] == [heard[1], heard[3]]


class Stubborn(DomainKey, name="stubborn"): ...


class Deaf(Task[Stubborn], name="deaf"):
    number: int


@Deaf.handler
async def deaf(task: Deaf, ctx: Context[Stubborn]) -> None:
    with anyio.CancelScope(shield=True):
        await anyio.sleep(20)
    await anyio.lowlevel.checkpoint()


async def test_a_handler_that_is_paused_holds_its_slot_until_it_has_stopped() -> None:
    async with virtual_time() as clock:
        board = Board()
        mounted = [*domains(board), Domain(Stubborn, handlers=[deaf])]
        async with Scheduler(":memory:", domains=mounted, max_concurrency=1, clock=clock) as s:
            await s.submit(Deaf(number=1))
            await anyio.sleep(1)
            await s.domain(Stubborn).pause()
            nap = await s.submit(Nap(name="x"))
            await s.wait(nap.id)
            assert clock.monotonic() == 20
            assert len(s.active_tasks()) == 0


async def test_a_claim_that_meets_a_pause_on_its_way_does_not_run() -> None:
    async with open_app() as app:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(app.work.submit, Nap(name=f"n{number}", seconds=1))
            group.start_soon(app.work.pause)
        await anyio.sleep(5)
        assert app.board.running == 0
        assert await app.work.count(status=TaskStatus.RUNNING) == 0
        await app.work.resume()
        await app.scheduler.idle()
        assert await app.work.count(status=TaskStatus.COMPLETED) == 20
