"""What a domain is: a bundle of handlers, state, defaults and a cap, mounted on a scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, final

from typing_extensions import TypeVar, Unpack

from taskmill.define.codec import Codec
from taskmill.define.task import DomainKey, Handler, Task
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_cap, check_options
from taskmill.model.options import TaskOptions

D = TypeVar("D", bound=DomainKey)


@final
class Domain(Generic[D]):
    """A self-contained bundle of task types that any scheduler can mount.

    ``handlers`` run here; ``tasks`` are types this process only submits. ``state`` objects are
    found by their type with `Context.state`. ``max_concurrency`` caps running tasks of the
    domain. The remaining keywords are defaults for its tasks (`TaskOptions`). Everything is
    checked here: foreign handlers, two handlers for a type, payload annotations that cannot be
    resolved or stored raise ConfigurationError.
    """

    def __init__(
        self,
        key: type[D],
        *,
        handlers: Sequence[Handler[D]] = (),
        tasks: Sequence[type[Task[D, Any]]] = (),
        state: Sequence[object] = (),
        max_concurrency: int | None = None,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        self.key = key
        self.name: str = key.domain_name
        self.handlers = tuple(handlers)
        check_cap(max_concurrency, f"domain {self.name!r}: max_concurrency")
        self.max_concurrency = max_concurrency
        self.defaults = defaults
        check_options(defaults, TaskOptions.__annotations__, f"domain {self.name!r}")
        self.state = by_type(state, f"domain {self.name!r}")
        self.codecs: Mapping[type[Task[D, Any]], Codec] = self._codecs(tasks)

    def __repr__(self) -> str:
        return f"Domain({self.name!r}, {len(self.handlers)} handlers)"

    def _codecs(self, tasks: Sequence[type[Task[D, Any]]]) -> dict[type[Task[D, Any]], Codec]:
        codecs: dict[type[Task[D, Any]], Codec] = {}
        names: set[str] = set()
        for task in (*(handler.task for handler in self.handlers), *tasks):
            if task.task_domain is not self.key:
                raise ConfigurationError(
                    f"domain {self.name!r} was given {task.__qualname__}, "
                    f"which belongs to domain {task.task_domain.domain_name!r}"
                )
            if task.task_type in names:
                raise ConfigurationError(
                    f"domain {self.name!r} has {task.task_type!r} twice; "
                    "a type has one handler and is named once"
                )
            names.add(task.task_type)
            codecs[task] = Codec(task)
        return codecs


def by_type(state: Iterable[object], owner: str) -> dict[type, object]:
    """The objects by their type; ConfigurationError for two of one type."""
    found: dict[type, object] = {}
    for item in state:
        if type(item) in found:
            raise ConfigurationError(
                f"{owner} was given two states of type {type(item).__qualname__}; "
                "state is found by its type, so there is one of each"
            )
        found[type(item)] = item
    return found
