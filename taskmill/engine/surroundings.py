"""What the attempts of one open scheduler stand on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from typing_extensions import TypeVarTuple

from taskmill.define.task import DomainKey, Task
from taskmill.engine.clock import Clock
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskId, TaskRecord

if TYPE_CHECKING:
    from taskmill.engine.attempt import Attempt
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Surroundings(Protocol):
    """What the handlers of one scheduler share, as far as an attempt passes it on."""

    @property
    def clock(self) -> Clock: ...
    @property
    def epoch(self) -> int: ...
    def state(self, domain: str, of: type[S]) -> S: ...
    def handle(self, key: type[D]) -> DomainHandle[D]: ...
    def find_handle(self, key: type[D]) -> DomainHandle[D] | None: ...
    def progressed(self, attempt: Attempt, fraction: float, message: str | None) -> None: ...
    @property
    def is_here(self) -> bool: ...
    def wait(self, verb: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T: ...
    async def submit(self, task: Task[Any, Any], options: SubmitOptions) -> Submitted[Any]: ...
    async def spawn(
        self, parent: TaskRecord, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]: ...
    async def children(self, task: TaskId) -> list[TaskRecord]: ...
    async def set_tags(self, task: TaskId, tags: Mapping[str, str]) -> None: ...
