"""APScheduler 4: SQLite or PostgreSQL through SQLAlchemy; the variant says which."""

from __future__ import annotations

from pathlib import Path

from apscheduler import AsyncScheduler
from apscheduler.datastores.sqlalchemy import SQLAlchemyDataStore
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.peers.adapters.sqlite_file import write_ahead
from benchmarks.peers.harness import Adapter

RAN = []
"""What a run is told to; a job has to be a function of a module."""


async def step(number):
    """Do nothing but be counted."""
    [ran] = RAN
    ran(number)


class Apscheduler(Adapter):
    """One scheduler: until it is started in the background, it only takes jobs."""

    distribution = "apscheduler"

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        RAN.append(ran)
        self.found = "asyncpg, pool of 20"
        # all slots are served; the default is 5 and 10 more
        options = {"pool_size": 20}
        if assignment.variant == "sqlite":
            path = Path(assignment.folder) / "aps.db"
            self.found = write_ahead(path)
            url = f"sqlite+aiosqlite:///{path}"
            # the seconds that a connection waits for the others: 5 are too few on a busy machine
            options = {"connect_args": {"timeout": 30}}
        else:
            url = assignment.url.replace("postgresql://", "postgresql+asyncpg://")
        self.engine = create_async_engine(url, **options)
        self.scheduler = None

    @property
    def settings(self):
        return f"{self.found}, max_running_jobs={self.assignment.concurrency}"

    async def open(self):
        slots = self.assignment.concurrency
        store = SQLAlchemyDataStore(self.engine)
        self.scheduler = AsyncScheduler(store, max_concurrent_jobs=slots)
        await self.scheduler.__aenter__()
        # by default no two jobs of one task run at once
        await self.scheduler.configure_task("step", func=step, max_running_jobs=slots)

    async def submit(self, number):
        await self.scheduler.add_job("step", args=(number,))

    async def start(self):
        await self.scheduler.start_in_background()

    async def stop(self):
        await self.scheduler.stop()
        await self.scheduler.wait_until_stopped()

    async def remaining(self):
        async with self.engine.connect() as connection:
            return (await connection.execute(text("select count(*) from jobs"))).scalar()

    async def close(self):
        await self.scheduler.__aexit__(None, None, None)
        await self.engine.dispose()


ADAPTER = Apscheduler
