"""How an open scheduler stands, from its memory alone: what runs, and what is ready to."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import attrs

from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.queue.lanes import LaneQueue
from taskmill.engine.registry import Registry
from taskmill.engine.runs.running import Running
from taskmill.model.metrics import UNREGISTERED, ExecutorStanding, Standing, TypeStanding
from taskmill.model.times import to_ms
from taskmill.rules.limits import Limits


@attrs.define
class _Counted:
    """The ready tasks of one type that are under a pause, or those that are not."""

    count: int = 0
    oldest_ms: int | None = None

    def add(self, queue: LaneQueue) -> None:
        for level in list(queue.levels.values()):
            self.count += level.count
            for ready_at_ms, _ in level.window[:1]:
                if self.oldest_ms is None or ready_at_ms < self.oldest_ms:
                    self.oldest_ms = ready_at_ms

    def age(self, now_ms: int) -> timedelta | None:
        """For how long the oldest has been ready."""
        if self.oldest_ms is None:
            return None
        return timedelta(milliseconds=max(now_ms - self.oldest_ms, 0))


@attrs.frozen(kw_only=True)
class Onlooker:
    """Looks at one open scheduler, from any thread: what may change meanwhile is copied first.

    A look takes time in proportion to the lanes in use: the types, times their groups.
    """

    registry: Registry
    limits: Limits
    dispatcher: Dispatcher
    running: Running
    clock: Clock

    def look(self) -> Standing:
        """How the scheduler stands now."""
        now_ms = to_ms(self.clock.now())
        running = Counter(self._name(record.type) for record in self.running.records())
        ready: dict[tuple[str, bool], _Counted] = {}
        for queue in list(self.dispatcher.queue.waiting()):
            kind = queue.lane.kind
            is_paused = self.limits.pauses.holds(kind.domain, queue.lane.group)
            ready.setdefault((self._name(kind.type), is_paused), _Counted()).add(queue)
        names = sorted({*self.registry.types(), *running, *(name for name, _ in ready)})
        return Standing(
            max_concurrency=self.limits.all.cap or 0,
            types=tuple(self._type(name, running[name], ready, now_ms) for name in names),
            executors=tuple(
                ExecutorStanding(name=name, running=slots.held, capacity=slots.cap)
                for name, slots in list(self.limits.executors.items())
                if name
            ),
        )

    def _type(
        self,
        name: str,
        running: int,
        ready: dict[tuple[str, bool], _Counted],
        now_ms: int,
    ) -> TypeStanding:
        known = self.registry.find(name)
        free, held = ready.get((name, False), _Counted()), ready.get((name, True), _Counted())
        return TypeStanding(
            domain=UNREGISTERED if known is None else known.domain,
            type=name,
            running=running,
            ready=free.count,
            paused=held.count,
            oldest_ready=free.age(now_ms),
            oldest_paused=held.age(now_ms),
        )

    def _name(self, task_type: str) -> str:
        return UNREGISTERED if self.registry.find(task_type) is None else task_type
