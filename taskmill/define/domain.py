"""What a domain is: a bundle of handlers, state, defaults and a cap, mounted on a scheduler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, final

from typing_extensions import TypeVar, Unpack

from taskmill.define.codec import Codec, MemoCodec
from taskmill.define.schedule import Schedule
from taskmill.define.task import (
    DomainKey,
    Handler,
    Task,
    check_async,
    checked_key,
    checked_task_type,
)
from taskmill.model.errors import ConfigurationError, MissingStateError
from taskmill.model.limits import check_cap, checked_items
from taskmill.model.options import TaskOptions, check_options
from taskmill.model.showing import shown

if TYPE_CHECKING:
    from taskmill.handle import DomainHandle

D = TypeVar("D", bound=DomainKey)
S = TypeVar("S")


@final
class Domain(Generic[D]):
    """A self-contained bundle of task types that any scheduler can mount.

    ``handlers`` run here; ``tasks`` are types known here without a handler: what the file holds
    of them waits and can be looked up, but no more can be submitted. ``state`` objects are found
    by their type with `Context.state`. ``schedules`` recur by themselves. ``max_concurrency`` caps
    running tasks of the domain. ``on_start`` is awaited when the scheduler has opened, before any
    task starts, ``on_stop`` when no handler runs any more, for 30 s at most. The remaining
    keywords are defaults for its tasks (`TaskOptions`). Everything is checked here:
    foreign handlers, two handlers for a type, payload annotations that cannot be resolved or
    stored raise ConfigurationError.
    """

    def __init__(
        self,
        key: type[D],
        *,
        handlers: Sequence[Handler[D]] = (),
        tasks: Sequence[type[Task[D, Any]]] = (),
        state: Sequence[object] = (),
        schedules: Sequence[Schedule[D]] = (),
        max_concurrency: int | None = None,
        on_start: Callable[[DomainHandle[D]], Awaitable[None]] | None = None,
        on_stop: Callable[[DomainHandle[D]], Awaitable[None]] | None = None,
        **defaults: Unpack[TaskOptions],
    ) -> None:
        self.key = key
        self.name: str = checked_key(key).domain_name
        self.handlers = tuple(checked_items(handlers, f"domain {self.name!r}: handlers", "[send]"))
        check_cap(max_concurrency, f"domain {self.name!r}: max_concurrency")
        self.max_concurrency = max_concurrency
        for name, function in (("on_start", on_start), ("on_stop", on_stop)):
            if function is not None:
                check_async(function, f"domain {self.name!r}: {name}", "the domain's handle")
        self.on_start = on_start
        self.on_stop = on_stop
        self.defaults = defaults
        check_options(defaults, TaskOptions.__annotations__, f"domain {self.name!r}")
        self.schedules = self._schedules(schedules)
        self.state = by_type(state, f"domain {self.name!r}")
        self.codecs: Mapping[type[Task[D, Any]], Codec] = self._codecs(tasks)
        self.memos: Mapping[type[Task[D, Any]], MemoCodec] = {
            handler.task: MemoCodec(handler.task, handler.execute, handler.finalize)
            for handler in self.handlers
            if handler.finalize is not None
        }

    def __repr__(self) -> str:
        return f"Domain({self.name!r}, {len(self.handlers)} handlers)"

    def _codecs(self, tasks: Sequence[type[Task[D, Any]]]) -> dict[type[Task[D, Any]], Codec]:
        codecs: dict[type[Task[D, Any]], Codec] = {}
        names: set[str] = set()
        owner = f"domain {self.name!r}"
        for handler in self.handlers:
            if not isinstance(handler, Handler):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise ConfigurationError(
                    f"{owner}: {shown(handler)} is no handler; write @Send.handler above the "
                    "function, Send being its task class"
                )
        named = checked_items(tasks, f"{owner}: tasks", "[Send]")
        for each in named:
            checked_task_type(each, f"{owner}: tasks")
        for task in (*(handler.task for handler in self.handlers), *named):
            if task.task_domain is not self.key:
                raise ConfigurationError(
                    f"{owner} was given {task.__qualname__}, which belongs to domain "
                    f"{task.task_domain.domain_name!r}{self._twin(task.task_domain)}"
                )
            if task.task_type in names:
                raise ConfigurationError(
                    f"domain {self.name!r} has {task.task_type!r} twice; "
                    "a type has one handler and is named once"
                )
            names.add(task.task_type)
            codecs[task] = Codec(task)
        return codecs

    def _schedules(self, given: Sequence[Schedule[D]]) -> tuple[Schedule[D], ...]:
        owner = f"domain {self.name!r}"
        schedules = checked_items(given, f"{owner}: schedules", "[Schedule(...)]")
        names: set[str] = set()
        for each in schedules:
            if not isinstance(each, Schedule):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise ConfigurationError(f"{owner}: {shown(each)} is no Schedule(...)")
            if each.task.task_domain is not self.key:
                raise ConfigurationError(
                    f"{owner}: schedule {each.name!r} is of {each.task.task_type!r}, a task of "
                    "another domain"
                )
            if not any(handler.task is type(each.task) for handler in self.handlers):
                raise ConfigurationError(
                    f"{owner}: schedule {each.name!r} is of {each.task.task_type!r}, which has no "
                    "handler here"
                )
            if each.name in names:
                raise ConfigurationError(f"{owner} has two schedules named {each.name!r}")
            names.add(each.name)
        return tuple(schedules)

    def _twin(self, key: type[DomainKey]) -> str:
        return f" of {another_class(key)}" if key.domain_name == self.name else ""


def another_class(kind: type) -> str:
    """How an error names a class that has the same stored name as the one at hand."""
    return f"another class, {kind.__module__}.{kind.__qualname__}; was its module imported twice?"


def by_type(state: Iterable[object], owner: str) -> dict[type, object]:
    """The objects by their type; ConfigurationError for two of one type."""
    found: dict[type, object] = {}
    for item in checked_items(state, f"{owner}: state", "[config]"):
        check_state(item)
        if type(item) in found:
            raise ConfigurationError(
                f"{owner} was given two states of type {type(item).__qualname__}; "
                "state is found by its type, so there is one of each"
            )
        found[type(item)] = item
    return found


def one_state(states: Iterable[object], of: type[S]) -> S | None:
    """The one of exactly this type, else the one that is an instance of it; None where none is.

    MissingStateError for two instances of it.
    """
    fitting = [item for item in states if isinstance(item, of)]
    for item in fitting:
        if type(item) is of:
            return item
    if len(fitting) > 1:
        names = " and ".join(type(item).__qualname__ for item in fitting)
        raise MissingStateError(
            f"no one state of type {of.__qualname__}: {names} are both instances of it; "
            "ask for one of these"
        )
    return fitting[0] if fitting else None


def check_state(state: object) -> None:
    """Raise ConfigurationError for a class, which nobody would find by its type."""
    if isinstance(state, type):
        raise ConfigurationError(
            f"the state {state.__qualname__} is a class; pass an instance: it is found by its type"
        )
