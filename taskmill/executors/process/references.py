"""How functions and exceptions are named, so that another process finds the same ones."""

from __future__ import annotations

import copyreg
import importlib
import io
import pickle
import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, TypeAlias, cast

import attrs

from taskmill.define.task import Handler
from taskmill.executors.base import RemoteError
from taskmill.executors.failures import MAX_MESSAGE, MAX_TRACEBACK, name_of, said, trace_of
from taskmill.model.errors import ConfigurationError
from taskmill.model.secret import Secret


@attrs.frozen
class Named:
    """A function at the top level of a module."""

    module: str
    name: str


Reference: TypeAlias = Named | bytes
"""A function by its name, or pickled: a partial, say, or an object that can be called."""


@attrs.frozen(kw_only=True)
class Parts:
    """What a `Handler` is made of."""

    task: bytes
    execute: Reference
    finalize: Reference | None
    on_cancel: Reference | None


def parts_of(handler: Handler[Any]) -> Parts:
    """Name the parts of a handler; ConfigurationError for one that no other process would find."""
    of = f"of {handler.task.task_type!r}"
    try:
        task = dumps(handler.task)
    except Exception as error:
        raise ConfigurationError(
            f"the task class {handler.task.__qualname__} cannot be found by its name, as worker "
            f"processes have to; define it at the top level of a module ({error})"
        ) from error
    check_main(handler.task.__module__, f"the task class {handler.task.__qualname__}")
    finalize, on_cancel = handler.finalize, handler.on_cancel
    return Parts(
        task=task,
        execute=reference_to(handler.execute, f"the handler {of}"),
        finalize=None if finalize is None else reference_to(finalize, f"finalize {of}"),
        on_cancel=None if on_cancel is None else reference_to(on_cancel, f"on_cancel {of}"),
    )


def handler_of(parts: Parts) -> Handler[Any]:
    """Find the parts of a handler; whatever importing them raises comes out."""
    return Handler(
        task=pickle.loads(parts.task),  # noqa: S301 - from the process that started this one
        execute=found(parts.execute),
        finalize=None if parts.finalize is None else found(parts.finalize),
        on_cancel=None if parts.on_cancel is None else found(parts.on_cancel),
    )


def reference_to(function: Callable[..., Any], what: str) -> Reference:
    """How another process finds this function; ConfigurationError where it would not."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if isinstance(module, str) and isinstance(name, str):
        check_main(module, what)
        named = Named(module, name)
        try:
            if found(named) is function:
                return named
        except (ImportError, AttributeError):
            pass
    try:
        return dumps(function)
    except Exception as error:
        raise ConfigurationError(
            f"{what}, {function!r:.100}, cannot be found by its name, as worker processes have to; "
            "define it at the top level of a module"
        ) from error


def found(reference: Reference) -> Callable[..., Any]:
    """The function that a reference names."""
    if isinstance(reference, bytes):
        pickled: Callable[..., Any] = pickle.loads(reference)  # noqa: S301 - as above
        return pickled
    at: Any = importlib.import_module(reference.module)
    for step in reference.name.split("."):
        at = getattr(at, step)
    reached: Callable[..., Any] | Handler[Any] = at
    if not isinstance(reached, Handler):
        return reached
    for function in (reached.execute, reached.finalize, reached.on_cancel):  # it was decorated
        if getattr(function, "__qualname__", None) == reference.name and function is not None:
            return function
    raise AttributeError(f"{reference.module}.{reference.name} is a handler of something else")


def check_main(module: str, what: str) -> None:
    """Refuse what lives in a main module that cannot be imported again."""
    main = sys.modules.get("__main__")
    if module == "__main__" and not hasattr(main, "__file__") and not getattr(main, "__spec__", 0):
        raise ConfigurationError(
            f"{what} is defined in an interactive session, which worker processes cannot import; "
            "put it into a module"
        )


def dumps(value: object) -> bytes:
    """Pickle a value; the read-only mappings of records travel too."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(value)
    return buffer.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, buffer: io.BytesIO) -> None:
        super().__init__(buffer, pickle.HIGHEST_PROTOCOL)
        self.dispatch_table = {**copyreg.dispatch_table, MappingProxyType: _reduced}

    def reducer_override(self, obj: Any) -> Any:
        """Take exceptions apart without asking their classes, which often cannot do it.

        A Secret travels between a scheduler and its own workers, and is pickled nowhere else.
        """
        if isinstance(obj, Secret):
            return Secret, (obj.reveal(),)
        return (remade, _pieces(obj)) if issubclass(type(obj), BaseException) else NotImplemented


