"""DBOS: durable workflows from a queue, in SQLite or PostgreSQL; the variant says which."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import sqlalchemy
from dbos import DBOS

from benchmarks.peers.adapters.sqlite_file import write_ahead
from benchmarks.peers.harness import Adapter

PAUSE = 0.01
QUEUE = "bench"


class Dbos(Adapter):
    """It is launched twice: without listening, to submit, and then as a worker.

    A task is a workflow without steps, the least that it writes for one.
    """

    distribution = "dbos"
    pause = PAUSE

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        self.found = "psycopg"
        if assignment.variant == "sqlite":
            path = Path(assignment.folder) / "dbos.db"
            self.found = write_ahead(path)
            self.url, self.table = f"sqlite:///{path}", "workflow_status"
        else:
            self.url = assignment.url.replace("postgresql://", "postgresql+psycopg://")
            self.table = "dbos.workflow_status"
        self.task = None
        self.threads = ThreadPoolExecutor(1)  # DBOS closes the event loop's own with itself

    @property
    def settings(self):
        slots = self.assignment.concurrency
        return f"{self.found}, worker_concurrency={slots}, the queue is polled at 10 ms"

    async def open(self):
        await self._outside(self._launch, [])

    async def _outside(self, call, *arguments):
        return await asyncio.get_running_loop().run_in_executor(self.threads, call, *arguments)

    def _launch(self, queues):
        DBOS(
            config={
                "name": "bench",
                "system_database_url": self.url,
                "log_level": "ERROR",
                "application_version": "1",
                "executor_id": "bench",
            }
        )

        @DBOS.workflow(name="step")
        async def step(number: int) -> None:
            self.ran(number)

        self.task = step
        DBOS.listen_queues(queues)
        DBOS.launch()
        # at the default interval of a second, that is what would be measured
        DBOS.register_queue(
            QUEUE,
            worker_concurrency=self.assignment.concurrency,
            polling_interval_sec=PAUSE,
            on_conflict="always_update",
        )

    async def submit(self, number):
        await DBOS.enqueue_workflow_async(QUEUE, self.task, number)

    async def leave(self):
        await self._outside(DBOS.destroy)

    async def start(self):
        await self._outside(self._launch, [QUEUE])

    async def stop(self):
        await self._outside(DBOS.destroy)

    async def remaining(self):
        return await self._outside(self._count)

    def _count(self):
        statement = f"select count(*) from {self.table} where status <> 'SUCCESS'"  # noqa: S608 - one of two names
        engine = sqlalchemy.create_engine(self.url)
        with engine.connect() as connection:
            return connection.execute(sqlalchemy.text(statement)).scalar()


ADAPTER = Dbos
