"""Handlers in threads: the place of plain functions that block."""

from __future__ import annotations

import math
from typing import Any

import anyio
import anyio.to_thread
import attrs

from taskmill.define.task import Handler
from taskmill.executors.base import Host, Outcome, Work
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_cap


def _unlimited() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(math.inf)


@attrs.frozen
class ThreadExecutor:
    """Calls plain functions in worker threads, up to ``capacity`` at once.

    A thread cannot be cancelled: a stopped handler sees it in `Context.cancelled` or
    `Context.check`, and keeps its slot until it returns.
    """

    capacity: int | None = None
    _limiter: anyio.CapacityLimiter = attrs.field(
        factory=_unlimited, init=False, eq=False, repr=False
    )

    def __attrs_post_init__(self) -> None:
        check_cap(self.capacity, "a thread executor's capacity")

    @property
    def fallback(self) -> None:
        """It is never down."""
        return None

    def check(self, handler: Handler[Any]) -> None:
        """Refuse a coroutine function: it belongs to the event loop."""
        if handler.is_async:
            raise ConfigurationError(
                f"the handler of {handler.task.task_type!r} is async def, which runs in the event "
                "loop: run it on 'inline', or make it a plain function"
            )

    async def start(self, host: Host) -> None:
        """Threads are started as they are needed."""

    async def run(self, work: Work) -> Outcome:
        """Call the handler in a thread and wait for it, whatever happens."""
        with work.hold():
            made = await anyio.to_thread.run_sync(_call, work, limiter=self._limiter)
        if isinstance(made, BaseException):
            raise made
        return made

    async def stop(self) -> None:
        """Idle threads end by themselves."""


def _call(work: Work) -> Outcome | BaseException:
    """What comes of the handler, as a value: a future does not carry every exception."""
    try:
        outcome: Outcome = work.call()
    except BaseException as error:  # noqa: BLE001 - raised again in the event loop
        return error
    return outcome
