"""A task whose time is over when its claim is written expires, and the queue stays whole."""

from __future__ import annotations

from datetime import timedelta

import anyio
import pytest

from taskmill import Context, Domain, DomainKey, Scheduler, Task, TaskStatus
from taskmill.testing import virtual_time

pytestmark = pytest.mark.anyio
SECOND = timedelta(seconds=1)


class Shop(DomainKey, name="shop"): ...


class Pack(Task[Shop], name="pack"):
    item: str
    seconds: float = 0


@Pack.handler
async def pack(task: Pack, ctx: Context[Shop]) -> None:
    await anyio.sleep(task.seconds)


@pytest.mark.parametrize("priority", [64, 129])
async def test_a_clock_set_forward_past_the_end_of_what_is_about_to_start_expires_it(
    priority: int,
) -> None:
    async with (
        virtual_time() as clock,
        Scheduler(
            ":memory:",
            domains=[Domain(Shop, handlers=[pack])],
            clock=clock,
            max_concurrency=1,
            loop_limit=None,
        ) as scheduler,
    ):
        await scheduler.submit(Pack(item="slow", seconds=1))
        late = await scheduler.submit_many(
            [Pack(item="b"), Pack(item="c")], ttl=20 * SECOND, priority=priority
        )
        last = await scheduler.submit(Pack(item="d"), priority=129)
        clock.jump(30 * SECOND)
        await anyio.sleep(1.5)
        for each in late:
            record = await scheduler.wait(each.id, timeout=60 * SECOND)
            assert record.status is TaskStatus.EXPIRED
        assert (await scheduler.wait(last.id, timeout=60 * SECOND)).status is TaskStatus.COMPLETED
        with anyio.fail_after(60):
            await scheduler.idle()
        assert (await scheduler.snapshot()).pending_count == 0
