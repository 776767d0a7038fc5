"""How requests are carried out where another process dispatches, or none does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, cast

import anyio

from taskmill.client.line import Line, NobodyThere
from taskmill.define.task import Task
from taskmill.engine.clock import Clock
from taskmill.engine.writer import Receive, Writer
from taskmill.model.changes import Change, Request
from taskmill.model.effects import Effect, Requested
from taskmill.model.errors import StoreError
from taskmill.model.pauses import PauseRecord
from taskmill.rules.limits import Limits
from taskmill.store.base import Store

_FIRST_PAUSE = 0.01


class Requests:
    """What the writer of this process writes: submits, and requests in the inbox."""

    def __init__(self, *, store: Store, limits: Limits, clock: Clock) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._pauses: tuple[PauseRecord, ...] = ()

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        """Write ``changes``, in one transaction; durable on return."""
        requests = cast("Sequence[Request]", changes)  # nothing else is sent here
        asked = await self._store.request(requests, now=self._clock.now())
        self.hold(asked.pauses)
        return list(asked.effects)

    def hold(self, pauses: tuple[PauseRecord, ...]) -> None:
        """Remember what is paused."""
        if pauses != self._pauses:
            self._pauses = pauses
            self._limits.pauses.load(pauses)

    def propose(self, batch: list[tuple[Change, Receive]]) -> Iterable[tuple[Change, Receive]]:  # noqa: ARG002 - a port
        """Nothing is to be written but what is asked for."""
        return ()

    def is_news(self, change: Change) -> bool:  # noqa: ARG002 - as above
        """Nothing that is asked for lets anything start here."""
        return False


class Remote:
    """Leaves requests in the file and waits for their answers."""

    def __init__(
        self,
        *,
        store: Store,
        writer: Writer,
        requests: Requests,
        line: Line,
        clock: Clock,
        poll_interval: timedelta,
    ) -> None:
        self._store = store
        self._writer = writer
        self._requests = requests
        self._line = line
        self._clock = clock
        self._longest_pause = poll_interval.total_seconds()

    async def apply(self, request: Request, tasks: Sequence[Task[Any, Any]] = ()) -> Effect:  # noqa: ARG002 - only the dispatcher needs them
        """Carry out ``request`` and return its effect; StoreError if the store could not."""
        effect = await self._writer.apply(request, _nothing)
        if not isinstance(effect, Requested):
            self._line.hint()
            return effect
        answer = await self._answer(effect.id)
        if isinstance(answer, StoreError):
            raise answer
        if isinstance(answer, PauseRecord):
            with self._clock.hold():
                self._requests.hold(await self._store.pauses())
        return answer

    async def _answer(self, request: int) -> Effect | StoreError:
        """Wait for the dispatcher to answer; where there is none, answer in its place."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._line.ask("look")
            except NobodyThere:
                with self._clock.hold():
                    await self._store.stand_in(now=self._clock.now())
            with self._clock.hold():
                answer = await self._store.answer(request)
            if answer is not None:
                return answer.effect
            await anyio.sleep(pause)
            pause = min(2 * pause, self._longest_pause)


def _nothing(_: Effect) -> None:
    """What follows in memory follows where the dispatcher is."""
