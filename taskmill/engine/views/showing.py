"""How tasks are shown to people: what is stored of them, and what is only in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs

from taskmill.engine.clock import Clock
from taskmill.engine.runs.running import Running
from taskmill.engine.views.explainer import Explainer
from taskmill.model.explanation import Explanation
from taskmill.model.record import TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.rules.explain import effective_priority
from taskmill.rules.limits import Limits


class Showing(Protocol):
    """What queries need of the opening they belong to."""

    def reported(self, record: TaskRecord) -> TaskRecord:
        """A record as people see it."""
        ...

    async def explain(self, record: TaskRecord, others: Sequence[TaskRecord]) -> Explanation:
        """Why a task is not running now, or what happened to it.

        ``others`` have to end before it goes on.
        """
        ...

    def active(self) -> list[TaskRecord]:
        """The tasks whose handlers run now in this process."""
        ...


class Live:
    """Shows tasks as the dispatcher knows them."""

    def __init__(
        self, *, limits: Limits, explainer: Explainer, running: Running, clock: Clock
    ) -> None:
        self._limits = limits
        self._explainer = explainer
        self._running = running
        self._clock = clock

    def reported(self, record: TaskRecord) -> TaskRecord:
        """A record as people see it: a running task is as far as its handler says."""
        attempt = self._running.find(record.id)
        if attempt is None or record.status.is_terminal:
            return as_stored(record, self._limits, self._clock)
        record = attrs.evolve(record, executor=attempt.start.lane.executor)
        if attempt.record.run == record.run:
            return attrs.evolve(
                record,
                effective_priority=attempt.start.effective,
                progress=attempt.reports.fraction,
                io=attempt.io_so_far or record.io,
            )
        return as_waiting(record, self._limits, self._clock)

    async def explain(self, record: TaskRecord, others: Sequence[TaskRecord]) -> Explanation:
        """Why a task is not running now, or what happened to it."""
        return self._explainer.explain(record, others)

    def active(self) -> list[TaskRecord]:
        """The tasks whose handlers run now."""
        return self._running.records()


def as_stored(record: TaskRecord, limits: Limits, clock: Clock) -> TaskRecord:
    """A record with what follows from the limits: where it runs, whether it is paused."""
    if record.status.is_terminal:
        is_whole = record.status is TaskStatus.COMPLETED
        return attrs.evolve(record, progress=1.0) if is_whole else record
    executor = limits.place(limits.kind(record.type).executor) or None
    return as_waiting(attrs.evolve(record, executor=executor), limits, clock)


def as_waiting(record: TaskRecord, limits: Limits, clock: Clock) -> TaskRecord:
    """A pending task is paused under a pause, and as urgent as it has become."""
    if record.status is not TaskStatus.PENDING:
        return record
    is_paused = limits.pauses.holds(record.domain, record.group)
    return attrs.evolve(
        record,
        status=TaskStatus.PAUSED if is_paused else record.status,
        effective_priority=effective_priority(record, limits, clock.now()),
    )
