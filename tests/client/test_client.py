"""A scheduler that does not dispatch: it submits, asks and looks on while another one works."""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import (
    ConfigurationError,
    Domain,
    DomainHandle,
    Drain,
    Every,
    InvalidState,
    OnDuplicate,
    Priority,
    Scheduler,
    SubmitOutcome,
    TaskCancelled,
    TaskId,
    TaskStatus,
    UnknownTaskError,
)
from taskmill.link.address import address_of
from taskmill.model.events import Completed, Dispatched, Enqueued
from taskmill.store.sqlite.files import lock_of
from taskmill.testing import FakeClock, virtual_time
from tests.life.app import HOUR, SECOND, App, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client(path: Path, clock: FakeClock | None = None) -> AsyncGenerator[Scheduler]:
    """A second scheduler at the file, with the same types and no handler."""
    web = Scheduler(path, domains=[Domain(Work, tasks=[Nap, Fail])], dispatch=False, clock=clock)
    async with web:
        yield web


@asynccontextmanager
async def both(
    path: Path, **options: Any
) -> AsyncGenerator[tuple[App, DomainHandle[Work], Scheduler]]:
    async with open_app(str(path), **options) as app, client(path, app.clock) as web:
        yield app, web.domain(Work), web


async def test_what_a_client_submits_runs_where_it_is_dispatched(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        submitted = await work.submit(Nap(name="a"))
        assert submitted.outcome is SubmitOutcome.INSERTED
        assert await work.result(submitted) == "a"
        assert app.diary.lines == ["nap a"]


async def test_a_submit_is_noticed_at_once(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        for number in range(20):
            before = app.seconds()
            await work.wait((await work.submit(Nap(name=str(number)))).id)
            assert app.seconds() - before < 0.02


async def test_without_the_socket_the_poll_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskmill.link.address._is_supported", lambda: False)
    path = tmp_path / "app.db"
    async with both(path, poll_interval=SECOND / 2) as (app, work, _):
        assert not path.with_name("app.db.sock").exists()
        before = app.seconds()
        assert await work.result(await work.submit(Nap(name="a"))) == "a"
        assert app.seconds() - before < 1.1
        standing = await work.submit(Nap(name="b"), delay=HOUR)
        again = await work.submit(Nap(name="b"), priority=Priority.HIGH)
        assert (again.id, again.outcome) == (standing.id, SubmitOutcome.UPGRADED)
        assert await work.cancel(standing.id)


async def test_taken_work_is_judged_by_the_dispatcher(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        standing = await work.submit(Nap(name="a", seconds=10), delay=HOUR)
        joined = await work.submit(Nap(name="a", seconds=10), priority=Priority.HIGH)
        assert (joined.id, joined.outcome) == (standing.id, SubmitOutcome.UPGRADED)
        refused = await work.submit(Nap(name="a", seconds=10), on_duplicate=OnDuplicate.REJECT)
        assert (refused.id, refused.outcome) == (standing.id, SubmitOutcome.REJECTED)
        new = await work.submit(Nap(name="a", seconds=10), on_duplicate=OnDuplicate.SUPERSEDE)
        assert (new.outcome, new.replaced) == (SubmitOutcome.SUPERSEDED, standing.id)
        assert (await app.work.get(standing.id)).status is TaskStatus.SUPERSEDED
        await anyio.sleep(1)
        follow_up = await work.submit(Nap(name="a", seconds=10))
        assert follow_up.outcome is SubmitOutcome.REQUEUED


async def test_many_are_submitted_together_or_not_at_all(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        standing = await work.submit(Nap(name="1"), delay=HOUR)
        placed = await work.submit_many([Nap(name=str(n)) for n in range(3)])
        assert [each.outcome for each in placed] == [
            SubmitOutcome.INSERTED,
            SubmitOutcome.DUPLICATE,
            SubmitOutcome.INSERTED,
        ]
        assert placed[1].id == standing.id
        await app.scheduler.idle()
        with pytest.raises(Exception, match="there is no task 99"):
            await work.submit_many([Nap(name="x"), Nap(name="y")], depends_on=[TaskId(99)])
        assert await work.find(key="x") is None
        assert sorted(app.diary.lines) == ["nap 0", "nap 2"]


async def test_what_is_asked_for_is_carried_out_by_the_dispatcher(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _web):
        running = await work.submit(Nap(name="running", seconds=1000))
        waiting = await work.submit(Nap(name="waiting"), delay=HOUR)
        await anyio.sleep(1)
        await work.reprioritise(waiting.id, 7)
        assert (await app.work.get(waiting.id)).priority == 7
        assert await work.cancel(running.id) is True
        with pytest.raises(TaskCancelled):
            await work.result(running)
        assert await work.cancel(running.id) is False
        with pytest.raises(UnknownTaskError):
            await work.cancel(TaskId(99))
        await work.retry(running.id)
        await anyio.sleep(1)
        assert app.diary.lines == ["nap running", "nap running"]
        with pytest.raises(InvalidState):
            await work.retry(running.id)
        assert sorted(await work.cancel_all()) == [running.id, waiting.id]
        await work.wait(running.id)
        assert await work.delete(status=TaskStatus.CANCELLED) == 2


async def test_a_pause_stops_what_runs_over_there(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, web):
        task = await work.submit(Nap(name="a", seconds=1000))
        await anyio.sleep(1)
        await work.pause()
        assert work.is_paused
        assert app.work.is_paused
        await anyio.sleep(0.1)
        assert (await work.get(task.id)).status is TaskStatus.PAUSED
        assert (await work.submit(Nap(name="b"))).paused
        await web.pause_group("g", interrupt=False)
        assert await app.scheduler.paused_groups() == {"g": None} == await web.paused_groups()
        await work.resume()
        assert not work.is_paused
        await anyio.sleep(1)
        assert app.diary.lines == ["nap a", "nap b", "nap a"] or app.diary.lines[-1] == "nap b"


async def test_schedules_are_made_and_changed_from_afar(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, _):
        made = await work.schedule(Nap(name="a"), Every(timedelta(minutes=1)), name="m")
        assert [each.name for each in await app.work.schedules()] == ["m"]
        await anyio.sleep(61)
        assert app.diary.lines == ["nap a"]
        await work.pause_schedule("m")
        await anyio.sleep(120)
        assert app.diary.lines == ["nap a"]
        assert (await work.cancel_schedule("m")).name == made.name
        with pytest.raises(UnknownTaskError):
            await work.resume_schedule("m")


async def test_the_dispatchers_snapshot_and_explanations_are_told(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, web):
        await work.submit(Nap(name="a", seconds=1000), group="g")
        delayed = await work.submit(Nap(name="b"), delay=HOUR)
        await anyio.sleep(1)
        seen = await web.snapshot()
        assert seen == await app.scheduler.snapshot()
        assert seen.is_live
        assert seen.groups["g"].running == 1
        assert seen.groups[None].pending == 1
        assert await work.snapshot() == seen.domains["work"]
        assert (await work.explain(delayed.id)).holds[0].gate == "due"
        assert str(await work.explain(delayed.id)) == str(await app.work.explain(delayed.id))


async def test_events_come_with_their_payloads_and_results(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (_, work, _web):
        async with work.events(Nap) as events:
            await work.submit(Nap(name="a"))
            heard = [await anext(events) for _ in range(3)]
        enqueued, dispatched, completed = heard
        assert isinstance(enqueued, Enqueued)
        assert isinstance(dispatched, Dispatched)
        assert isinstance(completed, Completed)
        assert enqueued.task == Nap(name="a")
        assert (dispatched.run, completed.result) == (1, "a")
        assert completed.duration >= timedelta(0)


async def test_limits_are_set_where_they_hold(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (_, work, web):
        with pytest.raises(InvalidState, match="does not dispatch"):
            web.set_max_concurrency(3)
        with pytest.raises(InvalidState, match="does not dispatch"):
            work.set_max_concurrency(3)
        assert work.active_tasks() == []


async def test_idle_waits_for_the_dispatcher(tmp_path: Path) -> None:
    async with both(tmp_path / "app.db") as (app, work, web):
        await work.submit(Nap(name="a", seconds=5))
        await web.idle()
        assert 5 <= app.seconds() < 5.1


async def test_a_client_can_be_there_first(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with client(path) as web:
        work = web.domain(Work)
        first = await work.submit(Nap(name="a"))
        assert (await work.submit(Nap(name="a"))).outcome is SubmitOutcome.DUPLICATE
        assert await work.cancel(first.id)
        assert (await work.wait(first.id)).status is TaskStatus.CANCELLED
        second = await work.submit(Nap(name="b"))
        seen = await web.snapshot()
        assert (seen.is_live, seen.pending_count) == (False, 1)
        explained = await work.explain(second.id)
        assert explained.sentence.startswith(f"As stored: task {second.id} (work::nap) is pend")
        await work.pause()
        assert (await work.explain(second.id)).holds[0].gate == "domain_pause"
        await work.resume()
        async with open_app(str(path)) as app:
            assert await app.work.result(second) == "b"
            assert app.diary.lines == ["nap b"]
        assert await work.result(second) == "b"


async def test_a_dispatcher_that_drains_still_does_what_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with (
        virtual_time() as clock,
        client(path, clock) as web,
        anyio.create_task_group() as group,
    ):
        work = web.domain(Work)
        group.start_soon(_serve_until_stopped, path, clock)
        task = await work.submit(Nap(name="a", seconds=1000))
        waiting = await work.submit(Nap(name="b"), delay=HOUR)
        await anyio.sleep(5)  # it drains since second 3, for 100 seconds
        assert (await work.submit(Nap(name="b"), priority=1)).id == waiting.id
        assert await work.cancel(task.id)
        assert (await work.wait(task.id)).status is TaskStatus.CANCELLED
        assert clock.monotonic() < 6


async def _serve_until_stopped(path: Path, clock: FakeClock) -> None:
    shutdown = Drain(timedelta(seconds=100))
    async with open_app(str(path), clock=clock, shutdown=shutdown):
        await anyio.sleep(3)


@contextmanager
def deaf_dispatcher(path: Path) -> Generator[None]:
    """One that keeps the file and takes connections, and is stopped: it never answers."""
    lock = lock_of(path)
    assert lock.acquire()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address_of(path)))
        listener.listen()
        yield
    lock.release()


async def test_a_client_that_closes_lets_go_of_whoever_waits_for_an_answer(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with client(path):
        pass  # makes the file
    heard: list[InvalidState] = []
    with deaf_dispatcher(path), anyio.fail_after(60):
        async with anyio.create_task_group() as group, client(path) as web:
            work = web.domain(Work)
            task = await work.submit(Nap(name="a"))

            async def cancel() -> None:
                try:
                    await work.cancel(task.id)
                except InvalidState as error:
                    heard.append(error)

            group.start_soon(cancel)
            await anyio.sleep(0.2)
        assert len(heard) == 1


async def test_roles_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="is in memory"):
        Scheduler(":memory:", domains=[Domain(Work, tasks=[Nap])], dispatch=False)
    with pytest.raises(ConfigurationError, match="choose one"):
        Scheduler("x.db", domains=[Domain(Work, tasks=[Nap])], dispatch=False, standby=True)
    roles: Any = {"dispatch": 1}
    with pytest.raises(ConfigurationError, match="dispatch is True or False"):
        Scheduler("x.db", domains=[Domain(Work, tasks=[Nap])], **roles)
    with pytest.raises(ConfigurationError, match="10 milliseconds"):
        Scheduler("x.db", domains=[Domain(Work, tasks=[Nap])], poll_interval=SECOND / 1000)
