"""pgqueuer: PostgreSQL through asyncpg, woken by LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.peers.harness import Adapter


class Pgqueuer(Adapter):
    """A pool each for the producer and the worker, as two parts of a service have."""

    distribution = "pgqueuer"
    has_bulk = True

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        self.producers = self.workers = self.queries = self.app = self.running = None

    @property
    def batch(self):
        # It refuses a batch above half of the slots; larger batches than that need more slots.
        return max(1, self.assignment.concurrency // 2)

    @property
    def settings(self):
        return f"asyncpg pool of 20, batch_size={self.batch}, durability=durable (its default)"

    async def open(self):
        self.producers = await asyncpg.create_pool(self.assignment.url, min_size=4, max_size=20)
        self.queries = Queries(AsyncpgPoolDriver(self.producers))
        await self.queries.install()

    async def submit(self, number):
        await self.queries.enqueue("step", str(number).encode())

    async def submit_many(self, numbers):
        payloads = [str(number).encode() for number in numbers]
        await self.queries.enqueue(["step"] * len(payloads), payloads, [0] * len(payloads))

    async def start(self):
        self.workers = await asyncpg.create_pool(self.assignment.url, min_size=2, max_size=10)
        self.app = PgQueuer(AsyncpgPoolDriver(self.workers))

        @self.app.entrypoint("step")
        async def step(job):
            self.ran(int(job.payload))

        running = self.app.run(
            batch_size=self.batch,
            max_concurrent_tasks=self.assignment.concurrency,
            dequeue_timeout=timedelta(seconds=1),  # how long an idle worker goes without a look
        )
        self.running = asyncio.create_task(running)

    async def stop(self):
        self.app.shutdown.set()
        async with asyncio.timeout(15):
            await self.running
        await self.workers.close()

    async def remaining(self):
        return await self.producers.fetchval("select count(*) from pgqueuer")

    async def close(self):
        await self.producers.close()


ADAPTER = Pgqueuer
