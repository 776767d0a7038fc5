"""A service in a process of its own, for tests that send it real signals.

    python service.py PATH NAME...

Submits a job for each name, serves, and prints a line for whatever happens.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import anyio

from taskmill import Context, Domain, DomainKey, Drain, Scheduler, Task


class Service(DomainKey, name="service"): ...


class Job(
    Task[Service], name="job", stop_grace=timedelta(milliseconds=50), max_interruptions=1_000_000
):
    name: str


@Job.handler
async def job(task: Job, ctx: Context[Service]) -> None:
    print(f"start {task.name} {ctx.fence}", flush=True)
    try:
        if task.name.startswith("long"):
            await anyio.sleep_forever()
        if task.name.startswith("stubborn"):
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()
    finally:
        print(f"end {task.name}", flush=True)


async def main() -> None:
    scheduler = Scheduler(
        sys.argv[1],
        domains=[Domain(Service, handlers=[job])],
        shutdown=Drain(timedelta(milliseconds=100)),
    )

    async with anyio.create_task_group() as group:
        await group.start(scheduler.run)
        print("open", flush=True)
        for name in sys.argv[2:]:
            submitted = await scheduler.submit(Job(name=name))
            print(f"accepted {name} {submitted.id}", flush=True)
    print("closed", flush=True)


if __name__ == "__main__":
    anyio.run(main)
