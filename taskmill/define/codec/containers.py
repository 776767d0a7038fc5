"""How collections and alternatives become JSON: lists, tuples, sets, dicts, unions and literals."""

from __future__ import annotations

import json
from types import NoneType
from typing import TYPE_CHECKING, Any

import attrs

from taskmill.define.codec.scalars import (
    PLAIN,
    Misfit,
    Shape,
    is_dict,
    is_exactly,
    shown,
    wrong_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_ENCODER = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
)


def canonical_json(tree: object) -> str:
    """Return the one text of this JSON; ValueError if it has none."""
    return _ENCODER.encode(tree)


def items_shape(kind: type, item: Shape) -> Shape:
    """Describe a list or a tuple of any length."""
    write, read_items = _item_functions(kind, item)

    def read(value: object, _: object) -> object:
        return kind(read_items(value))

    return Shape(name=kind.__name__, kind=kind, write=write, read=read)


def set_shape(kind: type, item: Shape) -> Shape:
    """Describe a set or a frozenset: a list, sorted by the canonical text of its items."""
    write_items, read_items = _item_functions(kind, item)

    def write(value: object) -> object:
        try:
            return sorted(write_items(value), key=canonical_json)
        except ValueError as error:
            raise Misfit(f"has an item that JSON cannot hold: {error}") from None

    def read(value: object, _: object) -> object:
        try:
            return kind(read_items(value))
        except TypeError as error:
            raise Misfit(f"has an item that cannot be in a set: {error}") from None

    return Shape(name=kind.__name__, kind=kind, write=write, read=read)


def tuple_shape(items: Sequence[Shape]) -> Shape:
    """Describe a tuple with a type for each place."""
    expected = f"tuple of {len(items)}"

    def each(value: Any, kind: type, place: Callable[[Shape, object], object]) -> list[object]:
        if not is_exactly(kind, value) or len(value) != len(items):
            raise wrong_type(expected, value)
        done: list[object] = []
        try:
            for shape, item in zip(items, value, strict=True):
                done.append(place(shape, item))
        except Misfit as misfit:
            raise misfit.inside(f"[{len(done)}]") from misfit.__cause__
        return done

    def write(value: Any) -> object:
        return each(value, tuple, lambda shape, item: shape.write(item))

    def read(value: Any, _: object) -> object:
        return tuple(each(value, list, lambda shape, item: shape.read(item, None)))

    return Shape(name="tuple", kind=tuple, write=write, read=read)


def dict_shape(key: Shape, item: Shape) -> Shape:
    """Describe a dict: keys that are not text are written as the JSON text of the key."""
    key, name = _key(key), f"dict from {key.name} to {item.name}"
    write_key, write_item, read_key, read_item = key.write, item.write, key.read, item.read

    def write(value: object) -> object:
        if not is_dict(value):
            raise wrong_type(name, value)
        done: dict[object, object] = {}
        place: object = None
        try:
            for place, content in value.items():
                done[write_key(place)] = write_item(content)
        except Misfit as misfit:
            raise misfit.inside(f"[{shown(place)}]") from misfit.__cause__
        return done

    def read(value: object, _: object) -> object:
        if not is_dict(value):
            raise wrong_type(name, value)
        done: dict[object, object] = {}
        place: object = None
        try:
            for place, content in value.items():
                done[read_key(place, None)] = read_item(content, None)
        except Misfit as misfit:
            raise misfit.inside(f"[{shown(place)}]") from misfit.__cause__
        return done

    return Shape(name="dict", kind=dict, write=write, read=read)


