"""Which task types, handlers, defaults and state this scheduler has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import attrs

from taskmill.define.codec import Codec, MemoCodec
from taskmill.define.domain import Domain, another_class, by_type, check_state, one_state
from taskmill.define.task import DomainKey, Handler, Task, checked_key, checked_task_type
from taskmill.engine.placing import Placing, TypeRoute
from taskmill.executors.routine import Routine
from taskmill.model.errors import ConfigurationError, MissingStateError, UnknownDomainError
from taskmill.model.limits import checked_items
from taskmill.model.options import TaskOptions
from taskmill.model.showing import shown
from taskmill.rules.limits import Kind
from taskmill.rules.options import TypeDefaults, type_defaults

S = TypeVar("S")


@attrs.frozen(kw_only=True)
class Registration:
    """One task type as this scheduler knows it."""

    task: type[Task[Any, Any]]
    domain: str
    codec: Codec
    defaults: TypeDefaults
    routine: Routine | None
    """None for a type that is only submitted here."""
    route: TypeRoute | None
    """Where it runs; None with its handler."""

    @property
    def handler(self) -> Handler[Any] | None:
        """The handler of the type, where it has one here."""
        return None if self.routine is None else self.routine.handler

    @property
    def memo(self) -> MemoCodec | None:
        """For what its handler returns, where that has a ``finalize``."""
        return None if self.routine is None else self.routine.memo


class Registry:
    """The domains of one scheduler, checked against each other."""

    def __init__(
        self,
        domains: Iterable[Domain[Any]],
        state: Iterable[object],
        defaults: TaskOptions,
        placing: Placing,
        *,
        only_submits: bool = False,
    ) -> None:
        self._only_submits = only_submits
        self.domains: dict[str, Domain[Any]] = {}
        self._types: dict[str, Registration] = {}
        self._state = by_type(state, "the scheduler")
        for domain in checked_items(domains, "domains", "[mail_domain()]"):
            if not isinstance(domain, Domain):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
                raise ConfigurationError(
                    f"domains takes Domain(...) objects, not {shown(domain)}; "
                    "call the function that makes the domain"
                )
            if domain.name in self.domains:
                raise ConfigurationError(
                    f"two domains are named {domain.name!r}; "
                    "domain names are part of stored task types, so each is used once"
                )
            self.domains[domain.name] = domain
            self._register(domain, defaults, placing)
        placing.report_idle(name for name, known in self._types.items() if known.route)

    def _register(self, domain: Domain[Any], defaults: TaskOptions, placing: Placing) -> None:
        handlers = {handler.task: handler for handler in domain.handlers}
        for task, codec in domain.codecs.items():
            handler = handlers.get(task)
            self._types[task.task_type] = Registration(
                task=task,
                domain=domain.name,
                codec=codec,
                defaults=type_defaults(task.task_options, domain.defaults, defaults),
                routine=handler and Routine(handler, codec, domain.memos.get(task)),
                route=handler and placing.place(handler),
            )

    def find(self, task_type: str) -> Registration | None:
        """What is known of a stored type; None where no domain here has it."""
        return self._types.get(task_type)

    def types(self) -> list[str]:
        """The stored names of all types that the domains here have."""
        return list(self._types)

    def by_domain(self) -> list[tuple[str, str]]:
        """The same, each after the name of its domain."""
        return [(known.domain, name) for name, known in self._types.items()]

    def is_handled(self, task_type: str) -> bool:
        """Whether tasks of this type can run here."""
        known = self._types.get(task_type)
        return known is not None and known.handler is not None

    def of(self, task: Task[Any, Any]) -> Registration:
        """What is known of the type of a task that is submitted here; it must have a handler."""
        kind = type(task)
        known = self._types.get(getattr(kind, "task_type", ""))
        if known is None or known.task is not kind:
            raise self._not_submitted(task, known)
        if known.handler is None and not self._only_submits:
            raise ConfigurationError(
                f"{kind.task_type!r} has no handler here, so it would never run; "
                "add one to Domain(handlers=[...])"
            )
        return known

    def type_of(self, task: object) -> str:
        """The stored name of a task class that is mounted here."""
        kind = checked_task_type(task, "a rate")
        self.domain(kind.task_domain)
        known = self._types.get(kind.task_type)
        if known is None or known.task is not kind:
            raise ConfigurationError(
                f"domain {kind.task_domain.domain_name!r} has no task type {kind.__qualname__}; "
                "add its handler to Domain(handlers=[...])"
            )
        return kind.task_type

    def _not_submitted(
        self, task: Task[Any, Any], known: Registration | None
    ) -> ConfigurationError:
        """Why what was submitted is nothing that could run here."""
        _check_task(task)
        kind = type(task)
        self.domain(kind.task_domain)
        if known is None:
            return ConfigurationError(
                f"domain {kind.task_domain.domain_name!r} has no task type {kind.__qualname__}; "
                "add its handler to Domain(handlers=[...])"
            )
        return ConfigurationError(
            f"{kind.task_type!r} is mounted here as {another_class(known.task)} "
            f"What was submitted is a {kind.__module__}.{kind.__qualname__}"
        )

    def domain(self, key: type[DomainKey]) -> Domain[Any]:
        """The domain with this key; UnknownDomainError if it was not mounted."""
        found = self.find_domain(key)
        if found is None and key.domain_name in self.domains:
            twin = another_class(self.domains[key.domain_name].key)
            raise UnknownDomainError(
                f"domain {key.domain_name!r} is mounted here with {twin} "
                f"What was asked for is {key.__module__}.{key.__qualname__}"
            )
        if found is None:
            names = ", ".join(sorted(self.domains)) or "none"
            raise UnknownDomainError(
                f"this scheduler has no domain {key.domain_name!r} (it has: {names}); "
                "add it to Scheduler(domains=[...])"
            )
        return found

    def find_domain(self, key: type[DomainKey]) -> Domain[Any] | None:
        """The domain with this key, if it was mounted."""
        found = self.domains.get(checked_key(key).domain_name)
        return found if found is not None and found.key is key else None

    def add_state(self, state: object) -> None:
        """Make ``state`` visible to every domain, for handlers that ask from now on."""
        check_state(state)
        self._state[type(state)] = state

    def state(self, domain: str, of: type[S]) -> S:
        """The domain's state of this type, else the scheduler's.

        In each, the one of exactly this type comes before the one of a subclass.
        """
        scopes: tuple[Mapping[type, object], ...] = (self.domains[domain].state, self._state)
        for scope in scopes:
            found = one_state(scope.values(), of)
            if found is not None:
                return found
        raise MissingStateError(
            f"no state of type {of.__qualname__}: neither Domain(..., state=[...]) of {domain!r} "
            "nor Scheduler(..., state=[...]) has one"
        )

    def routes(self) -> list[TypeRoute]:
        """Where the types that have a handler here run, by their names."""
        routes = (known.route for known in self._types.values())
        return sorted((r for r in routes if r is not None), key=lambda route: route.type)

    def kinds(self) -> dict[str, Kind]:
        """What the limits look at in each type."""
        return {
            name: Kind(
                type=name,
                domain=known.domain,
                executor="" if known.route is None else known.route.executor,
                io=known.task.task_options.get("io"),
                is_handled=known.handler is not None,
                has_undo=known.handler is not None and known.handler.on_cancel is not None,
            )
            for name, known in self._types.items()
        }


def _check_task(task: object) -> None:
    if not isinstance(task, Task):
        example = f"{task.__name__}(...)" if isinstance(task, type) else "Send(...)"
        raise ConfigurationError(
            f"what is submitted is a task, such as {example}, not {shown(task)}"
        )
