"""Whether handlers that stall are dealt with: in the event loop, and in a worker process."""

from __future__ import annotations

import os
from datetime import timedelta
from time import sleep

import anyio

from taskmill.define.context import Context
from taskmill.define.domain import Domain
from taskmill.define.task import Task
from taskmill.executors.process import ProcessExecutor
from taskmill.model.events import Completed, LoopBlocked
from taskmill.model.policies import Stop
from taskmill.model.status import TaskStatus
from taskmill.model.wording import length
from taskmill.scheduler import Scheduler
from taskmill.selftest.jobs import Selftest
from taskmill.selftest.place import Place
from taskmill.selftest.values import Absent, Broken, Shown

LIMIT = timedelta(milliseconds=100)
_BLOCKED = 0.6
_TIMEOUT = timedelta(milliseconds=500)
_WORKER = "worker"
LONGEST = 600.0
"""Seconds after which what is stuck ends by itself."""

PATIENCE = 10.0
"""Seconds in which what is to be said has been said."""


class Block(Task[Selftest], name="block"):
    """Sleeps as an event loop must not."""


class Stick(Task[Selftest, int], name="stick", executor=_WORKER, max_retries=0, timeout=_TIMEOUT):
    """Says in which process it ran, after so many seconds without looking right or left."""

    seconds: float


@Block.handler
async def block(task: Block, ctx: Context[Selftest]) -> None:  # noqa: ARG001 - as handlers are called
    """Hold the event loop up."""
    sleep(_BLOCKED)  # noqa: ASYNC251 - that is what is to be noticed


@Stick.handler
def stick(task: Stick, ctx: Context[Selftest]) -> int:  # noqa: ARG001 - as above
    """Sleep, and be deaf."""
    sleep(task.seconds)
    return os.getpid()


async def blocking_is_named(place: Place) -> Shown:
    """Block the event loop in a handler, and wait for the event that says which it was."""
    path = place.folder / "blocked.db"
    domain = Domain(Selftest, handlers=[block])
    blocked: list[LoopBlocked] = []
    scheduler = Scheduler(path, domains=[domain], loop_limit=LIMIT, shutdown=Stop())
    async with scheduler, scheduler.events() as events:
        await scheduler.submit(Block())
        with anyio.move_on_after(PATIENCE):
            has_ended = False
            async for event in events:
                has_ended = has_ended or isinstance(event, Completed)
                if isinstance(event, LoopBlocked):
                    blocked.append(event)
                if has_ended and blocked:
                    break
    named = next((each for each in blocked if each.header is not None), None)
    if named is None or named.header is None:
        raise Broken(f"the event loop stood still for {length(_BLOCKED)}, and no task was named")
    if named.header.type != Block.task_type or "sleep(_BLOCKED)" not in named.stack:
        raise Broken(f"{named.header.type} was named, with this place: {named.stack!r:.200}")
    return Shown(
        figure=f"{named.header.type} was named with its line, after "
        f"{length(named.duration.total_seconds())} at a limit of "
        f"{length(LIMIT.total_seconds())}"
    )


async def stuck_worker_is_killed(place: Place) -> Shown:
    """Let a handler in a worker process overrun its timeout, and use the executor again."""
    executor = ProcessExecutor(1, kill_after=timedelta(milliseconds=200))
    path = place.folder / "stuck.db"
    domain = Domain(Selftest, handlers=[stick])
    async with Scheduler(
        path, domains=[domain], executors={_WORKER: executor}, shutdown=Stop()
    ) as scheduler:
        first = await _first_process(scheduler)
        stuck = await scheduler.submit(Stick(seconds=LONGEST))
        try:
            record = await scheduler.wait(stuck.id, timeout=timedelta(seconds=PATIENCE))
        except TimeoutError:
            raise Broken("a worker process was stuck, and nobody killed it") from None
        if record.status is TaskStatus.COMPLETED or first in executor.pids():
            raise Broken(f"the stuck task ended as {record.status.value}, and its process lives")
        second = await scheduler.result(await scheduler.submit(Stick(seconds=0), key="again"))
    if record.last_error is None or "Timeout" not in str(record.last_error):
        raise Broken(f"the stuck task does not say that its time was over: {record.reason}")
    return Shown(
        figure=f"worker process {first} was killed and its task failed; the next task ran in "
        f"process {second}"
    )


async def _first_process(scheduler: Scheduler) -> int:
    """In which process a first task ran; `Absent` where none can be started here."""
    submitted = await scheduler.submit(Stick(seconds=0))
    try:
        return await scheduler.result(submitted, timeout=timedelta(seconds=20))
    except TimeoutError:
        down = (await scheduler.snapshot()).executors[_WORKER].down
        if down is not None:
            raise Absent(down) from None
        raise Broken("a task for a worker process did not run in 20 s") from None
