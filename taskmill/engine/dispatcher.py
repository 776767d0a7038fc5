"""What starts, and when the next thing can: feeds `rules.plan` and carries out what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial

import anyio

from taskmill.engine.clock import Alarm, Clock
from taskmill.engine.ready import ReadyQueue
from taskmill.engine.writer import Receive
from taskmill.model.changes import (
    Change,
    Claim,
    Effect,
    Opening,
    Promote,
    Promoted,
    Ready,
    Refill,
    Refilled,
)
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.gates import Lane, Limits, Tally
from taskmill.rules.plan import plan

PROMOTE = 1000
"""How many due tasks are made ready in one batch."""


class Dispatcher:
    """The ready queue, the slots in use, and the time when the next waiting task is due.

    ``start`` gets each claimed task after its claim has committed. A slot is taken when the
    claim is proposed and held until `release`.
    """

    def __init__(
        self,
        *,
        queue: ReadyQueue,
        limits: Limits,
        clock: Clock,
        start: Callable[[TaskRecord, Lane], None],
        wake: Callable[[], None],
        is_handled: Callable[[str], bool],
    ) -> None:
        self._queue = queue
        self._limits = limits
        self._clock = clock
        self._start = start
        self._wake = wake
        self._is_handled = is_handled
        self._tally = Tally()
        self._claiming: dict[TaskId, Ready] = {}
        self._retries = 0
        self._next_due: datetime | None = None
        self._is_promoting = False
        self._is_stopped = False
        self._emptied = anyio.Event()
        self.alarm = Alarm(ring=wake, clock=clock)

    def load(self, opening: Opening) -> None:
        """Start from what the store held when it was opened."""
        self._queue.load(opening.levels)
        self._retries = self._handled(opening.retries)
        self._due_is(opening.next_due_ms)

    # --- what the store said ---

    def add(self, ready: Ready) -> None:
        """A task became ready."""
        if ready.id in self._claiming:
            self._claiming[ready.id] = ready
        else:
            self._queue.add(ready)

    def remove(self, ready: Ready) -> None:
        """A ready task was cancelled or changed; one whose claim is on its way has left already."""
        if ready.id not in self._claiming:
            self._queue.remove(ready)

    def due(self, at_ms: int, *, retry: bool = False) -> None:
        """A task waits in the store until ``at_ms``."""
        self._retries += retry
        at = from_ms(at_ms)
        if self._next_due is None or at < self._next_due:
            self._next_due = at
            self.alarm.set(at)

    def no_longer_due(self, *, retry: bool) -> None:
        """A task that waited for its time was cancelled."""
        self._retries -= retry

    def release(self, lane: Lane) -> None:
        """A handler has stopped: its slot is free."""
        self._tally.remove(lane)
        for gate in lane.gates:
            self._queue.wake(gate)
        if self._tally.total == 0:
            self._emptied.set()
        self._wake()

    # --- what is to be written ---

    def propose(self) -> Iterator[tuple[Change, Receive]]:
        """The claims that fill the free slots, and the reads that keep the queue filled."""
        if self._is_stopped:
            return
        now = self._clock.now()
        now_ms = to_ms(now)
        for lane, ready in plan(self._queue, self._tally, self._limits):
            self._claiming[ready.id] = ready
            yield Claim(ready.id, now_ms), partial(self._claimed, lane, ready.id)
        for refill in self._queue.refills():
            yield refill, partial(self._refilled, refill)
        if self._next_due is not None and self._next_due <= now and not self._is_promoting:
            self._is_promoting = True
            yield Promote(now_ms=now_ms, limit=PROMOTE), self._promoted
        elif self._next_due is not None and not self._is_promoting:
            self.alarm.set(self._next_due)  # it rang, and the clock has stepped back since

    def _claimed(self, lane: Lane, task: TaskId, effect: Effect | StoreError) -> None:
        ready = self._claiming.pop(task)
        if isinstance(effect, TaskRecord):
            self._start(effect, lane)
            return
        if isinstance(effect, StoreError):
            self._queue.add(ready)
        self.release(lane)

    def _refilled(self, refill: Refill, effect: Effect | StoreError) -> None:
        if isinstance(effect, Refilled):
            self._queue.refilled(refill, effect.positions)
        else:
            self._queue.not_refilled(refill)
        self._wake()

    def _promoted(self, effect: Effect | StoreError) -> None:
        self._is_promoting = False
        if isinstance(effect, Promoted):
            for ready in effect.ready:
                self._queue.add(ready)
            self._retries -= self._handled(effect.retries)
            self._due_is(effect.next_due_ms)
        self._wake()

    def _handled(self, retries: Mapping[str, int]) -> int:
        """How many of the tasks in backoff have a handler here."""
        return sum(count for kind, count in retries.items() if self._is_handled(kind))

    def _due_is(self, at_ms: int | None) -> None:
        self._next_due = from_ms(at_ms)
        self.alarm.set(self._next_due)

    # --- idleness, the end ---

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs, could start, or waits for its next attempt."""
        return not (self._tally.total or self._queue.startable or self._retries)

    def stop(self) -> None:
        """Start nothing further."""
        self._is_stopped = True

    async def emptied(self) -> None:
        """Wait until no slot is in use."""
        while self._tally.total:
            self._emptied = anyio.Event()
            await self._emptied.wait()
