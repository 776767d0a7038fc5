"""What the attempts of one open scheduler stand on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.from_thread
from anyio.lowlevel import current_token
from typing_extensions import TypeVarTuple

from taskmill.define.task import DomainKey, Task
from taskmill.engine.clock import Clock
from taskmill.engine.events.announce import header_of
from taskmill.engine.events.hub import Hub
from taskmill.engine.registry import Registry
from taskmill.engine.requests.control import Control
from taskmill.model.errors import InvalidState
from taskmill.model.events import Progress
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskId, TaskRecord
from taskmill.store.base import Store

if TYPE_CHECKING:
    from taskmill.engine.runs.attempt import Attempt
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Surroundings:
    """What the handlers of one scheduler share; made in its event loop."""

    def __init__(
        self,
        *,
        clock: Clock,
        epoch: int,
        store: Store,
        registry: Registry,
        control: Control,
        hub: Hub,
        handle: Callable[[type[DomainKey]], DomainHandle[Any]],
        find_handle: Callable[[type[DomainKey]], DomainHandle[Any] | None],
    ) -> None:
        self.clock = clock
        self.epoch = epoch
        self._store = store
        self._registry = registry
        self._control = control
        self._hub = hub
        self._handle = handle
        self._find_handle = find_handle
        self._thread = get_ident()
        self._token = current_token()

    @property
    def is_here(self) -> bool:
        """Whether this is the thread of the scheduler's event loop."""
        return get_ident() == self._thread

    def elapsed(self, attempt: Attempt) -> float:
        """Seconds since an attempt was given its slot; from any thread."""
        return self.clock.monotonic() - attempt.start.at_ns / 1e9

    def state(self, domain: str, of: type[S]) -> S:
        """The state of a type, as a domain's handlers see it."""
        return self._registry.state(domain, of)

    def handle(self, key: type[D]) -> DomainHandle[D]:
        """The handle of a domain."""
        return self._handle(key)

    def find_handle(self, key: type[D]) -> DomainHandle[D] | None:
        """The handle of a domain, if it is there."""
        return self._find_handle(key)

    def wait(self, verb: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts) -> T:
        """Await something in the scheduler's event loop, from a handler's thread."""
        if self.is_here:
            raise InvalidState("ctx.blocking would block the event loop; await the verb of ctx")
        return anyio.from_thread.run(verb, *args, token=self._token)

    async def submit(self, task: Task[Any, Any], options: SubmitOptions) -> Submitted[Any]:
        """Submit a task of any domain."""
        [submitted] = await self._control.submit([task], options)
        return submitted

    async def spawn(
        self, parent: TaskRecord, tasks: Iterable[Task[Any, Any]], options: SubmitOptions
    ) -> list[Submitted[Any]]:
        """Submit children of a running task."""
        return await self._control.spawn(parent, tasks, options)

    async def children(self, task: TaskId) -> list[TaskRecord]:
        """The children of a task, and what it joined."""
        with self.clock.hold():
            return await self._store.children(task)

    async def set_tags(self, task: TaskId, tags: Mapping[str, str]) -> None:
        """Replace the tags of a task."""
        await self._control.set_tags(task, tags)

    def progressed(self, attempt: Attempt, fraction: float, message: str | None) -> None:
        """A handler reported its progress, from the loop or from its thread."""
        if not self._hub.is_heard or attempt.has_ended:
            return

        def publish() -> None:
            if attempt.has_ended:
                return
            self._hub.publish(
                lambda: Progress(
                    header=header_of(attempt.seen),
                    load=attempt.load,
                    fraction=fraction,
                    message=message,
                )
            )

        if self.is_here:
            publish()
        else:
            anyio.from_thread.run_sync(publish, token=self._token)
