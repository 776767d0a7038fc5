"""What a handler that is a plain function can do, where a coroutine would await it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, final

from typing_extensions import TypeVar, Unpack

from taskmill.define.task import DomainKey, Task
from taskmill.model.options import SubmitOptions
from taskmill.model.outcomes import Submitted
from taskmill.model.record import TaskRecord

if TYPE_CHECKING:
    from taskmill.define.context import Workplace

D = TypeVar("D", bound=DomainKey)
R = TypeVar("R")


@final
class Blocking(Generic[D]):
    """The verbs of a `Context` that are awaited, each blocking its thread or process instead.

    They raise what the awaited ones raise, and from a thread of the scheduler's event loop
    InvalidState.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def submit(self, task: Task[Any, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """Submit a task of any domain, which is no child of this one; as `DomainHandle.submit`."""
        place = self._workplace
        return place.wait(place.submit, task, options)

    def spawn(self, task: Task[D, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """As `Context.spawn`."""
        place = self._workplace
        [submitted] = place.wait(place.spawn, [task], options)
        return submitted

    def spawn_many(
        self, tasks: Iterable[Task[D, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """As `Context.spawn_many`."""
        place = self._workplace
        return place.wait(place.spawn, list(tasks), options)

    def spawn_sibling(self, task: Task[D, R], **options: Unpack[SubmitOptions]) -> Submitted[R]:
        """As `Context.spawn_sibling`."""
        place = self._workplace
        [submitted] = place.wait(place.spawn_sibling, [task], options)
        return submitted

    def spawn_siblings(
        self, tasks: Iterable[Task[D, Any]], **options: Unpack[SubmitOptions]
    ) -> list[Submitted[Any]]:
        """As `Context.spawn_siblings`."""
        place = self._workplace
        return place.wait(place.spawn_sibling, list(tasks), options)

    def children(self) -> list[TaskRecord]:
        """As `Context.children`."""
        return self._workplace.wait(self._workplace.children)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """As `Context.set_tags`."""
        self._workplace.wait(self._workplace.set_tags, tags)
