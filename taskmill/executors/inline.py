"""Handlers in the event loop: the place of `async def`."""

from __future__ import annotations

import attrs

from taskmill.executors.base import Work


@attrs.frozen
class InlineExecutor:
    """Awaits coroutine handlers where the scheduler runs."""

    capacity: int | None = None

    async def run(self, work: Work) -> object:
        """Await the handler."""
        result: object = await work.call(*work.arguments)
        return result
