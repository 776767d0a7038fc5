"""How a scheduler is served as a process, and what is raised where it failed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from threading import current_thread, main_thread
from typing import Protocol, cast

import anyio
from anyio.abc import TaskStatus as Started

from taskmill.executors.tasklog import about
from taskmill.model.errors import ConfigurationError, InvalidState, SchedulerFailed, TaskmillError
from taskmill.model.policies import Shutdown, Stop
from taskmill.model.record import TaskRecord

log = logging.getLogger("taskmill")


class GaveUp(InvalidState):
    """A scheduler was stopped while it stood by, and so was never open."""


class Served(Protocol):
    """What there is to serve: one opening of a scheduler."""

    has_started: anyio.Event
    has_ended: anyio.Event

    async def serve(self) -> None:
        """Open, work until told to stop, and close; not cancelled from outside, only stopped."""
        ...

    def stop(self, mode: Shutdown) -> None:
        """Begin to shut down."""
        ...

    async def overdue(self) -> None:
        """Wait until a handler has not stopped in time and everything else is written."""
        ...

    def active_tasks(self) -> list[TaskRecord]:
        """The tasks whose handlers run now."""
        ...


@asynccontextmanager
async def serving(engine: Served, shutdown: Shutdown) -> AsyncGenerator[None]:
    """Have an engine open in the block, and shut it down at its end as ``shutdown`` says.

    Where an exception or a cancellation ends the block, it stops at once. Should the engine fail,
    the block is cancelled, and what failed is raised.
    """
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as engine_group:
            try:
                engine_group.start_soon(engine.serve)
                await engine.has_started.wait()
                if engine.has_ended.is_set():
                    raise GaveUp("the scheduler was stopped while it stood by")
                yield
                engine.stop(shutdown)
                await engine.has_ended.wait()  # a cancellation in here is a Stop
            except Exception as error:  # noqa: BLE001 - raised again, outside the group
                failure = error
                engine.stop(Stop())
            except BaseException:
                engine.stop(Stop())
                raise
    except BaseExceptionGroup as group:
        ended_by = cause_of(group)
        if failure is None:
            failure = ended_by
        else:
            log.error("the scheduler failed as well as what it served", exc_info=ended_by)
            failure.add_note(f"the scheduler failed as well: {ended_by!r}")
    if failure is not None:
        raise failure


async def serve(engine: Served) -> None:
    """Wait until the engine has ended."""
    async with anyio.create_task_group() as group:
        group.start_soon(_leave_overdue, engine)
        await engine.has_ended.wait()
        group.cancel_scope.cancel()


async def obey_signals(
    shutdown: Shutdown,
    stop: Callable[[Shutdown], None],
    *,
    task_status: Started[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """The first signal shuts down, a second one stops at once."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            log.info("%s: shutting down", signal.Signals(number).name)
            stop(shutdown)
            break
        async for number in signals:
            log.warning("%s again: stopping now", signal.Signals(number).name)
            stop(Stop())
            break
        await anyio.sleep_forever()


async def _leave_overdue(engine: Served) -> None:
    """End the process where a handler does not stop and everything else is written."""
    await engine.overdue()
    left = engine.active_tasks()
    for record in left:
        log.error(
            "leaving task %d (%s) behind: it does not stop",
            record.id,
            record.type,
            extra=about(record),
        )
    if left:
        logging.shutdown()
        sys.stdout.flush()
        os._exit(1)


def check_main_thread() -> None:
    """Raise InvalidState where no signals would be seen."""
    if current_thread() is not main_thread():
        raise InvalidState(
            "run() takes signals, which only the main thread gets; in this thread use "
            "`async with scheduler:`"
        )


def cause_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What to raise for what ended the engine: what our callers know, or SchedulerFailed."""
    error = _alone(group)
    if isinstance(error, TaskmillError) or not isinstance(error, Exception):
        return error
    failed = SchedulerFailed(
        f"the scheduler stopped, for it met an error it does not know: {error!r:.300}; "
        "what was accepted is in the store, and the next opening goes on with it"
    )
    failed.__cause__ = error
    return failed


def _alone(error: BaseException) -> BaseException:
    """The one error in nested groups, or the group that holds more than one."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    group = cast("BaseExceptionGroup[BaseException]", error)  # an isinstance check loses the type
    return _alone(group.exceptions[0]) if len(group.exceptions) == 1 else group


def check_loop() -> None:
    """Raise ConfigurationError where the event loop is not asyncio's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "a scheduler runs on asyncio; under trio there is no loop for it: "
            'use anyio.run(main, backend="asyncio")'
        ) from None
