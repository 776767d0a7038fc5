"""Which shape the values of a type have, or why they cannot be stored."""

from __future__ import annotations

import dataclasses
from collections import abc
from enum import Enum
from types import GenericAlias, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    ForwardRef,
    Literal,
    NewType,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
)

import attrs
from typing_extensions import ReadOnly, TypeAliasType, TypeVar, is_typeddict

from taskmill.define.codec.containers import (
    dict_shape,
    items_shape,
    literal_shapes,
    set_shape,
    tuple_shape,
    union_shape,
)
from taskmill.define.codec.hints import (
    Scope,
    described,
    field_types,
    is_named_tuple,
    is_record,
    resolve,
)
from taskmill.define.codec.records import Field, class_shape, located, typed_dict_shape
from taskmill.define.codec.scalars import (
    PLAIN,
    SCALARS,
    Shape,
    any_shape,
    enum_shape,
    secret_shape,
)
from taskmill.model.errors import ConfigurationError
from taskmill.model.secret import Secret

STORABLE = (
    "use None, bool, int, float, str, bytes, Decimal, UUID, datetime, date, time, timedelta, Path, "
    "enums, attrs classes, dataclasses, TypedDict, NamedTuple, or list, tuple, set, frozenset, "
    "dict, Sequence, Mapping, Literal and unions of these"
)

_CONCRETE: dict[Any, Any] = {
    abc.Mapping: dict,
    abc.MutableMapping: dict,
    abc.MutableSequence: list,
    abc.MutableSet: set,
}
_EITHER: dict[Any, tuple[tuple[type, tuple[Any, ...]], ...]] = {
    abc.Sequence: ((list, ()), (tuple, (...,))),
    abc.Set: ((set, ()), (frozenset, ())),
}
_WRAPPERS = (Annotated, Final, Required, NotRequired, ReadOnly)


