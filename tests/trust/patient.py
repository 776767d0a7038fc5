"""A service that goes on submitting, whatever becomes of its disk.

    python -m tests.trust.patient DATABASE LEDGER

Says of each submit whether it was accepted or refused, and why; ends at SIGTERM.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import anyio

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Drain,
    InvalidState,
    Scheduler,
    StoreError,
    Task,
    TaskId,
    UnknownTaskError,
)
from tests.trust.ledger import Ledger


class Patience(DomainKey, name="patience"): ...


class Job(Task[Patience, str], name="job"):
    """Takes a moment; what it carries fills a page or two."""

    name: str
    ballast: str = ""


@Job.handler
async def job(task: Job, ctx: Context[Patience]) -> str:
    with ctx.state(Ledger).attempt(ctx):
        await anyio.sleep(0.002)
    return task.name


def service(path: str, ledger: Ledger) -> Scheduler:
    """The scheduler of the service."""
    domain = Domain(Patience, handlers=[job], state=[ledger])
    return Scheduler(path, domains=[domain], shutdown=Drain(timedelta(seconds=20)))


async def main() -> None:
    ledger = Ledger(sys.argv[2])
    scheduler = service(sys.argv[1], ledger)
    async with anyio.create_task_group() as group:
        await group.start(scheduler.run)
        ledger.write("boot")
        number = 0
        while True:
            number += 1
            try:
                submitted = await scheduler.submit(Job(name=str(number), ballast="x" * 5000))
            except InvalidState:
                return
            except StoreError as error:
                print(f"refused {error}", flush=True)
                await anyio.sleep(0.02)
            else:
                ledger.write("accept", submitted.id)
                print(f"accepted {submitted.id}", flush=True)
            try:
                await scheduler.get(TaskId(max(1, number - 50)))
            except (StoreError, UnknownTaskError, InvalidState) as error:
                print(f"unread {error}", flush=True)


if __name__ == "__main__":
    anyio.run(main)
