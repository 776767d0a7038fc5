"""What can be read of tasks: the same verbs for one domain and for all of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic

from typing_extensions import TypeVar, Unpack

from taskmill.define.task import DomainKey, Task, checked_task_type
from taskmill.engine.views.queries import Queries
from taskmill.model.errors import ConfigurationError
from taskmill.model.explanation import Explanation
from taskmill.model.options import TaskFilter
from taskmill.model.page import Page
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.stats import TypeStats
from taskmill.model.status import TaskStatus

D = TypeVar("D", bound=DomainKey)


class TaskReader(Generic[D]):
    """Reads the tasks of a handle's domain, or of all domains of a scheduler.

    A filter chooses active tasks, unless its ``status`` says otherwise. A value of it that cannot
    be meant is a ConfigurationError. What is read is as of the last commit.
    """

    _scope: str | None = None
    """The domain to which reading is restricted."""

    @abstractmethod
    def _queries(self) -> Queries:
        """The queries of the open scheduler; InvalidState where it is not open."""

    async def get(self, task: TaskId, /) -> TaskRecord:
        """The task with this id; UnknownTaskError if there is none here."""
        return await self._queries().get(task, domain=self._scope)

    async def explain(self, task: TaskId, /) -> Explanation:
        """Why a task is not running now, or what happened to it; ``str()`` tells it all."""
        return await self._queries().explain(task, domain=self._scope)

    async def stats(self, task: type[Task[D, Any]], /) -> TypeStats:
        """How the tasks of a type have ended, how long they took and what they moved.

        Of what is kept (`Retention`). Reads all of that, beside the scheduler's own work.
        """
        kind = checked_task_type(task, "stats()")
        if self._scope not in (None, kind.task_domain.domain_name):
            raise ConfigurationError(
                f"{kind.task_type!r} is no task type of domain {self._scope!r}"
            )
        return await self._queries().stats(kind.task_type)

    async def find(self, *, key: str) -> TaskRecord | None:
        """The active task with this key; None where there is none.

        Where tasks of several types have it, the newest one; a blocked task only where no other
        has it.
        """
        return await self._queries().find(key, domain=self._scope)

    async def tasks(
        self, *, limit: int = 100, after: str | None = None, **where: Unpack[TaskFilter]
    ) -> Page[TaskRecord]:
        """Tasks in the order of their ids, at most ``limit`` (1 to 10,000) of them.

        ``after`` is the ``next`` of the page before.
        """
        return await self._queries().tasks(where, domain=self._scope, limit=limit, after=after)

    async def ids(self, **where: Unpack[TaskFilter]) -> list[TaskId]:
        """The ids of all tasks that the filter chooses, in order."""
        return await self._queries().ids(where, domain=self._scope)

    async def count(self, **where: Unpack[TaskFilter]) -> int:
        """How many tasks the filter chooses."""
        return await self._queries().count(where, domain=self._scope)

    async def tag_keys(self, prefix: str = "") -> list[str]:
        """The tag keys that active tasks have and that start with ``prefix``, in order."""
        return await self._queries().tag_keys(prefix, domain=self._scope)

    async def tag_values(self, key: str) -> dict[str, int]:
        """The values that active tasks have for a tag, in order, and how many have each."""
        return await self._queries().count_by_tag(key, {}, domain=self._scope)

    async def count_by_tag(self, key: str, /, **where: Unpack[TaskFilter]) -> dict[str, int]:
        """How many of the tasks that the filter chooses have each value of a tag.

        A task without this tag counts nowhere.
        """
        return await self._queries().count_by_tag(key, where, domain=self._scope)

    async def history(
        self,
        type: type[Task[D, Any]] | None = None,  # noqa: A002 - the name programs are written against
        *,
        limit: int = 100,
        after: str | None = None,
        **where: Unpack[TaskFilter],
    ) -> Page[TaskRecord]:
        """Tasks that have ended, the last one first; all of them, unless ``status`` says which.

        ``limit`` and ``after`` as in `tasks`.
        """
        return await self._queries().history(
            type, where, domain=self._scope, limit=limit, after=after
        )

    async def dead_letters(self, limit: int = 100, after: str | None = None) -> Page[TaskRecord]:
        """Tasks whose retries are spent, the last one first; otherwise as `history`."""
        where: TaskFilter = {"status": TaskStatus.DEAD}
        return await self._queries().ended(where, domain=self._scope, limit=limit, after=after)

    def active_tasks(self) -> list[TaskRecord]:
        """The tasks whose handlers run now, from memory."""
        return self._queries().active_tasks(domain=self._scope)
