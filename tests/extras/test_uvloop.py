"""The scheduler on another event loop than asyncio's own."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import uvloop

from taskmill import (
    Context,
    Domain,
    DomainKey,
    LoopBlocked,
    ProcessExecutor,
    Scheduler,
    Stop,
    Task,
    TaskStatus,
)
from tests.extras.plant import Broken, Plant
from tests.extras.plant import domain as plant_domain

uvloop.new_event_loop().close()  # the first one opens a pipe that all of the process share

LIMIT = timedelta(milliseconds=100)


class Places(DomainKey, name="places"): ...


class Here(Task[Places, str], name="here"):
    seconds: float = 0


class There(Task[Places, str], name="there"):
    """Runs in a thread."""


class Stuck(Task[Places], name="stuck"):
    """Blocks the event loop."""


@Here.handler
async def here(task: Here, ctx: Context[Places]) -> str:
    await anyio.sleep(task.seconds)
    return type(asyncio.get_running_loop()).__module__


@There.handler
def there(task: There, ctx: Context[Places]) -> str:
    return "there"


@Stuck.handler
async def stuck(task: Stuck, ctx: Context[Places]) -> None:
    time.sleep(4 * LIMIT.total_seconds())  # noqa: ASYNC251 - which is what it is for


async def _works(path: Path) -> None:
    domain = Domain(Places, handlers=[here, there, stuck])
    async with Scheduler(
        path,
        domains=[domain, plant_domain()],
        executors={"process": ProcessExecutor(1)},
        shutdown=Stop(),
        loop_limit=LIMIT,
    ) as scheduler:
        places = scheduler.domain(Places)
        assert await places.result(await places.submit(Here())) == uvloop.Loop.__module__
        assert await places.result(await places.submit(There())) == "there"
        broken = await scheduler.submit(Broken())  # in a process
        error = (await scheduler.domain(Plant).wait(broken.id)).last_error
        assert error is not None
        assert error.type == "ZeroDivisionError"
        long = await places.submit(Here(seconds=1000))
        await places.cancel(long.id)
        assert (await places.wait(long.id)).status is TaskStatus.CANCELLED
        async with scheduler.events() as events:
            await scheduler.submit(Stuck())
            async for event in events:
                if isinstance(event, LoopBlocked):
                    assert event.header is not None
                    assert event.header.type == "places::stuck"
                    break


def test_everything_runs_on_uvloop(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    anyio.run(_works, tmp_path / "app.db", backend_options={"use_uvloop": True})
    assert len(caplog.messages) == 1
    assert "places::stuck) has blocked the event loop" in caplog.messages[0]
