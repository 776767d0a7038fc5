"""When `idle` returns, and to whom."""

from __future__ import annotations

import anyio
import pytest

from tests.engine.app import Nap, open_app

pytestmark = pytest.mark.anyio


async def test_everybody_who_waits_for_idle_is_told() -> None:
    async with open_app() as app:
        await app.work.submit(Nap(name="a", seconds=5))
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(app.scheduler.idle)
        assert app.seconds() == 5
