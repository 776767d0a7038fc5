"""Somebody without any of the domains looks at a database and steers what works on it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from taskmill import Every, StoreError, TaskId, TaskStatus
from taskmill.client.opening import visiting
from taskmill.model.changes import Steer
from taskmill.model.errors import InvalidState
from taskmill.model.pauses import PauseScope
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE
from tests.life.app import HOUR, MINUTE, Fail, Nap, open_app

pytestmark = pytest.mark.anyio

EVERY = Selection(statuses=ACTIVE)


async def test_an_open_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app, visiting(path, app.clock) as client:
        holder = await client.holder()
        assert holder is not None
        assert holder.epoch == 1
        running = await app.work.submit(Nap(name="a", seconds=1000))
        delayed = await app.work.submit(Nap(name="b"), delay=HOUR)
        await app.work.schedule(Nap(name="c"), Every(HOUR), name="s")
        await anyio.sleep(1)
        assert await client.queries.ids_of(EVERY) == [running.id, delayed.id]
        assert await client.queries.count_of(EVERY) == 2
        page = await client.queries.page(EVERY, limit=1)
        assert [record.id for record in page] == [running.id]
        assert await client.snapshots.of_all() == await app.scheduler.snapshot()
        await client.steering.pause(PauseScope.DOMAIN, "work", interrupt=True)
        assert app.work.is_paused
        await client.steering.resume(PauseScope.DOMAIN, "work")
        await client.schedules.steer(None, "s", Steer.PAUSE)
        async with client.feed() as events:
            assert await client.control.cancel_where(EVERY) == [running.id, delayed.id]
            async for event in events:
                if event["event"] == "Cancelled":
                    break
        assert (await app.work.wait(running.id)).status is TaskStatus.CANCELLED
        explained = await client.queries.explain(running.id, domain=None)
        assert explained == await app.work.explain(running.id)


async def test_a_closed_database(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with open_app(str(path)) as app:
        await app.work.submit(Nap(name="a"), delay=HOUR)
        failed = await app.work.submit(Fail(name="b", permanent=True))
        await app.work.schedule(Nap(name="c"), Every(MINUTE), name="s")
        await app.work.wait(failed.id)
    async with visiting(path) as client:
        assert await client.holder() is None
        seen = await client.snapshots.of_all()
        assert (seen.is_live, seen.pending_count, list(seen.domains)) == (False, 1, ["work"])
        assert await client.control.cancel(TaskId(1), domain=None)
        await client.control.retry(failed.id, domain=None)
        await client.schedules.steer("work", "s", Steer.CANCEL)
        await client.steering.pause(PauseScope.SCHEDULER, "", interrupt=True)
        assert (await client.snapshots.of_all()).is_paused
        with pytest.raises(InvalidState, match="nobody dispatches"):
            async with client.feed():
                pass
    async with open_app(str(path)) as app:
        assert app.scheduler.is_paused
        assert await app.work.schedules() == []
        assert (await app.work.get(failed.id)).status is TaskStatus.PAUSED


async def test_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no database"):
        async with visiting(tmp_path / "app.db"):
            pass
    assert not list(tmp_path.iterdir())
