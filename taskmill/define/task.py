"""What a task type is: the domain's key, the payload class, and its handler."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Protocol,
    Self,
    cast,
    dataclass_transform,
    final,
    get_args,
    get_origin,
    overload,
)

import attrs
from typing_extensions import TypeVar, Unpack, get_original_bases

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_options
from taskmill.model.options import ClassOptions

if TYPE_CHECKING:
    from taskmill.define.context import Context


class DomainKey:
    """The identity of a domain: subclass it with ``name=``; it is never instantiated."""

    domain_name: ClassVar[str]

    def __init_subclass__(cls, *, name: str) -> None:
        super().__init_subclass__()
        cls.domain_name = checked_name(name, "a domain")

    def __new__(cls) -> Self:
        raise ConfigurationError(
            f"{cls.__name__} is an identity: pass the class itself, not an instance"
        )


D = TypeVar("D", bound=DomainKey)
R = TypeVar("R", default=None)
D_co = TypeVar("D_co", bound=DomainKey, covariant=True)
T_co = TypeVar("T_co", bound="Task[Any, Any]", covariant=True)
R_co = TypeVar("R_co", covariant=True)

RESERVED = frozenset({"handler"})
"""Names a payload field cannot have, besides those that start with ``task_``."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,))
class Task(Generic[D, R]):
    """Base of task types: ``class Fetch(Task[Ingest], name="fetch"): url: str``.

    The base makes each subclass a frozen, keyword-only attrs class: its fields are the payload.
    The first type argument is the domain, the second the result type (None when left out).
    Class keywords are `ClassOptions`.
    """

    task_type: ClassVar[str]
    """Qualified and stored with every task: ``"ingest::fetch"``."""
    task_name: ClassVar[str]
    task_domain: ClassVar[type[DomainKey]]
    task_result: ClassVar[Any]
    """The annotation of the result."""
    task_options: ClassVar[ClassOptions]

    def __init_subclass__(cls, *, name: str, **options: Unpack[ClassOptions]) -> None:
        super().__init_subclass__()
        domain, result = _type_arguments(cls)
        cls.task_domain = domain
        cls.task_result = result
        cls.task_name = checked_name(name, "a task type")
        cls.task_type = f"{domain.domain_name}::{name}"
        check_options(options, ClassOptions.__annotations__, cls.__qualname__)
        cls.task_options = options
        for field in inspect.get_annotations(cls):
            if field in RESERVED or field.startswith("task_"):
                raise ConfigurationError(
                    f"{cls.__qualname__}.{field}: payload fields cannot be named "
                    f"{', '.join(sorted(RESERVED))} or start with 'task_'; rename the field"
                )
        attrs.define(cls, frozen=True, kw_only=True, slots=False)

    def task_key(self) -> str | None:
        """The dedup identity within this type; None means the whole payload."""
        return None

    def task_label(self) -> str | None:
        """How people see this task; None means its qualified type."""
        return None

    def task_tags(self) -> Mapping[str, str]:
        """Tags of this payload, merged over those of the class and the domain."""
        return {}

    def task_group(self) -> str | None:
        """The group of this payload; None inherits the class's or the domain's."""
        return None

    @overload
    @classmethod
    def handler(cls, execute: Callable[[Self, Context[D]], Awaitable[R]]) -> Handler[D]: ...
    @overload
    @classmethod
    def handler(cls, execute: Callable[[Self, Context[D]], R]) -> Handler[D]: ...
    @classmethod
    def handler(cls, execute: Callable[[Self, Context[D]], Any]) -> Handler[D]:
        """Pair this type with the function that runs it; also a decorator.

        A coroutine function runs in the event loop, a plain function in a thread.
        """
        return Handler(task=cls, execute=execute)

    @classmethod
    def task_projected(cls) -> tuple[type[D], type[Self], type[R]]:
        """For type checkers: what lets `events(Fetch)` know the domain, payload and result."""
        return cast("type[D]", cls.task_domain), cls, cast("type[R]", cls.task_result)


class TaskType(Protocol[D_co, T_co, R_co]):
    """A task class, seen as the domain, payload and result types it carries."""

    def task_projected(self) -> tuple[type[D_co], type[T_co], type[R_co]]:
        """The three types."""
        ...


@final
@attrs.frozen(kw_only=True)
class Handler(Generic[D]):
    """A task type with the function that runs it; a value for ``Domain(handlers=[...])``."""

    task: type[Task[D, Any]]
    execute: Callable[[Any, Context[D]], Any]

    @property
    def is_async(self) -> bool:
        """Whether it runs in the event loop rather than in a thread."""
        function: Any = self.execute
        while isinstance(function, partial):
            function = function.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of any function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with `async def __call__`
        )


def checked_name(name: str, what: str) -> str:
    """Return ``name`` if it can be part of a qualified type name."""
    if not name or "::" in name or " " in name or not name.isprintable():
        raise ConfigurationError(
            f"{what} cannot be named {name!r}: "
            "a name is not empty and has no '::', no white space and nothing unprintable"
        )
    return name


def _type_arguments(cls: type[Task[Any, Any]]) -> tuple[type[DomainKey], Any]:
    for base in cls.__bases__:
        if base is not Task and issubclass(base, Task):
            raise ConfigurationError(
                f"{cls.__qualname__} subclasses the task type {base.__qualname__}; "
                "a stored type has one shape: make both subclasses of Task"
            )
    for base in get_original_bases(cls):
        if get_origin(base) is Task:
            domain, *rest = get_args(base)
            if (
                isinstance(domain, type)
                and issubclass(domain, DomainKey)
                and domain is not DomainKey
            ):
                return domain, _none_result(rest)
    raise ConfigurationError(
        f"{cls.__qualname__} does not say its domain; "
        f"write class {cls.__name__}(Task[MyDomain], name=...)"
    )


def _none_result(rest: list[Any]) -> Any:
    return None if not rest or rest[0] is type(None) else rest[0]