def _reduced(mapping: MappingProxyType[Any, Any]) -> tuple[Callable[..., Any], tuple[object]]:
    return read_only, (dict(mapping),)


def read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """A mapping as records have it; its class itself has no name that pickle could find."""
    return MappingProxyType(mapping)


# --- exceptions ----------------------------------------------------------------------------------

_Pieces: TypeAlias = tuple[type[BaseException], tuple[Any, ...], dict[str, Any]]
"""The class of an exception, the arguments of its builtin base, and its attributes."""


@attrs.frozen(kw_only=True)
class Thrown:
    """An exception on its way to another process."""

    type: str
    message: str
    trace: str
    itself: bytes | None
    """Its class, arguments and attributes, pickled; None where they cannot be."""


def thrown(error: BaseException) -> Thrown:
    """Describe an exception, and pack what can be packed of it; never raises."""
    return Thrown(
        type=_of_main(name_of(error)),
        message=said(lambda: str(error), "str()")[:MAX_MESSAGE],
        trace=_of_main(trace_of(error))[-MAX_TRACEBACK:],
        itself=_packed(error),
    )


def caught(sent: Thrown) -> BaseException:
    """The exception that was sent; a RemoteError where its class is not known here.

    What its ``str()`` says is in `Thrown.message`: that may need what could not be packed.
    """
    try:
        if sent.itself is not None:
            error: BaseException = pickle.loads(sent.itself)  # noqa: S301 - as above
            return error
    except BaseException:  # noqa: BLE001, S110 - whatever its class makes of that
        pass
    return RemoteError(sent.type, sent.message)


def remade(
    kind: type[BaseException], arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> BaseException:
    """Put an exception together without calling its class, whose parameters may be any."""
    base = _builtin(kind)
    error = base.__new__(kind, *arguments)
    base.__init__(error, *arguments)
    for name, item in attributes.items():
        object.__setattr__(error, name, item)
    return error


def _packed(error: BaseException) -> bytes | None:
    """An exception, or at least what of it can be packed, if its class can."""
    try:
        if can_travel(error):
            return dumps(error)
        kind, arguments, attributes = _pieces(error)
        if not can_travel(arguments):
            arguments = (said(lambda: str(error), "str()"),)
        kept = {name: item for name, item in attributes.items() if can_travel(item)}
        packed = dumps(remade(kind, arguments, kept))
        pickle.loads(packed)  # noqa: S301 - just made
    except BaseException:  # noqa: BLE001 - whatever its class makes of that
        return None
    return packed


def _pieces(error: BaseException) -> _Pieces:
    kind = type(error)
    reduced: Any = _builtin(kind).__reduce__(error)
    _, arguments, *state = reduced
    attributes: dict[str, Any] = dict(*state)
    held: object = object.__getstate__(error)
    if isinstance(held, tuple):  # of its __dict__ and its slots
        attributes.update(cast("tuple[Any, dict[str, Any]]", held)[1])
    return kind, tuple(arguments), attributes


def _builtin(kind: type[BaseException]) -> type[BaseException]:
    """The class that the interpreter itself made of its bases: what it needs, it reduces to."""
    return next(base for base in kind.__mro__ if base.__module__ == "builtins")


def _of_main(text: str) -> str:
    """Names as the scheduler's process has them: a worker knows its main module by another."""
    return text.replace("__mp_main__.", "__main__.")


def can_travel(item: object) -> bool:
    """Whether another process can be sent this."""
    try:
        pickle.loads(dumps(item))  # noqa: S301 - just made
    except BaseException:  # noqa: BLE001 - whatever its class makes of that
        return False
    return True
