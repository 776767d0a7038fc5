"""taskiq with taskiq-redis: a Redis stream, which keeps a task until it is acknowledged."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from redis.asyncio import Redis
from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.peers.harness import Adapter


class Taskiq(Adapter):
    """One broker; no result backend, as nobody asks for results."""

    distribution = "taskiq-redis"

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        self.broker = RedisStreamBroker(assignment.url)

        @self.broker.task(task_name="step")
        async def step(number: int):
            ran(number)

        self.task = step
        self.redis = Redis.from_url(assignment.url)
        self.receiving = None

    @property
    def settings(self):
        return "stream, 100 messages a read, each acknowledged after it ran"

    async def open(self):
        await self.broker.startup()

    async def submit(self, number):
        await self.task.kiq(number)

    async def start(self):
        receiving = run_receiver_task(self.broker, max_async_tasks=self.assignment.concurrency)
        self.receiving = asyncio.create_task(receiving)

    async def stop(self):
        self.receiving.cancel()
        with suppress(asyncio.CancelledError, TimeoutError):
            # It has no way to end while it waits for a message; all it ran is acknowledged by now.
            await asyncio.wait_for(asyncio.shield(self.receiving), 1)

    async def remaining(self):
        [group] = await self.redis.xinfo_groups("taskiq")
        return group["pending"] + group["lag"]

    async def close(self):
        await self.redis.aclose()


ADAPTER = Taskiq
