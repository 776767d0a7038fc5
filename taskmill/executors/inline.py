"""Handlers in the event loop: the place of `async def`."""

from __future__ import annotations

from typing import Any

import attrs

from taskmill.define.task import Handler
from taskmill.executors.base import Host, Outcome, Work
from taskmill.model.errors import ConfigurationError


@attrs.frozen
class InlineExecutor:
    """Awaits coroutine handlers where the scheduler runs."""

    capacity: int | None = None

    @property
    def fallback(self) -> None:
        """It is never down."""
        return None

    def check(self, handler: Handler[Any]) -> None:
        """Refuse a plain function, which would block the event loop."""
        if not handler.is_async:
            raise ConfigurationError(
                f"the handler of {handler.task.task_type!r} is a plain function, which would "
                "block the event loop: run it on 'thread' or 'process', or make it async def"
            )

    async def start(self, host: Host) -> None:
        """Nothing is to be made ready."""

    async def run(self, work: Work) -> Outcome:
        """Await the handler."""
        outcome: Outcome = await work.call()
        return outcome

    async def stop(self) -> None:
        """Nothing is to be let go of."""