def union_shape(members: Sequence[Shape]) -> Shape:
    """Describe a choice; the members' kinds and names must differ.

    What JSON tells apart is written as it is, and so is the only other member next to None.
    Everything else is written as ``{"datetime": ...}``, with the name of its type.
    """
    others = [member for member in members if member.kind not in PLAIN]
    if len(others) == 1 and all(member.kind in {NoneType, others[0].kind} for member in members):
        return others[0] if len(members) == 1 else _optional(others[0])
    name = " | ".join(member.name for member in members)
    plain = {member.kind: member for member in members if member.kind in PLAIN}
    if float in plain:
        plain = {int: plain[float], **plain}
    tagged_kinds = {member.kind: member for member in others}
    tagged = {member.name: member for member in others}

    def write(value: object) -> object:
        member = plain.get(type(value))
        if member is not None:
            return member.write(value)
        member = tagged_kinds.get(type(value))
        if member is None:
            raise wrong_type(name, value)
        return {member.name: member.write(value)}

    def read(value: object, _: object) -> object:
        if is_dict(value):
            for tag in tagged.keys() & value.keys() if len(value) == 1 else ():
                return tagged[tag].read(value[tag], None)
        elif type(value) in plain:
            return plain[type(value)].read(value, None)
        raise wrong_type(name, value)

    is_text = not others and plain.keys() == {str}
    return Shape(name=name, kind=object, write=write, read=read, is_text=is_text)


def literal_shapes(values: Iterable[object], describe: Callable[[type], Shape]) -> list[Shape]:
    """Describe the values of a Literal, one shape for each type among them."""
    by_kind: dict[type, list[object]] = {}
    for value in values:
        by_kind.setdefault(type(value), []).append(value)
    return [_one_of(describe(kind), allowed) for kind, allowed in by_kind.items()]


def _one_of(shape: Shape, allowed: list[object]) -> Shape:
    expected = f"one of {', '.join(map(repr, allowed))}"

    def write(value: object) -> object:
        written = shape.write(value)
        if value not in allowed:
            raise wrong_type(expected, value)
        return written

    def read(value: object, _: object) -> object:
        found = shape.read(value, None)
        if found not in allowed:
            raise wrong_type(expected, value)
        return found

    return attrs.evolve(shape, write=write, read=read)


def _optional(shape: Shape) -> Shape:
    inner_write, inner_read = shape.write, shape.read

    def write(value: object) -> object:
        return None if value is None else inner_write(value)

    def read(value: object, _: object) -> object:
        return None if value is None else inner_read(value, None)

    return Shape(name=f"{shape.name} | None", kind=object, write=write, read=read)


def _key(shape: Shape) -> Shape:
    def write(value: object) -> object:
        try:
            written = shape.write(value)
            return written if shape.is_text else canonical_json(written)
        except Misfit as misfit:
            raise Misfit(f"as a key {misfit.problem}") from None
        except ValueError as error:
            raise Misfit(f"as a key cannot be JSON: {error}") from None

    def read(value: Any, _: object) -> object:
        try:
            found = shape.read(value if shape.is_text else json.loads(value), None)
            hash(found)
        except Misfit as misfit:
            raise Misfit(f"as a key {misfit.problem}") from None
        except (ValueError, TypeError):
            raise Misfit(f"as a key is not {shape.name}") from None
        return found

    return attrs.evolve(shape, write=write, read=read, is_text=True)


def _item_functions(
    kind: type, item: Shape
) -> tuple[Callable[[object], list[object]], Callable[[object], list[object]]]:
    """Return what writes, and what reads, the items of a ``kind``."""
    name, read_item = f"{kind.__name__} of {item.name}", item.read
    return _each(kind, name, item.write), _each(list, name, lambda found: read_item(found, None))


def _each(kind: type, name: str, place: Callable[[Any], object]) -> Callable[[Any], list[object]]:
    def each(value: Any) -> list[object]:
        if not is_exactly(kind, value):
            raise wrong_type(name, value)
        done: list[object] = []
        try:
            for item in value:
                done.append(place(item))  # noqa: PERF401 - its length is the failed index
        except Misfit as misfit:
            raise misfit.inside(f"[{len(done)}]") from misfit.__cause__
        return done

    return each
