"""What a running handler can see and do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast, final

from typing_extensions import TypeVar, TypeVarTuple, Unpack

from taskmill.define.blocking import Blocking
from taskmill.define.task import DomainKey, Task
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.resources import IoTotals

if TYPE_CHECKING:
    from logging import Logger, LoggerAdapter

    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
D2 = TypeVar("D2", bound=DomainKey)
R = TypeVar("R")
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")
F = TypeVar("F", bound=Callable[..., Any])


def _awaited(method: F) -> F:
    """Have a coroutine method refuse at once where nobody could await it."""

    @wraps(method)
    def checked(self: Context[Any], *args: Any, **options: Any) -> Any:
        self._workplace.check_awaits(method.__name__)  # pyright: ignore[reportPrivateUsage] - of a method of that class
        return method(self, *args, **options)

    return cast("F", checked)  # it takes and returns what the method does


class Workplace(Protocol):
    """What a context needs of the attempt it belongs to."""

    @property
    def record(self) -> TaskRecord: ...
    @property
    def seen(self) -> TaskRecord: ...
    @property
    def fence(self) -> int: ...
    @property
    def deadline(self) -> datetime | None: ...
    @property
    def is_stopping(self) -> bool: ...
    @property
    def log(self) -> LoggerAdapter[Logger]: ...
    def state(self, of: type[S]) -> S: ...
    def handle(self, key: type[D2]) -> DomainHandle[D2]: ...
    def find_handle(self, key: type[D2]) -> DomainHandle[D2] | None: ...
    def progress(self, fraction: float, message: str | None) -> None: ...
    def check(self) -> None: ...
    def check_awaits(self, verb: str) -> None:
        """Raise InvalidState where a coroutine would never be awaited."""
        ...

    def wait(self, verb: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        """Do what is awaited and wait for it, where nothing can be awaited."""
        ...

    async def submit(self, task: Task[Any, Any], options: SubmitOptions) -> Submitted[Any]: ...
    async def spawn(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]: ...
    async def spawn_sibling(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]: ...
    async def children(self) -> list[TaskRecord]: ...
    async def set_tags(self, tags: Mapping[str, str]) -> None: ...
    def bytes(self, done: int, total: int | None) -> None: ...
    def moved(self, io: IoTotals) -> None: ...
    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T: ...


@final
class Context(Generic[D]):
    """One attempt at one task, as its handler sees it.

    What is not awaited works in every handler, but for `domain` and `find_domain` in a process:
    their handles stand on the scheduler's event loop. Where there is nothing to await with, in a
    plain function, `blocking` has what is awaited elsewhere.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    @property
    def id(self) -> TaskId:
        """The task's id."""
        return self._workplace.record.id

    @property
    def record(self) -> TaskRecord:
        """The task as its claim left it."""
        return self._workplace.seen

    @property
    def attempt(self) -> int:
        """Which attempt this is, counted from 1; interruptions do not count."""
        return self._workplace.record.attempt

    @property
    def fence(self) -> int:
        """A number that a later run of this task always exceeds, also after a crash.

        Hand it to systems that can refuse writes with a lower number than they have seen.
        """
        return self._workplace.fence

    @property
    def deadline(self) -> datetime | None:
        """When the timeout ends this run; None without a timeout."""
        return self._workplace.deadline

    @property
    def cancelled(self) -> bool:
        """Whether this handler is to stop; safe from threads."""
        return self._workplace.is_stopping

    @property
    def blocking(self) -> Blocking[D]:
        """What is awaited in a coroutine, for plain functions: each call blocks until it is done.

        In a coroutine handler its calls raise InvalidState, as they would block the event loop.
        """
        return Blocking(self._workplace)

    @property
    def log(self) -> LoggerAdapter[Logger]:
        """A logger that adds task_id, task_type and attempt to the ``extra`` of each line."""
        return self._workplace.log

    def check(self) -> None:
        """Raise `Stopped` if this handler is to stop; safe from threads."""
        self._workplace.check()

    def state(self, of: type[S]) -> S:
        """The state of type ``of``: the domain's, else the scheduler's; else MissingStateError.

        A base class finds the one state that is an instance of it; two are a MissingStateError.
        """
        return self._workplace.state(of)

    def domain(self, key: type[D2]) -> DomainHandle[D2]:
        """The handle of any domain on this scheduler; UnknownDomainError if it is not there."""
        return self._workplace.handle(key)

    def find_domain(self, key: type[D2]) -> DomainHandle[D2] | None:
        """The handle of a domain that may not be on this scheduler."""
        return self._workplace.find_handle(key)

    @_awaited
    async def spawn(self, task: Task[D, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """Submit a child of this task; it takes over this task's tags where it sets none."""
        [submitted] = await self._workplace.spawn([task], options)
        return submitted

    @_awaited
    async def spawn_many(
        self, tasks: Iterable[Task[D, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """Submit children of this task, all or none."""
        return await self._workplace.spawn(tasks, options)

    @_awaited
    async def spawn_sibling(
        self, task: Task[D, R], **options: Unpack[SubmitOptions]
    ) -> Submitted[R]:
        """Submit another child of this task's parent; InvalidState where it has none."""
        [submitted] = await self._workplace.spawn_sibling([task], options)
        return submitted

    @_awaited
    async def spawn_siblings(
        self, tasks: Iterable[Task[D, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """Submit further children of this task's parent, all or none."""
        return await self._workplace.spawn_sibling(tasks, options)

    @_awaited
    async def children(self) -> list[TaskRecord]:
        """The children of this task, and what it spawned that was there already, by id."""
        return await self._workplace.children()

    @_awaited
    async def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set these tags on this task, beside those it has; durable on return."""
        await self._workplace.set_tags(tags)

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Report how far this handler is, 0 to 1; what lies outside is cut. Safe from threads.

        Snapshots carry it on to the moment they are taken, and show the last message there was.
        """
        self._workplace.progress(fraction, message)

    def progress_of(self, done: float, total: float, message: str | None = None) -> None:
        """Report ``done`` of ``total``; a total of zero is all done. Safe from threads."""
        self._workplace.progress(done / total if total else 1.0, message)

    def bytes(self, done: int, total: int | None = None) -> None:
        """Report how many bytes are done, of how many; it is progress too. Safe from threads.

        ``done`` counts from the start of the work: from two reports on, there is a rate.
        """
        self._workplace.bytes(done, total)

    def io(self, *, read: int = 0, written: int = 0, received: int = 0, sent: int = 0) -> None:
        """Add bytes that this handler moved to the task's record. Safe from threads."""
        self._workplace.moved(IoTotals(read=read, written=written, received=received, sent=sent))

    @_awaited
    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run a blocking function in a thread; a stop takes effect when it has returned."""
        return await self._workplace.run_in_thread(function, *args)
