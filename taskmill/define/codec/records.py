"""How an object with named fields becomes a JSON object: classes, named tuples, typed dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from cattrs import Converter
from cattrs.gen import (
    make_dict_structure_fn_from_attrs,  # pyright: ignore[reportUnknownVariableType] # bare Attribute
    make_dict_unstructure_fn_from_attrs,  # pyright: ignore[reportUnknownVariableType] # same
)

from taskmill.define.codec.scalars import Misfit, Shape, is_dict, wrong_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@attrs.frozen(kw_only=True)
class Field:
    """One named part of a record."""

    name: str
    alias: str
    """What the class calls it when it is made."""
    shape: Shape
    is_required: bool


def class_shape(kind: type[object], fields: Sequence[Field]) -> Shape:
    """Describe a class whose instances have ``fields`` as attributes and arguments."""
    name = kind.__qualname__
    parts: Sequence[attrs.Attribute[Any]] = attrs.fields(_outline(kind, fields))
    write_fields: Callable[[Any], object] = make_dict_unstructure_fn_from_attrs(
        list(parts), kind, _CONVERTER, _cattrs_use_linecache=False
    )
    read_fields: Any = make_dict_structure_fn_from_attrs(
        list(parts),
        kind,
        _CONVERTER,
        dict.fromkeys((variable.__name__ for variable in _variables(kind)), Any),
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=False,
        _cattrs_use_linecache=False,
    )
    required = [field.name for field in fields if field.is_required]
    known = {field.name for field in fields}

    def write(value: object) -> object:
        if type(value) is not kind:
            raise wrong_type(name, value)
        return write_fields(value)

    def read(value: Any, _: object) -> object:
        if not is_dict(value):
            raise wrong_type(f"{name} as an object", value)
        try:
            return read_fields(value, None)
        except (Misfit, RecursionError):
            raise
        except Exception as error:  # the class's own validators may raise anything
            _check_names(value, required, known, name)
            kind = type(error).__qualname__
            raise Misfit(
                f"{name} refuses its fields: {error!r:.500}", f"{name} refuses its fields: {kind}"
            ) from error

    return Shape(name=kind.__name__, kind=kind, write=write, read=read)


def typed_dict_shape(kind: type, fields: Sequence[Field]) -> Shape:
    """Describe a TypedDict: a dict that has these keys and no others."""
    name = kind.__qualname__
    required = [field.name for field in fields if field.is_required]
    known = {field.name for field in fields}
    parts = [(field.name, field.shape.write, field.shape.read) for field in fields]

    def check(value: object) -> dict[object, object]:
        if not is_dict(value):
            raise wrong_type(name, value)
        _check_names(value, required, known, name)
        return value

    def write(value: object) -> object:
        found = check(value)
        return {key: write_part(found[key]) for key, write_part, _ in parts if key in found}

    def read(value: object, _: object) -> object:
        found = check(value)
        return {key: read_part(found[key], None) for key, _, read_part in parts if key in found}

    return Shape(name=kind.__name__, kind=dict, write=write, read=read)


def located(shape: Shape, step: str) -> Shape:
    """Return the same shape, whose misfits say at which step they were found."""
    inner_write, inner_read = shape.write, shape.read

    def write(value: object) -> object:
        try:
            return inner_write(value)
        except Misfit as misfit:
            raise misfit.inside(step) from misfit.__cause__

    def read(value: object, _: object) -> object:
        try:
            return inner_read(value, None)
        except Misfit as misfit:
            raise misfit.inside(step) from misfit.__cause__

    return attrs.evolve(shape, write=write, read=read)


def _check_names(
    value: Iterable[object], required: Sequence[str], known: Iterable[str], name: str
) -> None:
    present = set(value)
    for field in required:
        if field not in present:
            raise Misfit(f"is missing, and {name} has no default for it").inside(f".{field}")
    for field in sorted(map(str, present.difference(known))):
        raise Misfit(
            f"is a field that {name} does not have; stored fields keep their names, or finish "
            "the stored tasks before the field goes"
        ).inside(f".{field}")


def _outline(kind: type, fields: Sequence[Field]) -> type:
    """Make the class cattrs generates code from: the fields alone, with shapes as their types."""
    return attrs.make_class(
        kind.__name__,
        {
            field.name: attrs.field(
                type=field.shape,  # type: ignore[call-overload] # opaque to attrs, see _converter
                alias=field.alias,
                default=attrs.NOTHING if field.is_required else None,
            )
            for field in fields
        },
        kw_only=True,
        slots=False,
        init=False,
        repr=False,
        eq=False,
    )


def _variables(kind: type) -> tuple[Any, ...]:
    return getattr(kind, "__parameters__", ())


def _converter() -> Converter:
    """Return a converter that finds the hooks of a field in the shape that stands for its type."""

    def is_shape(found: object) -> bool:
        return isinstance(found, Shape)

    def writer(shape: Any) -> Callable[[Any], object]:
        return shape.write  # type: ignore[no-any-return] # only asked about shapes

    def reader(shape: Any) -> Callable[[Any, Any], object]:
        return shape.read  # type: ignore[no-any-return] # only asked about shapes

    converter = Converter(detailed_validation=False)
    converter.register_unstructure_hook_factory(is_shape, writer)
    converter.register_structure_hook_factory(is_shape, reader)
    return converter


_CONVERTER = _converter()
