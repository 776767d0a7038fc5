"""What a task type is: the domain's key, the payload class, and its handler."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
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
from taskmill.model.options import ClassOptions, check_options
from taskmill.model.showing import shown

if TYPE_CHECKING:
    from taskmill.define.context import Context


class DomainKey:
    """The identity of a domain: subclass it with ``name=``; it is never instantiated."""

    domain_name: ClassVar[str]

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str) -> None: ...

    else:  # a missing name is our own error

        def __init_subclass__(cls, *, name=None) -> None:
            super().__init_subclass__()
            example = f"class {cls.__name__}(DomainKey, name=...)"
            cls.domain_name = checked_name(name, "a domain", example)

    def __new__(cls) -> Self:
        raise ConfigurationError(
            f"{cls.__name__} is an identity: pass the class itself, not an instance"
        )


D = TypeVar("D", bound=DomainKey)
R = TypeVar("R", default=None)
M = TypeVar("M")
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

    if TYPE_CHECKING:

        def __init_subclass__(cls, *, name: str, **options: Unpack[ClassOptions]) -> None: ...

    else:  # a missing name is our own error

        def __init_subclass__(cls, *, name=None, **options) -> None:
            super().__init_subclass__()
            _declare(cls, name, options)

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
    def handler(
        cls,
        execute: Callable[[Self, Context[D]], Awaitable[R]],
        *,
        on_cancel: Callable[[Self, Context[D]], Awaitable[None]] | None = None,
    ) -> Handler[D]: ...
    @overload
    @classmethod
    def handler(
        cls,
        execute: Callable[[Self, Context[D]], Awaitable[M]],
        *,
        finalize: Callable[[Self, M, Context[D]], Awaitable[R]],
        on_cancel: Callable[[Self, Context[D]], Awaitable[None]] | None = None,
    ) -> Handler[D]: ...
    @overload
    @classmethod
    def handler(
        cls,
        execute: Callable[[Self, Context[D]], R],
        *,
        on_cancel: Callable[[Self, Context[D]], None] | None = None,
    ) -> Handler[D]: ...
    @overload
    @classmethod
    def handler(
        cls,
        execute: Callable[[Self, Context[D]], M],
        *,
        finalize: Callable[[Self, M, Context[D]], R],
        on_cancel: Callable[[Self, Context[D]], None] | None = None,
    ) -> Handler[D]: ...
    @classmethod
    def handler(
        cls,
        execute: Callable[[Self, Context[D]], Any],
        *,
        finalize: Callable[[Self, Any, Context[D]], Any] | None = None,
        on_cancel: Callable[[Self, Context[D]], Any] | None = None,
    ) -> Handler[D]:
        """Pair this type with the function that runs it; also a decorator.

        Coroutine functions run in the event loop, plain ones in a thread; all of one handler are
        of one kind. ``finalize`` runs once the function has returned and all its children have
        ended; it gets what the function returned, and its own result is the task's. ``on_cancel``
        runs when the task is cancelled or superseded after the function has started.
        """
        if cls is Task:
            raise ConfigurationError(
                "Task.handler would be of no type: write the decorator of your own, @Send.handler"
            )
        return Handler(task=cls, execute=execute, finalize=finalize, on_cancel=on_cancel)

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
    finalize: Callable[[Any, Any, Context[D]], Any] | None = None
    on_cancel: Callable[[Any, Context[D]], Any] | None = None
    is_async: bool = attrs.field(init=False, eq=False, repr=False)
    """Whether it runs in the event loop rather than in a thread."""

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "is_async", _is_async(self.execute))  # frozen, and asked often
        of = f"of {self.task.task_type!r}"
        _check_function(self.execute, f"the handler {of}", 2)
        if self.finalize is not None:
            _check_function(self.finalize, f"finalize {of}", 3)
        if self.on_cancel is not None:
            _check_function(self.on_cancel, f"on_cancel {of}", 2)
        for function in (self.finalize, self.on_cancel):
            if function is not None and _is_async(function) is not self.is_async:
                raise ConfigurationError(
                    f"{function!r} and {self.execute!r} {of} run in different places: make both "
                    "async def, or both plain functions"
                )


def checked_name(name: object, what: str, example: str) -> str:
    """Return ``name`` if it can be part of a qualified type name."""
    if name is None:
        raise ConfigurationError(f"{what} needs a name, which is stored: {example}")
    if (
        not isinstance(name, str)
        or not name
        or "::" in name
        or name[0] == ":"
        or name[-1] == ":"
        or " " in name
        or not name.isprintable()
    ):
        raise ConfigurationError(
            f"{what} cannot be named {shown(name)}: a name is text, not empty, has no '::' and "
            "no ':' at its ends, no white space and nothing unprintable"
        )
    return name


def checked_key(key: object) -> type[DomainKey]:
    """Return ``key`` if it is the key of a domain."""
    given = key
    if isinstance(key, type) and issubclass(key, DomainKey) and key is not DomainKey:
        return key
    raise ConfigurationError(
        f"a domain is named by its key, a class such as "
        f'class Mail(DomainKey, name="mail"), not by {shown(given)}'
    )


def checked_task_type(task: object, what: str) -> type[Task[Any, Any]]:
    """Return ``task`` if it is a task class."""
    given = task
    if isinstance(task, type) and issubclass(task, Task) and task is not Task:
        return task  # pyright: ignore[reportUnknownVariableType] - of any domain and result
    raise ConfigurationError(f"{what} takes a task class, such as Send, not {shown(given)}")


def _declare(cls: type[Task[Any, Any]], name: object, options: ClassOptions) -> None:
    """Make ``cls`` a task type: name it, check what it says, and make an attrs class of it."""
    domain, result = _type_arguments(cls)
    cls.task_domain = domain
    cls.task_result = result
    example = f"class {cls.__name__}(Task[{domain.__name__}], name=...)"
    cls.task_name = checked_name(name, "a task type", example)
    cls.task_type = f"{domain.domain_name}::{name}"
    check_options(options, ClassOptions.__annotations__, cls.__qualname__)
    cls.task_options = options
    _check_shape(cls)
    for field in inspect.get_annotations(cls):
        if field in RESERVED or field.startswith("task_"):
            raise ConfigurationError(
                f"{cls.__qualname__}.{field}: payload fields cannot be named "
                f"{', '.join(sorted(RESERVED))} or start with 'task_'; rename the field"
            )
    attrs.define(cls, frozen=True, kw_only=True, slots=False)
    parts: Iterable[attrs.Attribute[Any]] = cls.__dict__["__attrs_attrs__"]
    for part in parts:
        _check_default(part.default, f"{cls.__qualname__}.{part.name}")


def _check_shape(cls: type[Task[Any, Any]]) -> None:
    """Refuse a type whose fields are open, or not those that its annotations promise."""
    free: tuple[object, ...] = getattr(cls, "__parameters__", ())
    if free:
        raise ConfigurationError(
            f"{cls.__qualname__} leaves {', '.join(map(str, free))} open; a stored type has one "
            "shape: name the types themselves, and make a task type for each"
        )
    for base in cls.__mro__[1:]:
        fields = [
            field
            for field, annotation in inspect.get_annotations(base).items()
            if "ClassVar" not in str(annotation)
        ]
        if fields and base.__module__ != __name__ and not attrs.has(base):
            raise ConfigurationError(
                f"{cls.__qualname__}: {base.__qualname__}.{fields[0]} is annotated in a plain "
                f"class, so it is no field; put @attrs.frozen(kw_only=True) on {base.__qualname__}"
            )


def _check_default(default: object, what: str) -> None:
    """Refuse a default that all tasks of the type would share and could change."""
    if isinstance(default, dataclasses.Field):
        raise ConfigurationError(
            f"{what}: a task type is an attrs class, not a dataclass; write "
            "attrs.field(factory=list)"
        )
    if type(default).__hash__ is None:  # as dataclasses tell what can change
        kind = type(default).__name__
        raise ConfigurationError(
            f"{what}: all tasks would share the default {shown(default)}; write "
            f"attrs.field(factory={kind})"
        )


def _check_function(function: object, what: str, arguments: int) -> None:
    takes = "the task and the context"
    if arguments == 3:
        takes = "the task, what the handler returned and the context"
    if not callable(function):
        raise ConfigurationError(f"{what} must be a function of {takes}, not {function!r}")
    if _is(inspect.isgeneratorfunction, function) or _is(inspect.isasyncgenfunction, function):
        raise ConfigurationError(f"{what} yields; it returns its result once: {function!r}")
    try:
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # some built-in functions cannot say
    try:
        signature.bind(*[None] * arguments)
    except TypeError as error:
        raise ConfigurationError(
            f"{what} is called with {takes}, which {function!r} does not take: {error}"
        ) from None


def check_async(function: object, what: str, takes: str) -> None:
    """Raise ConfigurationError for what is no coroutine function of one argument."""
    if not callable(function) or not _is_async(function):
        raise ConfigurationError(f"{what} must be an async def of {takes}, not {shown(function)}")
    try:
        inspect.signature(function, follow_wrapped=False).bind(None)
    except TypeError as error:
        raise ConfigurationError(f"{what} is called with {takes}: {error}") from None


def _is_async(function: object) -> bool:
    return _is(inspect.iscoroutinefunction, function)


def _is(kind: Callable[[Any], bool], function: Any) -> bool:
    """Whether a function, or what an object or a partial calls, is of this kind."""
    while isinstance(function, partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of any function
    return kind(function) or kind(getattr(function, "__call__", None))  # noqa: B004 - an object with `async def __call__`


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
