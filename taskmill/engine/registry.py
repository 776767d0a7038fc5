"""Which task types, handlers, defaults and state this scheduler has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from taskmill.define.codec import Codec
from taskmill.define.domain import Domain, by_type
from taskmill.define.task import DomainKey, Handler, Task
from taskmill.model.errors import ConfigurationError, MissingStateError, UnknownDomainError
from taskmill.model.options import TaskOptions
from taskmill.rules.gates import Lane
from taskmill.rules.options import TypeDefaults, type_defaults

S = TypeVar("S")

INLINE = "inline"
THREAD = "thread"


@attrs.frozen(kw_only=True)
class Registration:
    """One task type as this scheduler knows it."""

    task: type[Task[Any, Any]]
    domain: str
    codec: Codec
    defaults: TypeDefaults
    handler: Handler[Any] | None
    """None for a type that is only submitted here."""

    @property
    def executor(self) -> str:
        """The name of the executor its handler runs on."""
        return THREAD if self.handler is not None and not self.handler.is_async else INLINE


class Registry:
    """The domains of one scheduler, checked against each other."""

    def __init__(
        self, domains: Iterable[Domain[Any]], state: Iterable[object], defaults: TaskOptions
    ) -> None:
        self.domains: dict[str, Domain[Any]] = {}
        self._types: dict[str, Registration] = {}
        self._state = by_type(state, "the scheduler")
        for domain in domains:
            if domain.name in self.domains:
                raise ConfigurationError(
                    f"two domains are named {domain.name!r}; "
                    "domain names are part of stored task types, so each is used once"
                )
            self.domains[domain.name] = domain
            self._register(domain, defaults)
        self.handled = frozenset(
            name for name, known in self._types.items() if known.handler is not None
        )

    def _register(self, domain: Domain[Any], defaults: TaskOptions) -> None:
        handlers = {handler.task: handler for handler in domain.handlers}
        for task, codec in domain.codecs.items():
            self._types[task.task_type] = Registration(
                task=task,
                domain=domain.name,
                codec=codec,
                defaults=type_defaults(task.task_options, domain.defaults, defaults),
                handler=handlers.get(task),
            )

    def find(self, task_type: str) -> Registration | None:
        """What is known of a stored type; None where no domain here has it."""
        return self._types.get(task_type)

    def is_handled(self, task_type: str) -> bool:
        """Whether tasks of this type can run here."""
        known = self._types.get(task_type)
        return known is not None and known.handler is not None

    def of(self, task: type[Task[Any, Any]]) -> Registration:
        """What is known of a type that is submitted here; it must have a handler."""
        known = self._types.get(task.task_type)
        if known is None or known.task is not task:
            self.domain(task.task_domain)
            raise ConfigurationError(
                f"domain {task.task_domain.domain_name!r} has no task type {task.__qualname__}; "
                "add its handler to Domain(handlers=[...])"
            )
        if known.handler is None:
            raise ConfigurationError(
                f"{task.task_type!r} has no handler here, so it would never run; "
                "add one to Domain(handlers=[...])"
            )
        return known

    def domain(self, key: type[DomainKey]) -> Domain[Any]:
        """The domain with this key; UnknownDomainError if it was not mounted."""
        found = self.find_domain(key)
        if found is None:
            names = ", ".join(sorted(self.domains)) or "none"
            raise UnknownDomainError(
                f"this scheduler has no domain {key.domain_name!r} (it has: {names}); "
                "add it to Scheduler(domains=[...])"
            )
        return found

    def find_domain(self, key: type[DomainKey]) -> Domain[Any] | None:
        """The domain with this key, if it was mounted."""
        found = self.domains.get(key.domain_name)
        return found if found is not None and found.key is key else None

    def add_state(self, state: object) -> None:
        """Make ``state`` visible to every domain, for handlers that ask from now on."""
        self._state[type(state)] = state

    def state(self, domain: str, of: type[S]) -> S:
        """The domain's state of this type, else the scheduler's."""
        scopes: tuple[Mapping[type, object], ...] = (self.domains[domain].state, self._state)
        for scope in scopes:
            exact = scope.get(of)
            if isinstance(exact, of):
                return exact
            for item in scope.values():
                if isinstance(item, of):
                    return item
        raise MissingStateError(
            f"no state of type {of.__qualname__}: neither Domain(..., state=[...]) of {domain!r} "
            "nor Scheduler(..., state=[...]) has one"
        )

    def lane(self, task_type: str, group: str | None) -> Lane:
        """The lane of the tasks of this type in this group."""
        known = self._types.get(task_type)
        return Lane(
            type=task_type,
            group=group,
            domain=task_type.partition("::")[0] if known is None else known.domain,
            executor=INLINE if known is None else known.executor,
        )
