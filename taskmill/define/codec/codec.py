"""How a payload and a result become JSON and come back."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, final, get_type_hints

from taskmill.define.codec.containers import canonical_json
from taskmill.define.codec.hints import Scope, resolve
from taskmill.define.codec.scalars import Misfit, Shape, is_dict, is_list
from taskmill.define.codec.types import ShapeFinder
from taskmill.model.errors import ConfigurationError, PayloadError, PayloadTooLarge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from taskmill.define.task import Task

MAX_BYTES = 1_048_576
"""The most bytes of UTF-8 a payload or a result may have."""


@final
class Codec:
    """Turns the payloads and results of one task type into canonical JSON, and back.

    The JSON of a payload depends on its value alone: keys and sets are sorted, NaN is refused.
    Every value comes back equal and with its exact type, or is refused: a bool is no int, a
    StrEnum no str, a subclass not its base. Two things change: an int in a float field comes back
    as the float it equals, and a dict in the order of its keys' text.

    Made once per type: ConfigurationError if an annotation cannot be resolved or stored.
    """

    def __init__(self, task: type[Task[Any, Any]]) -> None:
        finder = ShapeFinder()
        name = task.__qualname__
        self._name = name
        try:
            self._payload = finder.shape(task, Scope(label=name, owner=task))
        except RecursionError:
            raise ConfigurationError(
                f"{name}: a generic class contains itself with ever larger arguments; "
                "give the inner one the same arguments as the outer one"
            ) from None
        self._result_name = f"result of {name}"
        self._result: Shape | None = None
        if task.task_result is not None:
            scope = Scope(label=self._result_name, owner=task)
            if resolve(task.task_result, scope) is not type(None):
                self._result = finder.shape(task.task_result, scope)

    def encode(self, task: Task[Any, Any]) -> str:
        """Return the canonical JSON of a payload.

        PayloadError names the field that cannot be stored; PayloadTooLarge beyond `MAX_BYTES`.
        """
        return _encode(self._payload, task, self._name)

    def decode(self, text: str) -> Any:
        """Return the payload; PayloadError names the field that does not fit its type any more.

        A field that is missing takes its default.
        """
        return _decode(self._payload, text, self._name)

    def encode_result(self, value: object) -> str | None:
        """Return the canonical JSON of a result, None for the None of a type without a result.

        Raises as `encode` does.
        """
        if self._result is not None:
            return _encode(self._result, value, self._result_name)
        if value is None:
            return None
        raise PayloadError(
            f"{self._result_name}: expects None, got {type(value).__qualname__}; the type declares "
            "no result: name it as the second argument of Task, or return nothing"
        )

    def decode_result(self, text: str | None) -> Any:
        """Return the result; PayloadError if it does not fit the declared type any more."""
        if self._result is None:
            if text is None:
                return None
            raise PayloadError(
                f"{self._result_name}: a result is stored, but the type declares none; "
                "name its type as the second argument of Task"
            )
        if text is None:
            raise PayloadError(
                f"{self._result_name}: none is stored, but the type declares {self._result.name}"
            )
        return _decode(self._result, text, self._result_name)


@final
class MemoCodec:
    """Turns what a handler returns for its ``finalize`` into JSON, and back.

    Its type is that of the parameter of ``finalize``, else what the handler is annotated to
    return; without both it must be plain JSON.
    """

    def __init__(
        self, task: type[Task[Any, Any]], execute: Callable[..., Any], finalize: Callable[..., Any]
    ) -> None:
        self._name = f"what the handler of {task.__qualname__} returns for its finalize"
        meant = _memo_type(execute, finalize, self._name)
        self._shape = ShapeFinder().shape(meant, Scope(label=self._name, owner=task))

    def encode(self, value: object) -> str:
        """Return the canonical JSON; PayloadError for what does not fit."""
        return _encode(self._shape, value, self._name)

    def decode(self, text: str | None) -> Any:
        """Return the value; PayloadError if what is stored does not fit any more."""
        return None if text is None else _decode(self._shape, text, self._name)


def _memo_type(execute: Callable[..., Any], finalize: Callable[..., Any], name: str) -> Any:
    for function, index in ((finalize, 1), (execute, None)):
        try:
            hints = get_type_hints(inspect.unwrap(function))
            names = [*inspect.signature(function).parameters]
        except NameError as error:
            raise ConfigurationError(
                f"{name}: {error.name!r} in the annotations of {function!r} cannot be resolved; "
                "define it in the module, and import it at run time"
            ) from error
        except (TypeError, ValueError, AttributeError):
            continue
        at = "return" if index is None else names[index] if len(names) > index else ""
        if at in hints:
            return hints[at]
    return Any


def _encode(shape: Shape, value: object, name: str) -> str:
    try:
        tree = shape.write(value)
        text, size = _text_and_size(tree, name)
    except Misfit as misfit:
        raise _payload_error(name, misfit) from misfit.__cause__
    except RecursionError:
        raise PayloadError(
            f"{name}: is nested too deeply, or contains itself; flatten it"
        ) from None
    _check_size(size, name)
    return text


def check_size(text: str, name: str) -> None:
    """Raise PayloadTooLarge for JSON that is over the limit; ``name`` says whose it is."""
    _check_size(len(text.encode("utf-8", "surrogatepass")), name)


def _check_size(size: int, name: str) -> None:
    if size > MAX_BYTES:
        raise PayloadTooLarge(
            f"{name}: is {size:,} bytes as JSON, the limit is {MAX_BYTES:,}; "
            "store the content elsewhere and pass its path or key"
        )


def _text_and_size(tree: object, name: str) -> tuple[str, int]:
    try:
        text = canonical_json(tree)
        return text, len(text.encode())
    except ValueError as error:  # what only the whole text shows: lone surrogates, huge ints
        path = next(_unwritable(tree), "")[:_MOST_OF_A_PATH]
        raise PayloadError(f"{name}{path}: cannot be JSON in UTF-8: {error}") from None


def _decode(shape: Shape, text: str, name: str) -> Any:
    try:
        return shape.read(_parsed(text), None)
    except Misfit as misfit:
        raise _payload_error(name, misfit) from misfit.__cause__
    except RecursionError:
        raise PayloadError(f"{name}: what is stored is nested too deeply") from None
    except ValueError as error:
        raise PayloadError(f"{name}: what is stored is not JSON: {error}") from None


def _parsed(text: str) -> object:
    tree, end = _DECODER.raw_decode(text)
    return tree if end == len(text) else _DECODER.decode(text)  # which allows for blanks


def _payload_error(name: str, misfit: Misfit) -> PayloadError:
    error = PayloadError(f"{name}{misfit.path[:_MOST_OF_A_PATH]}: {misfit.problem}")
    error.gist = f"{name}{_INDEX.sub('[...]', misfit.path)[:_MOST_OF_A_PATH]}: {misfit.gist}"
    return error


_MOST_OF_A_KEY, _MOST_OF_A_PATH = 100, 1000
"""Characters: a key can be of any length, and any depth has a key."""
_INDEX = re.compile(r"\[[^\]]*\]")


def _unwritable(tree: object) -> Iterator[str]:
    """Yield the path to each part of the JSON that has no text in UTF-8."""
    if is_dict(tree):
        for key, item in tree.items():
            name = f".{key}" if str(key).isidentifier() else f"[{key!a}]"
            step = name[:_MOST_OF_A_KEY]
            if not _is_writable(key):
                yield step
            yield from (step + path for path in _unwritable(item))
    elif is_list(tree):
        for index, item in enumerate(tree):
            yield from (f"[{index}]{path}" for path in _unwritable(item))
    elif not _is_writable(tree):
        yield ""


def _is_writable(leaf: object) -> bool:
    try:
        canonical_json(leaf).encode()
    except ValueError:
        return False
    return True


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
