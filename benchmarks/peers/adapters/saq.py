"""SAQ: PostgreSQL or Redis; the variant says which."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from saq import Queue, Worker

from benchmarks.peers.harness import Adapter


class Saq(Adapter):
    """One queue, which is also the worker's."""

    distribution = "saq"

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        # up to 20 connections or operations at once on either store: all slots are served
        pool = {"min_size": 4, "max_size": 20} if assignment.variant == "postgres" else {}
        self.queue = Queue.from_url(assignment.url, name="bench", **pool)
        self.worker = self.running = None

    @property
    def settings(self):
        if self.assignment.variant == "postgres":
            return "psycopg pool of 20, woken by LISTEN/NOTIFY"
        return "redis with hiredis, woken by a blocking read"

    async def open(self):
        await self.queue.connect()

    async def submit(self, number):
        await self.queue.enqueue("step", number=number)

    async def leave(self):
        # A worker sweeps as it starts, and takes jobs that another of its coroutines has just
        # taken for stuck ones: some would run twice. It leaves that to whoever did it within the
        # last minute, which would be a worker that is up; here it is the producer.
        await self.queue.sweep()

    async def start(self):
        async def step(_, *, number):
            self.ran(number)

        self.worker = Worker(
            self.queue,
            functions=[("step", step)],
            concurrency=self.assignment.concurrency,
            shutdown_grace_period_s=5,  # so that stopping lets it write what it has done
        )
        self.worker.SIGNALS = []  # the signals of the process are not its own here
        self.running = asyncio.create_task(self.worker.start())

    async def stop(self):
        await self.worker.stop()
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def remaining(self):
        return await self.queue.count("incomplete")

    async def close(self):
        await self.queue.disconnect()


ADAPTER = Saq
