"""dramatiq: Redis, worker threads."""

from __future__ import annotations

import asyncio

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.harness import Adapter


class Dramatiq(Adapter):
    """Its submits are synchronous, and so are actors unless they are told otherwise."""

    distribution = "dramatiq"

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        self.broker = RedisBroker(url=assignment.url)
        dramatiq.set_broker(self.broker)
        self.actor = dramatiq.actor(ran, actor_name="step", broker=self.broker)
        self.worker = None

    @property
    def settings(self):
        return f"{self.assignment.concurrency} threads, two messages prefetched for each"

    async def open(self):
        pass

    async def submit(self, number):
        # called on the loop, as a program does: a thread would come on top
        self.actor.send(number)

    async def start(self):
        slots = self.assignment.concurrency
        self.worker = dramatiq.Worker(self.broker, worker_threads=slots)
        self.worker.start()

    async def stop(self):
        await asyncio.to_thread(self.worker.stop)

    async def remaining(self):
        # a message is in the hash until it is acknowledged
        return self.broker.client.hlen("dramatiq:default.msgs")


ADAPTER = Dramatiq
