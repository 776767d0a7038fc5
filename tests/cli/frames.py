"""Frames of a real scheduler in virtual time, for tests of the live view."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from taskmill import GroupPolicy
from taskmill.cli.top.estimate import estimates_of
from taskmill.cli.top.sight import turn_of
from taskmill.cli.top.state import STATUSES, Frame, View
from taskmill.model.status import TERMINAL
from tests.engine.app import App, Fail, Nap, open_app


@asynccontextmanager
async def some_tasks() -> AsyncGenerator[App]:
    """Three tasks run, some wait, one depends on another, one has failed."""
    groups = {"s3": GroupPolicy(weight=2), "ftp": GroupPolicy(max_concurrency=1)}
    async with open_app(max_concurrency=3, groups=groups) as app:
        await app.work.submit(Fail(permanent=True))
        await app.scheduler.idle()
        for number in range(5):
            label = f"nap {number} \x1b[2J 日本語 " + "long " * 20
            group = ("s3", "ftp", None)[number % 3]
            await app.work.submit(Nap(name=f"n{number}", seconds=1000), label=label, group=group)
        last = await app.work.submit(Nap(name="last"))
        await app.work.submit(Nap(name="behind"), depends_on=[last.id])
        await anyio.sleep(60)
        yield app


async def frame_of(app: App, view: View = View.RUNNING, *, name: str = "app.db") -> Frame:
    """What a live view of it shows."""
    snapshot = await app.scheduler.snapshot()
    match view:
        case View.RUNNING:
            tasks = snapshot.running
        case View.WAITING:
            page = await app.scheduler.tasks(status=STATUSES[view])
            tasks = tuple(sorted(page, key=turn_of))
        case _:
            tasks = (await app.scheduler.history(status=STATUSES.get(view, TERMINAL))).items
    return Frame(
        at=snapshot.at,
        name=name,
        snapshot=snapshot,
        is_live=True,
        holder="process 1 on host for 5 s",
        opening=1,
        view=view,
        tasks=tasks,
        is_all=True,
        estimates=estimates_of(snapshot, snapshot.at),
    )
