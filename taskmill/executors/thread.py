"""Handlers in threads: the place of plain functions that block."""

from __future__ import annotations

import math

import anyio
import anyio.to_thread
import attrs

from taskmill.executors.base import Work
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

    async def run(self, work: Work) -> object:
        """Call the handler in a thread and wait for it, whatever happens."""
        with work.hold():
            result, error = await anyio.to_thread.run_sync(_call, work, limiter=self._limiter)
        if error is not None:
            raise error
        return result


def _call(work: Work) -> tuple[object, BaseException | None]:
    """What the handler returns or raises, as a value: a future does not carry every exception."""
    try:
        return work.call(*work.arguments), None
    except BaseException as error:  # noqa: BLE001 - raised again in the event loop
        return None, error
