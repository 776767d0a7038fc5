"""A service in a process of its own, for tests that send it, and its workers, real signals.

    python -m tests.executors.service PATH ACT...

Submits a task for each act, serves, and prints what its tasks say first, and how it ends.
"""

from __future__ import annotations

import logging
import sys
from datetime import timedelta

import anyio

from taskmill import Drain, Event, EventStream, ProcessExecutor, Progress
from tests.executors.app import SOON, Do, new_scheduler


async def tell(events: EventStream[Event]) -> None:
    async for event in events:
        if isinstance(event, Progress):
            print("task", event.header.id, event.message, flush=True)


async def main() -> None:
    pool = ProcessExecutor(4, kill_after=SOON)
    drain = Drain(timedelta(milliseconds=200))
    scheduler = new_scheduler(sys.argv[1], pool, shutdown=drain)
    async with anyio.create_task_group() as group:
        await group.start(scheduler.run)
        async with scheduler.events() as events:
            for what in sys.argv[2:]:
                await scheduler.submit(Do(what=what))
            await tell(events)
    print("closed", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    anyio.run(main)
