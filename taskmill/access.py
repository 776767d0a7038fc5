"""What a handle can ask about the tasks of its domain, and a scheduler about those of all."""

from __future__ import annotations

from abc import abstractmethod
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from typing_extensions import TypeVar, Unpack

from taskmill.define.task import DomainKey
from taskmill.engine.views.filters import chosen, selection
from taskmill.engine.views.queries import Queries
from taskmill.model.changes import Steer
from taskmill.model.options import TaskFilter
from taskmill.model.outcomes import Submitted
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.schedules import ScheduleRecord
from taskmill.model.status import TaskStatus
from taskmill.reading import TaskReader

if TYPE_CHECKING:
    from taskmill.client.client import Client
    from taskmill.engine.engine import Engine

D = TypeVar("D", bound=DomainKey)
R = TypeVar("R")


class TaskAccess(TaskReader[D]):
    """The verbs that a `DomainHandle` and a `Scheduler` share."""

    @abstractmethod
    def _opened(self) -> Engine | Client:
        """The engine; InvalidState where the scheduler is not open."""

    def _queries(self) -> Queries:
        return self._opened().queries

    async def wait(self, task: TaskId, /, *, timeout: timedelta | None = None) -> TaskRecord:
        """The task once it has ended, however it ended; TimeoutError after ``timeout``.

        InvalidState where the scheduler shuts down first.
        """
        return await self._opened().control.wait(task, domain=self._scope, timeout=timeout)

    async def result(self, of: Submitted[R], /, *, timeout: timedelta | None = None) -> R:
        """What the task returned.

        Raises TaskCancelled, TaskExpired or TaskFailed if it ended without a result, TimeoutError
        after ``timeout``.
        """
        control = self._opened().control
        value: Any = await control.result(of, domain=self._scope, timeout=timeout)
        result: R = value
        return result

    # --- changes ---

    async def cancel(self, task: TaskId, /) -> bool:
        """End a task and its subtree; True unless it had ended already.

        A waiting task ends at once, unless it has run before and its handler has an ``on_cancel``,
        which runs first. That a running one is to stop is durable on return: it will not complete;
        its handler is cancelled, its ``on_cancel`` runs, and `wait` tells when that is over.
        """
        return await self._opened().control.cancel(task, domain=self._scope)

    async def cancel_where(self, **where: Unpack[TaskFilter]) -> list[TaskId]:
        """End the active tasks that are meant, in one transaction, as `cancel`; return which.

        ConfigurationError without a filter: that would be `cancel_all`.
        """
        named = chosen(where, "cancel_where", "cancel_all()", domain=self._scope)
        return await self._opened().control.cancel_where(named)

    async def cancel_all(self) -> list[TaskId]:
        """End all active tasks, in one transaction, as `cancel`; return which."""
        every = selection({}, domain=self._scope)
        return await self._opened().control.cancel_where(every)

    async def retry(self, task: TaskId, /) -> None:
        """Run a task again that is dead, failed, cancelled, or whose dependency failed.

        Its attempts are counted anew, its errors kept. A task that is BLOCKED by a dependency that
        failed runs anyway. InvalidState names what does not allow it: the task's state, the task
        that does the same work by now, a dependency that is still failed.
        """
        await self._opened().control.retry(task, domain=self._scope)

    async def retry_where(self, **where: Unpack[TaskFilter]) -> list[TaskId]:
        """`retry` all tasks that are meant and that can be, in one transaction; return which.

        Without ``status``, those are the dead ones.
        """
        if "status" not in where:
            where["status"] = TaskStatus.DEAD
        revived = selection(where, domain=self._scope)
        return await self._opened().control.retry_where(revived)

    async def reprioritise(self, task: TaskId, priority: int, /) -> None:
        """Give an active task another priority, 0 (most urgent) to 255.

        It takes its new place in the queue; one that runs has it from its next run on.
        InvalidState for one that has ended.
        """
        await self._opened().control.reprioritise(task, priority, domain=self._scope)

    async def reschedule(self, task: TaskId, run_at: datetime, /) -> None:
        """Give a task another start time (aware; a past one means now).

        InvalidState for one that runs, waits for its children, or has ended.
        """
        await self._opened().control.reschedule(task, run_at, domain=self._scope)

    async def delete(self, **where: Unpack[TaskFilter]) -> int:
        """Delete ended tasks for good, with their errors and tags; return how many.

        Without ``status``, ended in any way. What somebody waits for, what an active task needs and
        what is inside its ``unique_for`` stays. ConfigurationError without a filter.
        """
        named = chosen(where, "delete", "delete(status=[...])", domain=self._scope, ended=True)
        return await self._opened().control.delete(named)

    # --- groups, which are everybody's ---

    async def pause_group(
        self, name: str, until: datetime | None = None, *, interrupt: bool = True
    ) -> None:
        """Start no task of a group, in any domain, until it is resumed or ``until`` has come.

        Calling it again moves the deadline. What runs is stopped and goes back to the queue, its
        attempt refunded; with ``interrupt=False`` it may finish.
        """
        steering = self._opened().steering
        await steering.pause(PauseScope.GROUP, name, interrupt=interrupt, until=until)

    async def resume_group(self, name: str) -> None:
        """End a `pause_group`."""
        await self._opened().steering.resume(PauseScope.GROUP, name)

    async def paused_groups(self) -> dict[str, datetime | None]:
        """The groups that are paused, and when they resume by themselves."""
        return self._opened().steering.paused_groups()

    # --- schedules ---

    async def schedules(self) -> list[ScheduleRecord]:
        """Everything that recurs, by name, with its next time."""
        return await self._opened().schedules.all(self._scope)

    async def pause_schedule(self, name: str, /) -> ScheduleRecord:
        """Make no further tasks of a schedule until it is resumed, also after a restart."""
        return await self._opened().schedules.steer(self._scope, name, Steer.PAUSE)

    async def resume_schedule(self, name: str, /) -> ScheduleRecord:
        """End a pause; what came due meanwhile is dropped."""
        return await self._opened().schedules.steer(self._scope, name, Steer.RESUME)

    async def cancel_schedule(self, name: str, /) -> ScheduleRecord:
        """Delete a schedule; its tasks stay. A declared one is back after a restart."""
        return await self._opened().schedules.steer(self._scope, name, Steer.CANCEL)
