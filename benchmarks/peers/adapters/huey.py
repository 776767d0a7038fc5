"""huey: a SQLite file, worker threads that poll."""

from __future__ import annotations

import asyncio
from pathlib import Path

from huey import SqliteHuey
from huey.consumer import Consumer

from benchmarks.peers.harness import Adapter

PAUSE = 0.01


class Beside(Consumer):
    """A consumer that leaves the signals of the process to others."""

    def _set_signal_handlers(self):
        pass


class Huey(Adapter):
    """Its submits and its tasks are synchronous: a task runs in one of the worker threads."""

    distribution = "huey"
    pause = PAUSE

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        # fsync=True is PRAGMA synchronous=FULL: a submit that returned outlives a power cut.
        # The journal is WAL by default.
        self.huey = SqliteHuey(
            "bench", filename=str(Path(assignment.folder) / "huey.db"), fsync=True
        )
        self.task = self.huey.task()(ran)
        self.consumer = None

    @property
    def settings(self):
        pragma = self.huey.storage.conn.execute
        [journal], [synchronous] = (
            pragma("pragma journal_mode").fetchone(),
            pragma("pragma synchronous").fetchone(),
        )
        slots = self.assignment.concurrency
        return f"journal {journal}, synchronous {synchronous}, {slots} threads that poll at 10 ms"

    async def open(self):
        pass

    async def submit(self, number):
        # called on the loop, as a program does: a thread would come on top
        self.task(number)

    async def start(self):
        # the default pause, 0.1 s that grow to 10 s, would be all that the latency shows
        self.consumer = Beside(
            self.huey,
            workers=self.assignment.concurrency,
            worker_type="thread",
            periodic=False,
            initial_delay=PAUSE,
            max_delay=PAUSE,
            backoff=1.0,
            check_worker_health=False,
        )
        self.consumer.start()

    async def stop(self):
        await asyncio.to_thread(self.consumer.stop, graceful=True)

    async def remaining(self):
        return self.huey.storage.queue_size()


ADAPTER = Huey
