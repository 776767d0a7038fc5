"""What people can hold and let go again while it runs: the scheduler, domains and groups."""

from __future__ import annotations

from datetime import datetime

from taskmill.engine.clock import Clock
from taskmill.engine.requests.applying import Applying
from taskmill.model.changes import Pause, Resume
from taskmill.model.errors import ConfigurationError
from taskmill.model.pauses import PauseScope
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.limits import Limits


class Steering:
    """The pauses of one open scheduler; they are durable."""

    def __init__(self, *, limits: Limits, applying: Applying, clock: Clock) -> None:
        self._limits = limits
        self._applying = applying
        self._clock = clock

    async def pause(
        self, scope: PauseScope, name: str, *, interrupt: bool, until: datetime | None = None
    ) -> None:
        """Hold a scope; returns once that is durable. What runs is told to stop."""
        if until is not None and until.tzinfo is None:
            raise ConfigurationError(
                f"until={until!r} has no time zone; use an aware datetime such as "
                "datetime.now(timezone.utc)"
            )
        pause = Pause(
            scope=scope,
            name=name,
            now_ms=to_ms(self._clock.now()),
            until_ms=None if until is None else to_ms(until),
            interrupt=interrupt,
        )
        await self._applying.apply(pause)

    async def resume(self, scope: PauseScope, name: str) -> None:
        """Hold a scope no longer; one that is not held stays as it is."""
        resume = Resume(scope=scope, name=name, now_ms=to_ms(self._clock.now()))
        await self._applying.apply(resume)

    def paused_groups(self) -> dict[str, datetime | None]:
        """The groups that are paused, and when they resume by themselves."""
        return {
            record.name: from_ms(record.until_ms)
            for record in self._limits.pauses.held()
            if record.scope is PauseScope.GROUP
        }

    def is_paused(self, scope: PauseScope, name: str) -> bool:
        """Whether a scope itself is paused."""
        return self._limits.pauses.is_held(scope, name)
