"""Under full load for a long time nothing grows: not memory, not files, not what objects hold.

TASKMILL_SOAK_MINUTES=5 python -m pytest tests/trust/test_soak.py -m nightly -s
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from taskmill import Lagged, Scheduler
from taskmill.testing import virtual_time
from tests.trust.burden import (
    FROM_ELSEWHERE,
    STORIES,
    Quick,
    Story,
    Yard,
    burdened,
    domains,
    in_worker,
    plain,
)
from tests.trust.gauges import growing, held, of_process

pytestmark = pytest.mark.anyio

MINUTES = float(os.environ.get("TASKMILL_SOAK_MINUTES", "30"))
READINGS = 90
WRITERS = 12


ACCOUNTS = {"Shares._shares", "objects of Share"}
"""Those of idle groups are dropped when there are a thousand more than are in use."""


async def test_what_a_scheduler_holds_does_not_grow_with_the_tasks_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("taskmill.rules.limits._RECENT", 8)  # how many idle lanes are kept
    async with virtual_time() as clock:
        app = burdened(
            ":memory:",
            kept=20,
            clock=clock,
            rng=random.Random(1),  # noqa: S311 - nothing secret
            loop_limit=None,
            poll_interval=timedelta(hours=1),
        )
        async with app, readers(app):
            readings: list[Counter[str]] = []
            for number in range(1, 10):
                for turn in range(4):
                    for story in STORIES:
                        await story(app, 10_000 * number + 100 * turn)
                await app.idle()
                await anyio.sleep(120)
                if number > 3:
                    readings.append(held(app))
    assert growing(readings, least=8).keys() <= ACCOUNTS


@pytest.mark.nightly
async def test_nothing_grows_under_full_load(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    app = burdened(str(path), kept=500)
    client = Scheduler(str(path), domains=domains(), dispatch=False)
    readings: list[Counter[str]] = []
    async with app, client, readers(app), anyio.create_task_group() as load:
        await _fill(app)
        for writer in range(WRITERS):
            load.start_soon(_write, app, STORIES, writer)
        load.start_soon(_write, client, FROM_ELSEWHERE, WRITERS)
        load.start_soon(_use_worker, app)
        pause = MINUTES * 60 / READINGS
        for number in range(READINGS):
            await anyio.sleep(pause)
            reading = held(app, client) + of_process(path)
            readings.append(reading)
            newest = max((await app.history(limit=1)).items, key=lambda task: task.id)
            print(_line(number * pause, reading, newest.id), flush=True)
        load.cancel_scope.cancel()
    assert growing(readings[READINGS // 4 :]).keys() <= ACCOUNTS


async def _fill(app: Scheduler) -> None:
    """Use more groups than idle lanes are kept of, so that there are no more of them later."""
    for number in range(1200):
        await app.submit(Quick(number=number), group=f"first-{number}")
    await app.idle()


async def _write(app: Scheduler, stories: Sequence[Story], writer: int) -> None:
    rng = random.Random(writer)  # noqa: S311 - as above
    number = 0
    while True:
        number += 1
        story = plain if rng.random() < 0.4 else rng.choice(stories)
        await story(app, writer * 100_000_000 + number * 20)


async def _use_worker(app: Scheduler) -> None:
    number = 0
    while True:
        number += 1
        await in_worker(app, number)
        await anyio.sleep(0.05)


@asynccontextmanager
async def readers(app: Scheduler) -> AsyncGenerator[None]:
    """One who keeps up with the events, and one who does not."""
    async with anyio.create_task_group() as group:
        group.start_soon(_read, app, 0.0)
        group.start_soon(_read, app, 0.1)
        yield
        group.cancel_scope.cancel()


async def _read(app: Scheduler, seconds: float) -> None:
    async with app.domain(Yard).events() as events:
        async for event in events:
            if seconds:
                await anyio.sleep(seconds)
            elif isinstance(event, Lagged):
                continue


def _line(seconds: float, reading: Counter[str], newest: Any) -> str:
    memory, file, wal = (reading[n] / 2**20 for n in ("memory", "file", "file-wal"))
    return (
        f"{seconds:6.0f} s  {newest} tasks  {memory:6.1f} MiB  file {file:5.1f} MiB  "
        f"wal {wal:5.1f} MiB  {reading['threads']} threads  {reading['descriptors']} descriptors  "
        f"{reading['objects of Task']} asyncio tasks"
    )
