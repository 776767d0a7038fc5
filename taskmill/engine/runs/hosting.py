"""Which executors are up: starts them, stops them, and follows what they say of themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import attrs

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.executors.base import Executor
from taskmill.rules.limits import Limits, Outage

log = logging.getLogger("taskmill.executors")


class Hosting:
    """The executors of one open scheduler."""

    def __init__(
        self,
        *,
        executors: Mapping[str, Executor],
        limits: Limits,
        dispatcher: Dispatcher,
        clock: Clock,
    ) -> None:
        self._executors = executors
        self._limits = limits
        self._dispatcher = dispatcher
        self._clock = clock
        self._started: list[str] = []

    async def start(self, home: Path | None) -> None:
        """Start them, one after the other; what one of them raises comes out."""
        for name, executor in self._executors.items():
            self._started.append(name)  # it may say at once that it is down
            try:
                await executor.start(_Host(name, home, self))
            except BaseException:
                self._started.remove(name)
                raise

    async def stop(self) -> None:
        """Stop those that were started; one that cannot is no reason to leave the others."""
        while self._started:
            name = self._started.pop()
            try:
                await self._executors[name].stop()
            except Exception:
                log.exception("executor %r could not be stopped", name)
            self._limits.set_outage(name, None)

    def down(self, name: str, reason: str) -> None:
        """Nothing can run on an executor for now."""
        known = self._limits.outages.get(name)
        if name not in self._started or (known is not None and known.reason == reason):
            return
        fallback = self._executors[name].fallback
        since = self._clock.now() if known is None else known.since
        outage = Outage(since=since, reason=reason, fallback=fallback)
        self._limits.set_outage(name, outage)
        self._dispatcher.reroute()
        what = "wait" if fallback is None else f"run on {fallback!r}"
        log.warning("executor %r is down, its tasks %s: %s", name, what, reason)

    def up(self, name: str) -> None:
        """An executor can run handlers again."""
        if name in self._limits.outages:
            self._limits.set_outage(name, None)
            self._dispatcher.reroute()
            log.warning("executor %r is up again", name)


@attrs.frozen
class _Host:
    """What one executor knows of the scheduler."""

    name: str
    home: Path | None
    _hosting: Hosting

    def down(self, reason: str) -> None:
        self._hosting.down(self.name, reason)

    def up(self) -> None:
        self._hosting.up(self.name)
