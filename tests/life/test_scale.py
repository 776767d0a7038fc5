"""Thousands of tasks that depend on each other, one way or the other, end in order."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import pytest

from taskmill import Context, TaskStatus
from tests.life.app import Do, Fail, Nap, Work, open_app

pytestmark = pytest.mark.anyio

SIZES = pytest.mark.parametrize(
    "many", [1_000, pytest.param(10_000, marks=pytest.mark.nightly)], ids=str
)


@contextmanager
def shallow() -> Generator[None]:
    """Little room for recursion."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


@SIZES
async def test_a_chain_runs_in_its_order_and_fails_to_its_end(many: int) -> None:
    async with open_app(max_concurrency=64) as app:
        await app.scheduler.pause()
        good = await app.work.submit(Nap(name="0"))
        bad = await app.work.submit(Fail(permanent=True))
        ends = [good.id, bad.id]
        for number in range(1, many // 2):
            for end, name in enumerate(("good", "bad")):
                task = Nap(name=f"{name} {number}")
                ends[end] = (await app.work.submit(task, depends_on=[ends[end]])).id
        with shallow():
            await app.scheduler.resume()
            await app.scheduler.idle()
        assert (await app.work.get(ends[0])).status is TaskStatus.COMPLETED
        assert (await app.work.get(ends[1])).status is TaskStatus.DEPENDENCY_FAILED
        ran = app.diary.of("nap")
        assert ran == ["nap 0", *(f"nap good {number}" for number in range(1, many // 2))]
        assert await app.work.count(status=TaskStatus.DEPENDENCY_FAILED) == many // 2 - 1


@SIZES
async def test_fan_out_and_fan_in(many: int) -> None:
    async with open_app(max_concurrency=64) as app:
        first = await app.work.submit(Nap(name="first", seconds=1))
        middle = await app.work.submit_many(
            [Nap(name=str(number)) for number in range(many)], depends_on=[first]
        )
        last = await app.work.submit(Nap(name="last"), depends_on=middle)
        assert await app.work.count(status=TaskStatus.BLOCKED) == many + 1
        with shallow():
            assert await app.work.result(last) == "last"
        assert app.diary.lines[-1] == "nap last"
        assert len(app.diary.lines) == many + 2


@SIZES
@pytest.mark.parametrize("is_cancelled", [False, True])
async def test_a_parent_of_many_children(is_cancelled: bool, many: int) -> None:
    async with open_app(max_concurrency=64) as app:

        async def body(ctx: Context[Work]) -> None:
            await ctx.spawn_many([Nap(name=str(n), seconds=1) for n in range(many)])

        app.body("p", body)
        parent = await app.work.submit(Do(name="p"))
        await anyio.sleep(0.5)
        assert await app.work.count() > many
        if is_cancelled:
            await app.work.cancel(parent.id)
        with shallow():
            record = await app.work.wait(parent.id)
        ended = TaskStatus.CANCELLED if is_cancelled else TaskStatus.COMPLETED
        assert record.status is ended
        await app.scheduler.idle()
        assert await app.work.count() == 0
