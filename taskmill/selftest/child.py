"""A scheduler in a process of its own, to be killed: it submits, or only holds its file.

What it does it says in lines on standard output. It ends when its standard input does, so that it
never outlives whoever started it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import anyio

from taskmill.model.policies import Stop
from taskmill.scheduler import Scheduler
from taskmill.selftest.jobs import Step, endless_steps, no_steps
from taskmill.selftest.ledger import Ledger

SUBMITTERS = 8
MOST = 400
"""How many tasks a process submits, should nobody kill it."""
_LONG = 25
"""Every so many tasks there is one that runs until the kill; fewer than slots, up to `MOST`."""


def main(role: str, database: str, *more: str) -> None:
    """Play a role until killed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if role == "submit":
        ledger, first = more
        anyio.run(submit, database, ledger, int(first))
    else:
        anyio.run(hold, database)


async def submit(database: str, ledger: str, first: int) -> None:
    """Dispatch, and say ``accepted ID NUMBER`` for each task that was accepted."""
    domain = endless_steps(Ledger(Path(ledger)))
    async with Scheduler(database, domains=[domain], max_concurrency=32, shutdown=Stop()) as opened:
        say("open")
        numbers = iter(range(first, first + MOST))
        async with anyio.create_task_group() as submitters:
            submitters.start_soon(_submit_batches, opened, numbers)
            for _ in range(SUBMITTERS - 1):
                submitters.start_soon(_submit, opened, numbers)
        await anyio.sleep_forever()


async def hold(database: str) -> None:
    """Dispatch, and do nothing."""
    async with Scheduler(database, domains=[no_steps()]):
        say("open")
        await anyio.sleep_forever()


async def _submit(scheduler: Scheduler, numbers: Iterator[int]) -> None:
    for number in numbers:
        submitted = await scheduler.submit(_task(number))
        say(f"accepted {submitted.id} {number}")


async def _submit_batches(scheduler: Scheduler, numbers: Iterator[int]) -> None:
    for number in numbers:
        batch = [number, *(n for n, _ in zip(numbers, range(4), strict=False))]
        for submitted, n in zip(await scheduler.submit_many(map(_task, batch)), batch, strict=True):
            say(f"accepted {submitted.id} {n}")


def _task(number: int) -> Step:
    return Step(number=number, is_long=number % _LONG == 0)


def say(line: str) -> None:
    """Print a line at once, whole or not at all."""
    os.write(1, f"{line}\n".encode())


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin, whose lock an exit would wait for
    os._exit(1)
