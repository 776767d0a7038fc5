"""Processes that share a file, for tests that start, signal and kill them.

    python -m tests.client.service ROLE PATH FOLDER [FIRST LAST]

``dispatch`` and ``standby`` serve; ``web`` submits the jobs FIRST to LAST and prints each that was
accepted. A run of a job is on record in FOLDER while it runs, and in its ledger when it has ended.
"""

from __future__ import annotations

import logging
import os
import sys
from datetime import timedelta
from pathlib import Path

import anyio

from taskmill import Context, Domain, DomainHandle, DomainKey, Drain, Scheduler, Task


class Shop(DomainKey, name="shop"): ...


class Job(Task[Shop], name="job", max_interruptions=1_000_000):
    number: int
    seconds: float = 0.002

    def task_key(self) -> str:
        return str(self.number)


class Overlap(Exception):
    """Two runs of one task at once."""


@Job.handler
async def job(task: Job, ctx: Context[Shop]) -> None:
    folder = ctx.state(Path)
    mark = folder / f"running-{task.number}"
    _enter(mark)
    try:
        _note(folder, f"start {task.number} {ctx.id} {ctx.fence}")
        await anyio.sleep(task.seconds)
        _note(folder, f"end {task.number} {ctx.id} {ctx.fence}")
    finally:
        mark.unlink()


def _enter(mark: Path) -> None:
    """Note that this process runs the job; one that still does elsewhere is an overlap."""
    if mark.exists():
        pid = int(mark.read_text() or "0")
        if pid == os.getpid() or (pid and Path(f"/proc/{pid}").exists()):
            raise Overlap(f"process {pid} runs it as well")
    mark.write_text(str(os.getpid()))


def _note(folder: Path, line: str) -> None:
    with (folder / "ledger").open("a") as ledger:
        ledger.write(f"{line}\n")


def scheduler(role: str, path: str, folder: Path) -> Scheduler:
    shop = Domain(Shop, handlers=[job], state=[folder], on_start=say_open)
    if role == "web":
        return Scheduler(path, domains=[Domain(Shop, tasks=[Job])], dispatch=False)
    return Scheduler(
        path,
        domains=[shop],
        standby=role == "standby",
        shutdown=Drain(timedelta(milliseconds=200)),
    )


async def say_open(_: DomainHandle[Shop]) -> None:
    print("open", flush=True)


async def submit(opened: Scheduler, first: int, last: int) -> None:
    async with opened:
        print("open", flush=True)
        async with anyio.create_task_group() as group:
            for start in range(first, last, 20):
                group.start_soon(_submit, opened, range(start, min(start + 20, last)))
    print("closed", flush=True)


async def _submit(opened: Scheduler, numbers: range) -> None:
    for number in numbers:
        await opened.submit(Job(number=number))
        print(f"accepted {number}", flush=True)


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    role, path, folder, *numbers = sys.argv[1:]
    opened = scheduler(role, path, Path(folder))
    if role == "web":
        first, last = map(int, numbers)
        anyio.run(submit, opened, first, last)
    else:
        anyio.run(opened.run)
        print("closed", flush=True)


if __name__ == "__main__":
    main()
