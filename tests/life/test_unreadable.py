"""A task that is to end, ends, also where what is stored of it fits its type no more."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import anyio
import pytest

from taskmill import TaskStatus
from taskmill.testing import virtual_time
from tests.life.app import Tidy, open_app
from tests.life.crash import die

pytestmark = pytest.mark.anyio


async def test_an_on_cancel_is_given_up_where_its_payload_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with open_app(str(path), clock=clock) as app:
            await app.work.pause()
            task = await app.work.submit(Tidy(name="t"))
        await die(path, clock, task.id, has_undo=True, cancelled=True)
        with sqlite3.connect(path) as db:
            db.execute("UPDATE taskmill_tasks SET payload = '{\"name\": 7}'")
        db.close()
        async with open_app(str(path), clock=clock) as app:
            await app.work.resume()
            with anyio.fail_after(60):
                record = await app.work.wait(task.id)
            assert record.status is TaskStatus.CANCELLED
            assert record.last_error is not None
            assert "name" in record.last_error.message
            assert record.run == 2
