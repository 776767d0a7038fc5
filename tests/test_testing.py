"""Time for tests: it moves as far as it must, in order, and stands still for threads."""

from __future__ import annotations

import time
from datetime import timedelta

import anyio
import pytest

from taskmill.testing import START, FakeClock, virtual_time

pytestmark = pytest.mark.anyio


def test_a_fake_clock_moves_when_it_is_told_to() -> None:
    clock = FakeClock()
    clock.advance(timedelta(seconds=90))
    assert clock.now() == START + timedelta(seconds=90)
    assert clock.monotonic() == 90
    clock.jump(timedelta(days=-1))
    assert clock.now() == START + timedelta(seconds=90) - timedelta(days=1)
    assert clock.monotonic() == 90


async def test_sleeps_are_instant_and_end_in_order() -> None:
    order: list[float] = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        order.append(seconds)

    before = time.perf_counter()
    async with virtual_time() as clock, anyio.create_task_group() as group:
        for seconds in (3600.0, 2.0, 86_400.0, 0.5):
            group.start_soon(sleep, seconds)
    assert order == [0.5, 2.0, 3600.0, 86_400.0]
    assert clock.now() == START + timedelta(days=1)
    assert time.perf_counter() - before < 60


async def test_the_shortest_sleeps_end_too() -> None:
    async with virtual_time() as clock:
        for length in (1e-6, 4e-7, 1e-8):
            await anyio.sleep(length)
        assert 0 < clock.monotonic() < 1e-5


async def test_time_stands_still_while_a_thread_works() -> None:
    async with virtual_time() as clock:
        with anyio.move_on_after(1) as scope, clock.hold():
            await anyio.to_thread.run_sync(sum, range(1_000_000))
        assert not scope.cancelled_caught
        assert clock.monotonic() == 0


async def test_after_it_real_time_goes_on() -> None:
    async with virtual_time():
        await anyio.sleep(1000)
    before = time.perf_counter()
    await anyio.sleep(0.001)
    assert time.perf_counter() - before >= 0.001
