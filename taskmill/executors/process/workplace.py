"""What a handler's context stands on in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from logging import Logger, LoggerAdapter
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

import attrs
from typing_extensions import TypeVarTuple

from taskmill.define.domain import one_state
from taskmill.define.task import DomainKey, Task
from taskmill.executors.process.wire import Order
from taskmill.executors.tasklog import task_log
from taskmill.model.errors import InvalidState, Stopped
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskRecord
from taskmill.model.resources import IoTotals

if TYPE_CHECKING:
    from threading import Event

    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class ToScheduler(Protocol):
    """The line to the scheduler's process."""

    @property
    def halted(self) -> Event: ...
    def tell(self, order: int, verb: str, *arguments: object) -> None: ...
    def ask(self, order: int, verb: str, *arguments: object) -> Any: ...


class ProcessWorkplace:
    """One order, with what its handler can see and do from here."""

    def __init__(self, order: Order, line: ToScheduler, state: Sequence[object]) -> None:
        self.record = order.record
        self.fence = order.fence
        self.deadline: datetime | None = order.deadline
        self._order = order.number
        self._line = line
        self._halted = line.halted
        self._own_state = state
        self._asked_state: dict[type, object] = {}

    @property
    def seen(self) -> TaskRecord:
        return self.record

    @property
    def is_stopping(self) -> bool:
        return self._halted.is_set()

    @property
    def log(self) -> LoggerAdapter[Logger]:
        return task_log(self.record)

    def check(self) -> None:
        if self.is_stopping:
            raise Stopped(f"task {self.record.id} is to stop")

    def state(self, of: type[S]) -> S:
        """The worker's own, else a copy of what the scheduler has, fetched once in a run."""
        own = one_state(self._own_state, of)
        if own is not None:
            return own
        known = self._asked_state.get(of)
        if not isinstance(known, of):
            known = self._asked_state[of] = self._ask("state", of)
        return known

    def handle(self, key: type[D]) -> DomainHandle[D]:
        self._no_handles(key)

    def find_handle(self, key: type[D]) -> DomainHandle[D] | None:
        self._no_handles(key)

    def _no_handles(self, key: type[DomainKey]) -> NoReturn:
        raise InvalidState(
            f"the handle of domain {key.domain_name!r} stands on the scheduler's event loop, and "
            "this handler runs in a worker process; use ctx.blocking.submit"
        )

    def check_awaits(self, verb: str) -> None:
        instead = f"use ctx.blocking.{verb}"
        if verb == "run_in_thread":
            instead = "call the function itself"
        raise InvalidState(f"nothing awaits ctx.{verb} in a worker process; {instead}")

    def wait(self, verb: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        """Run one of the coroutines below, which block and so never give way."""
        try:
            verb(*args).send(None)
        except StopIteration as end:
            result: T = end.value
            return result
        raise RuntimeError(f"{verb!r} gave way in a worker process, where nothing runs meanwhile")

    async def submit(self, task: Task[Any, Any], options: SubmitOptions) -> Submitted[Any]:
        submitted: Submitted[Any] = self._ask("submit", task, options)
        return submitted

    async def spawn(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        submitted: list[Submitted[Any]] = self._ask("spawn", list(tasks), options)
        return submitted

    async def spawn_sibling(
        self, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        submitted: list[Submitted[Any]] = self._ask("spawn_sibling", list(tasks), options)
        return submitted

    async def children(self) -> list[TaskRecord]:
        found: list[TaskRecord] = self._ask("children")
        return found

    async def set_tags(self, tags: Mapping[str, str]) -> None:
        self._ask("set_tags", dict(tags))
        self.record = attrs.evolve(self.record, tags={**self.record.tags, **tags})

    def progress(self, fraction: float, message: str | None) -> None:
        self._tell("progress", min(max(fraction, 0.0), 1.0), message)

    def bytes(self, done: int, total: int | None) -> None:
        if total and not 0 <= done / total <= 1:
            done = min(max(done, 0), total)
        self._tell("bytes", done, total)

    def moved(self, io: IoTotals) -> None:
        self._tell("moved", IoTotals() + io)  # which refuses what is no number, in the handler

    async def run_in_thread(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return function(*args)

    def _tell(self, verb: str, *arguments: object) -> None:
        self._line.tell(self._order, verb, *arguments)

    def _ask(self, verb: str, *arguments: object) -> Any:
        return self._line.ask(self._order, verb, *arguments)
