"""Which types the annotations of a class mean."""

from __future__ import annotations

import dataclasses
import inspect
import sys
from typing import TYPE_CHECKING, Any, ForwardRef, Generic, get_args, get_origin, get_type_hints

import attrs
from typing_extensions import TypeVar, get_original_bases, is_typeddict

from taskmill.model.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen(kw_only=True)
class Scope:
    """Where an annotation stands: what it belongs to, and the class whose module it reads in."""

    label: str
    owner: type


def resolve(annotation: object, scope: Scope) -> Any:
    """Return the type an annotation means, with the strings in it evaluated.

    ConfigurationError names the place and what could not be found.
    """
    holder = type("Annotated", (), {"__annotations__": {"it": annotation}})
    names = {**vars(scope.owner), scope.owner.__name__: scope.owner, **_module(scope.owner)}
    try:
        return get_type_hints(holder, names, {}, include_extras=is_typeddict(scope.owner))["it"]
    except NameError as error:
        raise ConfigurationError(
            f"{scope.label}: {error.name!r} in the annotation {_text(annotation)} cannot be "
            f"resolved in module {scope.owner.__module__}; define it there, and import it at run "
            "time (not under TYPE_CHECKING, not inside a function)"
        ) from error
    except (AttributeError, SyntaxError, TypeError) as error:
        raise ConfigurationError(
            f"{scope.label}: the annotation {_text(annotation)} cannot be resolved: {error}"
        ) from error


def field_types(kind: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return the type of each annotated field, also inherited, with type variables filled in."""
    found: dict[str, Any] = {}
    bound = _variables(kind, arguments)
    for owner in reversed(kind.__mro__):
        for field, annotation in inspect.get_annotations(owner).items():
            scope = Scope(label=f"{kind.__qualname__}.{field}", owner=owner)
            if _is_class_variable(annotation):
                found.pop(field, None)
            else:
                found[field] = _fill(resolve(annotation, scope), bound.get(owner, {}))
    return found


def is_record(kind: Any) -> bool:
    """Whether the class has fields this module can list."""
    return (
        attrs.has(kind)
        or dataclasses.is_dataclass(kind)
        or is_typeddict(kind)
        or is_named_tuple(kind)
    )


def is_named_tuple(kind: Any) -> bool:
    """Whether the class was made by NamedTuple."""
    return tuple in kind.__mro__ and "_fields" in vars(kind)


def described(annotation: object) -> str:
    """Return the annotation as someone would write it."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _module(owner: type) -> Mapping[str, Any]:
    module = sys.modules.get(owner.__module__)
    return {} if module is None else vars(module)


def _text(annotation: object) -> str:
    if isinstance(annotation, ForwardRef):
        return repr(annotation.__forward_arg__)
    return repr(annotation) if isinstance(annotation, str) else described(annotation)


def _is_class_variable(annotation: object) -> bool:
    return "ClassVar" in described(annotation).partition("[")[0]


def _variables(kind: type, arguments: tuple[Any, ...]) -> dict[type, dict[Any, Any]]:
    """Return, for each generic class of the MRO, what its type variables stand for."""
    parameters: tuple[Any, ...] = getattr(kind, "__parameters__", ())
    bound = {kind: dict(zip(parameters, arguments, strict=False))}
    for base in get_original_bases(kind) if kind is not object else ():
        origin = get_origin(base)
        if isinstance(origin, type) and origin is not Generic:
            given = tuple(_fill(argument, bound[kind]) for argument in get_args(base))
            bound = {**_variables(origin, given), **bound}
        elif isinstance(base, type) and base is not object:
            bound = {**_variables(base, ()), **bound}
    return bound


def _fill(annotation: Any, bound: Mapping[Any, Any]) -> Any:
    if isinstance(annotation, TypeVar):
        return bound.get(annotation, annotation)
    parameters: tuple[Any, ...] = getattr(annotation, "__parameters__", ())
    if isinstance(annotation, type) or not parameters:
        return annotation
    return annotation[tuple(bound.get(parameter, parameter) for parameter in parameters)]
