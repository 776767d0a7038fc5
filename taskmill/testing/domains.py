"""How to test a domain: run it in memory, wait for what is left, look at what was submitted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from typing_extensions import TypeVar

from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task
from taskmill.handle import DomainHandle
from taskmill.model.record import TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.scheduler import Scheduler
from taskmill.testing.time import virtual_time

D = TypeVar("D", bound=DomainKey)


@asynccontextmanager
async def scheduler_in_memory(*domains: Domain[Any], **options: Any) -> AsyncGenerator[Scheduler]:
    """An open scheduler on a memory store, in virtual time; ``options`` are the scheduler's.

    Its ``loop_limit``, which goes by real time, is None unless given.
    """
    options.setdefault("loop_limit", None)
    async with (
        virtual_time() as clock,
        Scheduler(":memory:", domains=domains, clock=clock, **options) as scheduler,
    ):
        yield scheduler


async def run(domain: Domain[Any], *tasks: Task[Any, Any], **options: Any) -> list[TaskRecord]:
    """Run tasks of one domain on a memory store, in virtual time, until they have ended.

    Returns their records, in order; also where they failed. ``options`` are the scheduler's.
    """
    async with scheduler_in_memory(domain, **options) as scheduler:
        submitted = await scheduler.submit_many(tasks)
        return [await scheduler.wait(each.id) for each in submitted]


async def drain(scheduler: Scheduler) -> None:
    """Wait until nothing is left that can still run, also of what is due later.

    What a pause holds, what a failed dependency holds and what has no handler is left. In
    `virtual_time` this takes no time.
    """
    while True:
        await scheduler.idle()
        seen = await scheduler.snapshot()
        waiting = [record for record in await _pending(scheduler) if record.due_at is not None]
        due = min((record.due_at for record in waiting if record.due_at), default=None)
        if due is None:
            return
        await anyio.sleep(max((due - seen.at).total_seconds(), 0) + 0.001)


async def _pending(scheduler: Scheduler) -> list[TaskRecord]:
    found: list[TaskRecord] = []
    after = None
    while True:
        page = await scheduler.tasks(status=TaskStatus.PENDING, limit=10_000, after=after)
        found += page
        after = page.next
        if after is None:
            return found


async def assert_submitted(
    handle: DomainHandle[D], task: type[Task[D, Any]], *, times: int | None = None, **fields: object
) -> list[TaskRecord]:
    """Assert that tasks of a type were submitted, with these fields, and return their records.

    ``times`` is how many exactly; at least one without it. Tasks in any state count.
    """
    codec = handle.codec(task)
    found = [
        record async for record in _all(handle, task) if _has(codec.decode(record.payload), fields)
    ]
    wanted = f"{task.__name__}({', '.join(f'{k}={v!r}' for k, v in fields.items())})"
    if times is None and not found:
        raise AssertionError(f"no {wanted} was submitted to {handle!r}")
    if times is not None and len(found) != times:
        raise AssertionError(
            f"{wanted} was submitted {len(found)} times to {handle!r}, not {times}"
        )
    return found


async def _all(handle: DomainHandle[D], task: type[Task[D, Any]]) -> AsyncGenerator[TaskRecord]:
    after = None
    while True:
        page = await handle.tasks(types=[task], status=list(TaskStatus), limit=1000, after=after)
        for record in page:
            yield record
        after = page.next
        if after is None:
            return


def _has(payload: object, fields: dict[str, object]) -> bool:
    return all(getattr(payload, name) == value for name, value in fields.items())
