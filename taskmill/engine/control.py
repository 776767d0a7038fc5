"""What handles can ask for: submit, cancel, wait."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from taskmill.define.task import Task
from taskmill.engine.announce import header_of, load_of
from taskmill.engine.clock import Clock
from taskmill.engine.dispatcher import Dispatcher
from taskmill.engine.endings import Endings
from taskmill.engine.hub import Hub
from taskmill.engine.intake import Intake
from taskmill.engine.queries import Queries, unknown_task
from taskmill.engine.registry import Registry
from taskmill.engine.running import Running
from taskmill.engine.writer import Writer
from taskmill.model.changes import (
    CancelTask,
    Effect,
    Ended,
    NewTask,
    Placed,
    Refused,
    StopCause,
    Stopping,
    Submit,
)
from taskmill.model.errors import (
    ConfigurationError,
    InvalidState,
    PayloadError,
    TaskCancelled,
    TaskFailed,
    TaskmillError,
)
from taskmill.model.events import Cancelled, Enqueued, TaskHeader
from taskmill.model.limits import check_id, check_timeout, checked_items
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import SubmitOutcome, Submitted
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.model.times import from_ms, to_ms
from taskmill.rules.limits import Limits

_BREATH = 500
"""How many tasks of one call are prepared before others get their turn in the event loop."""


class Control:
    """The verbs of one open scheduler."""

    def __init__(
        self,
        *,
        registry: Registry,
        writer: Writer,
        dispatcher: Dispatcher,
        running: Running,
        hub: Hub,
        endings: Endings,
        clock: Clock,
        limits: Limits,
        queries: Queries,
    ) -> None:
        self._limits = limits
        self._queries = queries
        self._registry = registry
        self._writer = writer
        self._dispatcher = dispatcher
        self._running = running
        self._hub = hub
        self._endings = endings
        self._clock = clock

    # --- submit ---

    async def submit(
        self,
        tasks: Iterable[Task[Any, Any]],
        call: SubmitOptions,
        *,
        at_least: int | None = None,
    ) -> list[Submitted[Any]]:
        """Submit tasks, all or none; returns once they are durable.

        ``at_least`` is the priority they have at the least where neither the call nor their class
        gives one.
        """
        tasks = checked_items(tasks, "what submit_many takes", "[Send(...)]")
        if not tasks:
            return []
        prepared = await self._prepared(
            tasks, Intake(self._registry, call, self._clock.now(), at_least=at_least)
        )
        effect = await self._writer.apply(
            Submit(prepared), partial(self._submitted, tasks, prepared)
        )
        if isinstance(effect, Refused):
            raise InvalidState(effect.reason)
        if not isinstance(effect, tuple):
            raise TypeError(f"a submit cannot have the effect {effect!r}")
        return [
            Submitted(
                id=placed.id,
                outcome=placed.outcome,
                paused=self._limits.pauses.holds(new.domain, new.group),
            )
            for new, placed in zip(prepared, effect, strict=True)
        ]

    async def _prepared(
        self, tasks: Sequence[Task[Any, Any]], intake: Intake
    ) -> tuple[NewTask, ...]:
        prepared: list[NewTask] = []
        for index, task in enumerate(tasks):
            try:
                prepared.append(intake.take(task))
            except TaskmillError as error:
                if len(tasks) > 1:
                    error.add_note(f"task {index} of {len(tasks)} in this call: {task!r}")
                raise
            if index % _BREATH == _BREATH - 1:
                await checkpoint()
        return tuple(prepared)

    async def spawn(
        self, parent: TaskRecord, tasks: Iterable[Task[Any, Any]], call: SubmitOptions
    ) -> list[Submitted[Any]]:
        """Submit children of a running task; where tasks age, as urgent as it had become."""
        at_least = parent.effective_priority if self._limits.aging.is_on else None
        return await self.submit(tasks, {"parent": parent.id, **call}, at_least=at_least)

    def _submitted(
        self, tasks: Sequence[Task[Any, Any]], prepared: Sequence[NewTask], effect: Effect
    ) -> None:
        if not isinstance(effect, tuple):
            return
        for task, new, placed in zip(tasks, prepared, effect, strict=True):
            if placed.left is not None:
                self._dispatcher.remove(placed.left)
            if placed.ready is not None:
                self._dispatcher.add(placed.ready)
            elif placed.outcome is SubmitOutcome.INSERTED and new.due_at_ms is not None:
                self._dispatcher.due(new.due_at_ms)
            if placed.outcome in (SubmitOutcome.INSERTED, SubmitOutcome.REQUEUED):
                self._hub.publish(partial(_enqueued, task, new, placed))

    # --- cancel ---

    async def cancel(self, task: TaskId, *, domain: str | None, reason: str | None = None) -> bool:
        """End a waiting task, or have a running one stop; False if it had ended already."""
        check_id(task, "cancel takes")
        change = CancelTask(id=task, domain=domain, reason=reason, now_ms=to_ms(self._clock.now()))
        effect = await self._writer.apply(change, self._cancelled)
        if effect is None:
            raise unknown_task(task, domain)
        return isinstance(effect, Ended | Stopping)

    def _cancelled(self, effect: Effect) -> None:
        if isinstance(effect, Stopping):
            self._running.stop(effect.id, StopCause.CANCELLED)
        if not isinstance(effect, Ended):
            return
        record = effect.record
        if effect.left is not None:
            self._dispatcher.remove(effect.left)
        elif effect.was_due_at_ms is not None:
            is_retry = record.attempt > 0 and self._registry.is_handled(record.type)
            self._dispatcher.no_longer_due(retry=is_retry)
        load = load_of(self._registry, record)
        self._hub.publish(
            lambda: Cancelled(header=header_of(record), load=load, reason=effect.reason)
        )
        if effect.unblocked is not None:
            self._running.unblocked(effect.unblocked)
        self._endings.ended(record.id)

    # --- wait ---

    async def wait(
        self, task: TaskId, *, domain: str | None, timeout: timedelta | None
    ) -> TaskRecord:
        """The record of a task once it has ended; TimeoutError after ``timeout``."""
        check_id(task, "wait takes")
        check_timeout(timeout)
        if timeout is None:
            return await self._end_of(task, domain)
        with anyio.move_on_after(timeout.total_seconds()):
            return await self._end_of(task, domain)
        raise TimeoutError(f"task {task} has not ended in the {timeout} that was waited for it")

    async def _end_of(self, task: TaskId, domain: str | None) -> TaskRecord:
        while True:
            ended = self._endings.expect(task)
            try:
                record = await self._queries.read(task, domain=domain)
                if record.status.is_terminal:
                    return record
                if self._endings.is_closed:
                    raise InvalidState(f"the scheduler shut down before task {task} ended")
                await ended.wait()
            finally:
                self._endings.forget(task, ended)

    async def result(
        self, of: Submitted[Any], *, domain: str | None, timeout: timedelta | None
    ) -> object:
        """What the task returned; TaskFailed or TaskCancelled if it ended without a result."""
        if not isinstance(of, Submitted):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
            raise ConfigurationError(f"result takes what submit returned, not {of!r:.100}")
        task = of.id
        record = await self.wait(task, domain=domain, timeout=timeout)
        if record.status is TaskStatus.COMPLETED:
            known = self._registry.find(record.type)
            if known is None:
                raise PayloadError(
                    f"no domain here has task type {record.type!r} to read its result"
                )
            return known.codec.decode_result(record.result)
        raised = TaskCancelled if record.status is TaskStatus.CANCELLED else TaskFailed
        raise raised(f"task {task} ({record.type}) ended as {record.status}: {record.reason}")


def _enqueued(task: Task[Any, Any], new: NewTask, placed: Placed) -> Enqueued[Any]:
    header = TaskHeader(
        id=placed.id,
        type=new.type,
        domain=new.domain,
        key=new.key,
        label=new.label or new.type,
        tags=new.tags if placed.tags is None else placed.tags,
        group=new.group,
        priority=new.priority,
        effective_priority=new.priority,
        attempt=0,
    )
    return Enqueued(header=header, load=lambda: task, due_at=from_ms(new.due_at_ms))
