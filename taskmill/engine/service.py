"""How a scheduler is served as a process, and what is raised where it failed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from threading import current_thread, main_thread
from typing import cast

import anyio

from taskmill.engine.engine import Engine
from taskmill.executors.tasklog import about
from taskmill.model.errors import ConfigurationError, InvalidState, SchedulerFailed, TaskmillError
from taskmill.model.policies import Shutdown, Stop

log = logging.getLogger("taskmill")


async def serve(engine: Engine, shutdown: Shutdown) -> None:
    """Wait until the engine has ended; the first signal shuts it down, a second one stops it."""
    async with anyio.create_task_group() as group:
        group.start_soon(_obey_signals, engine, shutdown)
        group.start_soon(_leave_overdue, engine)
        await engine.has_ended.wait()
        group.cancel_scope.cancel()


async def _obey_signals(engine: Engine, shutdown: Shutdown) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            log.info("%s: shutting down", signal.Signals(number).name)
            engine.stop(shutdown)
            break
        async for number in signals:
            log.warning("%s again: stopping now", signal.Signals(number).name)
            engine.stop(Stop())
            break
        await anyio.sleep_forever()


async def _leave_overdue(engine: Engine) -> None:
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