class ShapeFinder:
    """Finds shapes and remembers them, so that a type may contain itself."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[type, Any], Shape] = {}

    def shape(self, annotation: object, scope: Scope) -> Shape:
        """Return the shape of an annotation; ConfigurationError if it cannot be stored."""
        meant = _bare(annotation, scope)
        if not isinstance(meant, abc.Hashable):
            raise _unstorable(meant, scope)
        key = (scope.owner, meant)
        if key not in self._shapes:
            self._shapes[key] = self._later(key, meant)
            self._shapes[key] = self._find(meant, scope)
        return self._shapes[key]

    def _later(self, key: tuple[type, Any], meant: Any) -> Shape:
        """Return what stands for a type within itself: it looks its shape up when used."""
        kind = get_origin(meant) or meant
        return Shape(
            name=getattr(kind, "__name__", described(meant)),
            kind=_runtime(kind),
            write=lambda value: self._shapes[key].write(value),
            read=lambda value, _: self._shapes[key].read(value, None),
        )

    def _find(self, meant: Any, scope: Scope) -> Shape:
        if meant is Any:
            return any_shape()
        if meant in SCALARS:
            return SCALARS[meant]
        origin = get_origin(meant)
        kind: Any = origin or meant
        if origin in {Literal, Union, UnionType} or kind in _EITHER:
            return self._choice(meant, scope)
        if not isinstance(kind, type):
            raise _unstorable(meant, scope)
        if kind in {list, tuple, set, frozenset, dict}:
            return self._container(kind, get_args(meant), scope, is_bare=origin is None)
        if kind is Secret:
            return self._secret(meant, scope)
        if is_record(kind):
            return self._record(kind, get_args(meant))
        if issubclass(kind, Enum) and kind.__members__:
            return enum_shape(kind)
        raise _unstorable(meant, scope)

    def _choice(self, meant: Any, scope: Scope) -> Shape:
        arguments = get_args(meant)
        if get_origin(meant) in {Union, UnionType} and Any in arguments:
            if all(argument is Any or argument in PLAIN for argument in arguments):
                return any_shape()
            raise ConfigurationError(
                f"{scope.label}: Any cannot be told apart from the rest of {described(meant)}; "
                "list the types instead"
            )
        members: dict[type, Shape] = {}
        for member in self._members(meant, scope):
            known = members.get(member.kind)
            if known is not None and member.kind in PLAIN:
                members[member.kind] = PLAIN[member.kind]
            elif known is not None or member.name in {other.name for other in members.values()}:
                raise ConfigurationError(
                    f"{scope.label}: the values of {described(meant)} cannot be told apart when "
                    f"they come back, two of its types are {member.name!r}; use classes of "
                    "different names"
                )
            else:
                members[member.kind] = member
        return union_shape(list(members.values()))

    def _members(self, annotation: object, scope: Scope) -> list[Shape]:
        meant = _bare(annotation, scope)
        origin, arguments = get_origin(meant), get_args(meant)
        if origin in {Union, UnionType}:
            return [member for argument in arguments for member in self._members(argument, scope)]
        if origin is Literal:
            return literal_shapes(arguments, lambda kind: self.shape(kind, scope))
        item = arguments[0] if arguments else Any
        either = _EITHER.get(origin or meant, ())
        return [self.shape(GenericAlias(kind, (item, *rest)), scope) for kind, rest in either] or [
            self.shape(meant, scope)
        ]

    def _container(
        self, kind: type, arguments: tuple[Any, ...], scope: Scope, *, is_bare: bool
    ) -> Shape:
        if kind is dict:
            key, item = arguments or (str, Any)
            key_shape = self.shape(key, scope)
            if key_shape.kind is Secret:
                raise ConfigurationError(
                    f"{scope.label}: a Secret is no key, for keys are shown; make it the value"
                )
            return dict_shape(key_shape, self.shape(item, scope))
        if kind is tuple and not is_bare and arguments[-1:] != (...,):
            return tuple_shape([self.shape(argument, scope) for argument in arguments])
        item = self.shape(arguments[0] if arguments else Any, scope)
        return items_shape(kind, item) if kind in {list, tuple} else set_shape(kind, item)

    def _secret(self, meant: object, scope: Scope) -> Shape:
        held = _bare((*get_args(meant), str)[0], scope)
        if held is str or held is bytes:
            return secret_shape(held)
        raise ConfigurationError(
            f"{scope.label}: a Secret holds str or bytes: write Secret[str], not {described(meant)}"
        )

    def _record(self, kind: type, arguments: tuple[Any, ...]) -> Shape:
        types = field_types(kind, arguments)
        fields: list[Field] = []
        for name, alias, is_required in _parts(kind, types):
            scope = Scope(label=f"{kind.__qualname__}.{name}", owner=kind)
            if name not in types:
                raise ConfigurationError(f"{scope.label} has no annotation; {STORABLE}")
            shape = located(self.shape(types[name], scope), f".{name}")
            fields.append(Field(name=name, alias=alias, shape=shape, is_required=is_required))
        return (typed_dict_shape if is_typeddict(kind) else class_shape)(kind, fields)


def _parts(kind: Any, types: abc.Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    """Return the name, the alias and whether it is required, for each field the class is made of.

    Fields that the class computes itself (``init=False``) are not stored.
    """
    if attrs.has(kind):
        return [
            (part.name, part.alias or part.name, part.default is attrs.NOTHING)
            for part in attrs.fields(kind)
            if part.init
        ]
    if _is_dataclass(kind):
        for name, annotation in types.items():
            if isinstance(annotation, dataclasses.InitVar):
                raise ConfigurationError(
                    f"{kind.__qualname__}.{name} is an InitVar, which is gone when the value is "
                    "stored; make it a field"
                )
        missing = dataclasses.MISSING
        return [
            (part.name, part.name, part.default is missing and part.default_factory is missing)
            for part in dataclasses.fields(kind)
            if part.init
        ]
    if is_named_tuple(kind):
        return [(name, name, name not in kind._field_defaults) for name in kind._fields]
    return [(name, name, _is_required(kind, name, meant)) for name, meant in types.items()]


def _is_dataclass(kind: type) -> bool:
    return dataclasses.is_dataclass(kind)


def _is_required(kind: Any, name: str, meant: object) -> bool:
    """Read the annotation first: as a string it was not seen when the TypedDict was made."""
    while get_origin(meant) in _WRAPPERS:
        if get_origin(meant) in {Required, NotRequired}:
            return get_origin(meant) is Required
        meant = get_args(meant)[0]
    return name in kind.__required_keys__


def _bare(annotation: object, scope: Scope) -> Any:
    """Return the type that an alias, a string, a new type or a type variable stands for."""
    meant: Any = annotation
    while True:
        origin = get_origin(meant)
        if isinstance(meant, (str, ForwardRef)):
            meant = resolve(meant, scope)
        elif origin in _WRAPPERS:
            meant = get_args(meant)[0]
        elif isinstance(meant, NewType):
            meant = meant.__supertype__
        elif isinstance(meant, TypeAliasType):
            meant = meant.__value__
        elif isinstance(meant, TypeVar):
            meant = meant.__bound__ or Union[meant.__constraints__ or (Any,)]  # noqa: UP007 - of a tuple
        elif origin in _CONCRETE or (origin is None and _is_abstract(meant)):
            kind = _CONCRETE[origin or meant]
            meant = kind[get_args(meant)] if get_args(meant) else kind
        else:
            return type(None) if meant is None else meant


def _is_abstract(meant: object) -> bool:
    return isinstance(meant, type) and meant in _CONCRETE


def _runtime(kind: object) -> type:
    if not isinstance(kind, type):
        return object
    return dict if is_typeddict(kind) else kind


def _unstorable(meant: object, scope: Scope) -> ConfigurationError:
    return ConfigurationError(
        f"{scope.label}: {described(meant)} cannot be stored and come back; {STORABLE}"
    )
