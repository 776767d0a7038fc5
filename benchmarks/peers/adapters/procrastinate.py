"""procrastinate: PostgreSQL through psycopg, woken by LISTEN/NOTIFY."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from procrastinate import App, PsycopgConnector

from benchmarks.peers.harness import Adapter


class Procrastinate(Adapter):
    """One app, one pool; finished jobs stay in the table, as they do by default."""

    distribution = "procrastinate"
    has_bulk = True

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        # enough connections for all slots, and some for what is submitted meanwhile
        connector = PsycopgConnector(conninfo=assignment.url, min_size=4, max_size=20)
        self.app = App(connector=connector)

        @self.app.task(name="step", queue="bench")
        async def step(number: int):
            ran(number)

        self.task = step
        self.running = None

    @property
    def settings(self):
        return "psycopg pool of 20, listen_notify, finished jobs are kept"

    async def open(self):
        await self.app.open_async()
        await self.app.schema_manager.apply_schema_async()

    async def submit(self, number):
        await self.task.defer_async(number=number)

    async def submit_many(self, numbers):
        await self.task.batch_defer_async(*({"number": number} for number in numbers))

    async def start(self):
        running = self.app.run_worker_async(
            concurrency=self.assignment.concurrency, install_signal_handlers=False
        )
        self.running = asyncio.create_task(running)

    async def stop(self):
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def remaining(self):
        statement = "select count(*) as n from procrastinate_jobs where status <> 'succeeded'"
        [row] = await self.app.connector.execute_query_all_async(statement)
        return row["n"]

    async def close(self):
        await self.app.close_async()


ADAPTER = Procrastinate
