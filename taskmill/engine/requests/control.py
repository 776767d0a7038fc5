"""What handles can ask for: submit, change, wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import anyio
from anyio.lowlevel import checkpoint

from taskmill.define.task import Task
from taskmill.engine.clock import Clock
from taskmill.engine.events.endings import Endings
from taskmill.engine.events.tracing import Tracing, types_of
from taskmill.engine.registry import Registry
from taskmill.engine.requests.applying import Applying
from taskmill.engine.requests.enlistment import Enlistment
from taskmill.engine.requests.intake import Intake
from taskmill.engine.views.queries import Queries, unknown_task
from taskmill.model.changes import (
    CancelTask,
    CancelWhere,
    Delete,
    NewTask,
    Reorder,
    Request,
    Revive,
    ReviveWhere,
    SetTags,
    Submit,
)
from taskmill.model.effects import Changed, Deleted, Effect, Fault, Refused
from taskmill.model.errors import (
    ConfigurationError,
    InvalidDependency,
    InvalidState,
    PayloadError,
    TaskCancelled,
    TaskExpired,
    TaskFailed,
    TaskmillError,
    TaskPruned,
)
from taskmill.model.limits import (
    check_count,
    check_id,
    check_timeout,
    check_whole,
    checked_items,
)
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.showing import shown
from taskmill.model.status import TaskStatus
from taskmill.model.times import to_ms
from taskmill.rules.limits import Limits
from taskmill.rules.options import checked_start

_BREATH = 500
"""How many tasks of one call are prepared before others get their turn in the event loop."""


class Control:
    """The verbs of one open scheduler."""

    def __init__(
        self,
        *,
        registry: Registry,
        applying: Applying,
        enlistment: Enlistment,
        endings: Endings,
        clock: Clock,
        limits: Limits,
        queries: Queries,
        tracing: Tracing | None,
    ) -> None:
        self._registry = registry
        self._applying = applying
        self._enlistment = enlistment
        self._endings = endings
        self._clock = clock
        self._limits = limits
        self._queries = queries
        self._tracing = tracing

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
        check_count(tasks, "submit_many")
        if not tasks:
            return []
        if self._tracing is None:
            return await self._submit(tasks, call, at_least)
        with self._tracing.sending(types_of(tasks)) as sending:
            submitted = await self._submit(tasks, call, at_least, sending.carrier)
            sending.sent(submitted)
            return submitted

    async def _submit(
        self,
        tasks: Sequence[Task[Any, Any]],
        call: SubmitOptions,
        at_least: int | None,
        carrier: Mapping[str, str] | None = None,
    ) -> list[Submitted[Any]]:
        now = self._clock.now()
        intake = Intake(self._registry, call, now, at_least=at_least, carrier=carrier)
        prepared = await self._prepared(tasks, intake)
        connection = call.get("connection")
        if connection is not None:
            effect: Effect = await self._enlistment.submit(connection, prepared)
        else:
            self._enlistment.check_not_inside()
            effect = await self._applying.apply(Submit(prepared), tasks)
        if isinstance(effect, Refused):
            raise refusal(effect)
        if not isinstance(effect, tuple):
            raise TypeError(f"a submit cannot have the effect {effect!r}")
        return [
            Submitted(
                id=placed.id,
                outcome=placed.outcome,
                replaced=placed.replaced,
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

    # --- change ---

    async def cancel(self, task: TaskId, *, domain: str | None, reason: str | None = None) -> bool:
        """End a task with its subtree; False if it had ended already."""
        check_id(task, "cancel takes")
        change = CancelTask(id=task, domain=domain, reason=reason, now_ms=self._now_ms())
        return bool((await self._change(change, task, domain)).named)

    async def cancel_where(self, selection: Selection) -> list[TaskId]:
        """End all active tasks that are meant, in one transaction; return which."""
        change = CancelWhere(selection=selection, reason=None, now_ms=self._now_ms())
        return list((await self._change(change)).named)

    async def retry(self, task: TaskId, *, domain: str | None) -> None:
        """Make a task that ended in failure pending again."""
        check_id(task, "retry takes")
        await self._change(Revive(id=task, domain=domain, now_ms=self._now_ms()), task, domain)

    async def retry_where(self, selection: Selection) -> list[TaskId]:
        """Revive all that are meant and can be; return which."""
        change = ReviveWhere(selection=selection, now_ms=self._now_ms())
        return list((await self._change(change)).named)

    async def reprioritise(self, task: TaskId, priority: int, *, domain: str | None) -> None:
        """Give an active task another priority."""
        check_id(task, "reprioritise takes")
        check_whole(priority, 0, 255, "priority")
        change = Reorder(id=task, domain=domain, now_ms=self._now_ms(), priority=int(priority))
        await self._change(change, task, domain)

    async def reschedule(self, task: TaskId, run_at: datetime, *, domain: str | None) -> None:
        """Give a task that waits to start another start time."""
        check_id(task, "reschedule takes")
        run_at_ms = checked_start(run_at)
        change = Reorder(id=task, domain=domain, now_ms=self._now_ms(), run_at_ms=run_at_ms)
        await self._change(change, task, domain)

    async def set_tags(self, task: TaskId, tags: Mapping[str, str]) -> None:
        """Replace the tags of a task."""
        await self._change(SetTags(id=task, tags=tags), task, None)

    async def delete(self, selection: Selection) -> int:
        """Delete ended tasks that are meant and that nothing needs; return how many."""
        change = Delete(selection=selection, keep=self._endings.awaited(), now_ms=self._now_ms())
        effect = await self._applying.apply(change)
        return effect.count if isinstance(effect, Deleted) else 0

    async def _change(
        self, change: Request, task: TaskId | None = None, domain: str | None = None
    ) -> Changed:
        effect = await self._applying.apply(change)
        if isinstance(effect, Refused):
            raise refusal(effect)
        if isinstance(effect, Changed):
            return effect
        raise unknown_task(task or TaskId(0), domain)

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

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
            raise ConfigurationError(f"result takes what submit returned, not {shown(of)}")
        task = of.id
        record = await self.wait(task, domain=domain, timeout=timeout)
        if record.status is TaskStatus.COMPLETED:
            known = self._registry.find(record.type)
            if known is None:
                raise PayloadError(
                    f"no domain here has task type {record.type!r} to read its result"
                )
            return known.codec.decode_result(record.result)
        raised = _RAISED.get(record.status, TaskFailed)
        raise raised(f"task {task} ({record.type}) ended as {record.status}: {record.reason}")


_RAISED = {TaskStatus.CANCELLED: TaskCancelled, TaskStatus.EXPIRED: TaskExpired}
_FAULTS = {
    Fault.STATE: InvalidState,
    Fault.DEPENDENCY: InvalidDependency,
    Fault.PRUNED: TaskPruned,
}


def refusal(refused: Refused) -> TaskmillError:
    """What is raised for a change that a rule refused."""
    return _FAULTS[refused.fault](refused.reason)
