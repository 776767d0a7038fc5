"""What an application holds of one domain: a typed way to submit, look up and listen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, final, overload

from typing_extensions import TypeVar, Unpack

from taskmill.access import TaskAccess
from taskmill.client.client import Client
from taskmill.define.codec import Codec
from taskmill.define.domain import Domain
from taskmill.define.schedule import check_recurrence
from taskmill.define.task import DomainKey, Task, TaskType, checked_task_type
from taskmill.engine.engine import Engine
from taskmill.engine.events.hub import EventStream, Hub
from taskmill.engine.parts import checked
from taskmill.model.errors import ConfigurationError
from taskmill.model.events import Event, Lagged, TaskEvent
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.pauses import PauseScope
from taskmill.model.schedules import Recurrence, ScheduleRecord
from taskmill.model.sharing import RateLimit
from taskmill.model.snapshot import DomainSnapshot

D = TypeVar("D", bound=DomainKey)
R = TypeVar("R")
T = TypeVar("T", bound=Task[Any, Any])


@final
class DomainHandle(TaskAccess[D]):
    """One domain of a scheduler. Cheap to make, free to pass around."""

    def __init__(
        self,
        key: type[D],
        domain: Domain[Any],
        engine: Callable[[], Engine | Client],
        hub: Callable[[], Hub],
    ) -> None:
        self.key = key
        self._scope = domain.name
        self._engine = engine
        self._domain = domain
        self._hub = hub

    def _opened(self) -> Engine | Client:
        return self._engine()

    def __repr__(self) -> str:
        return f"DomainHandle({self.name!r})"

    @property
    def name(self) -> str:
        """The domain's name."""
        return self._domain.name

    def codec(self, task: type[Task[D, Any]]) -> Codec:
        """What reads the payloads and results of a type as they are stored."""
        kind = checked_task_type(task, "codec")
        codec = self._domain.codecs.get(kind)
        if codec is None:
            raise ConfigurationError(f"domain {self.name!r} has no task type {kind.__qualname__}")
        return codec

    async def submit(self, task: Task[D, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """Submit a task; when this returns, the task is durable.

        Where a task that waits already stands for the same work, that one is joined, at the
        better of both priorities (DUPLICATE or UPGRADED). Where one runs, it gets one follow-up
        (REQUEUED), unless ``requeue=False``. Cancelling this call never undoes the submit.
        """
        [submitted] = await self._opened().control.submit([task], options)
        return submitted

    async def submit_many(
        self, tasks: Iterable[Task[D, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """Submit tasks in one transaction: all of them or, where one is refused, none."""
        return await self._opened().control.submit(tasks, options)

    async def schedule(
        self, task: Task[D, Any], rule: Recurrence, name: str | None = None
    ) -> ScheduleRecord:
        """Have a task recur; durable on return.

        A schedule of the same name is changed: under the same rule it goes on where it is, under
        another one it begins anew. Without a name, the work itself is its name.
        """
        check_recurrence(rule, "schedule()")
        return await self._opened().schedules.set(self.name, task, rule, name)

    async def snapshot(self) -> DomainSnapshot:
        """What runs and waits in the domain now."""
        return await self._opened().snapshots.of_domain(self.name)

    # --- steering ---

    @property
    def is_paused(self) -> bool:
        """Whether the domain itself is paused; see `pause`."""
        return self._opened().steering.is_paused(PauseScope.DOMAIN, self.name)

    async def pause(self, *, interrupt: bool = True) -> None:
        """Start no task of the domain until `resume`, also after a restart.

        What runs is stopped and goes back to the queue, its attempt refunded; with
        ``interrupt=False`` it may finish. Pauses of the scheduler and of groups hold on their own.
        """
        await self._opened().steering.pause(PauseScope.DOMAIN, self.name, interrupt=interrupt)

    async def resume(self) -> None:
        """End a `pause` of the domain; what no other pause holds may start."""
        await self._opened().steering.resume(PauseScope.DOMAIN, self.name)

    @property
    def max_concurrency(self) -> int | None:
        """How many tasks of the domain may run at once; None for any number."""
        return self._opened().tuning.domain_cap(self.name)

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Run at most so many tasks of the domain; what runs beyond a lowered cap goes on."""
        self._opened().tuning.set_domain_cap(self.name, max_concurrency)

    def set_rate(self, task: type[Task[D, Any]], limit: RateLimit | None) -> None:
        """Let tasks of a type start at another rate; None for any rate."""
        rate = checked(limit, RateLimit, "a rate", "RateLimit(100)")
        kind = checked_task_type(task, "set_rate")
        self._opened().tuning.set_rate(kind.task_type, rate)

    @overload
    def events(self, /) -> EventStream[Event]: ...
    @overload
    def events(self, of: TaskType[D, T, R], /) -> EventStream[TaskEvent[T, R] | Lagged]: ...
    def events(self, of: TaskType[D, Any, Any] | None = None, /) -> EventStream[Any]:
        """What happens in this domain, or to one type of its tasks.

        Enter it while the scheduler is open, and before what it should see happens.
        """
        task_type = None
        if of is not None:
            task = checked_task_type(of, "events")
            if task.task_domain is not self.key:
                raise ConfigurationError(
                    f"{task.task_type!r} is no task of domain {self.name!r}; "
                    "ask the handle of its own domain, or the scheduler, for its events"
                )
            task_type = task.task_type
        return EventStream(self._hub, domain=self.name, task_type=task_type)
