"""Calls from another thread than the scheduler's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from taskmill import Context, Domain, InvalidState, Scheduler, TaskStatus
from tests.engine.app import Board, Nap, Work, domains, open_app

pytestmark = pytest.mark.anyio


def raised_in_a_loop_of_its_own(call: Callable[[], Any]) -> str:
    with pytest.raises(InvalidState) as raised:
        anyio.run(call)
    return str(raised.value)


async def test_calls_from_the_event_loop_of_another_thread_are_refused_with_advice() -> None:
    async with open_app() as app:
        first = await app.work.submit(Nap(name="a"))
        calls: list[Callable[[], Any]] = [
            partial(app.work.submit, Nap(name="b")),
            partial(app.work.get, first.id),
            partial(app.work.wait, first.id),
            partial(app.work.cancel, first.id),
            partial(app.scheduler.count),
            app.scheduler.idle,
        ]
        for call in calls:
            text = await anyio.to_thread.run_sync(raised_in_a_loop_of_its_own, call)
            assert "another thread; call it there" in text


async def test_a_handlers_thread_calls_through_the_scheduler_s_own_loop() -> None:
    def outer(task: Nap, ctx: Context[Work]) -> str:
        if task.name == "outer":
            anyio.from_thread.run(ctx.domain(Work).submit, Nap(name="inner"))
        return task.name

    domain = Domain(Work, handlers=[Nap.handler(outer)])
    async with Scheduler(":memory:", domains=[domain]) as scheduler:
        await scheduler.submit(Nap(name="outer"))
        await scheduler.idle()
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 2


def test_run_off_the_main_thread_is_refused_with_advice() -> None:
    raised: list[str] = []

    def serve() -> None:
        scheduler = Scheduler(":memory:", domains=domains(Board()))
        raised.append(raised_in_a_loop_of_its_own(scheduler.run))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert "only the main thread gets; in this thread use `async with" in raised[0]
