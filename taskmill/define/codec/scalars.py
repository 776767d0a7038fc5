"""How a single value becomes JSON: numbers, text, times, paths, enums, and any plain JSON.

Types are exact: a value is stored only if the same value of the same type comes back. The one
exception is an int in a float field, which is stored as the float it equals, so that equal
payloads have one identity.
"""

from __future__ import annotations

import binascii
import reprlib
from base64 import b64decode
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from math import isfinite
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs

from taskmill.model.secret import HIDDEN, MARK, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@attrs.frozen(eq=False, kw_only=True)
class Shape:
    """What the values of one type look like as JSON, and how to get there and back."""

    name: str
    """The type in messages, and the tag of the type in a union."""
    kind: type
    """The exact class of its values; ``object`` when there are several."""
    write: Callable[[Any], object]
    """From a value to JSON; raises Misfit."""
    read: Callable[[Any, Any], object]
    """From JSON to a value; raises Misfit. The second argument is what cattrs hands to hooks."""
    is_text: bool = False
    """Whether the JSON is always a string, which can then be the key of an object."""


class Misfit(Exception):  # becomes a PayloadError once the whole path is known
    """A value does not fit its type; ``path`` leads to it from the payload."""

    def __init__(self, problem: str, gist: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.gist = problem if gist is None else gist
        """The problem without the value."""
        self.path = ""

    def inside(self, step: str) -> Misfit:
        """Prepend the step that leads from the enclosing value to this one."""
        self.path = step + self.path
        return self


def wrong_type(expected: str, value: object) -> Misfit:
    """Say what was expected and what was there."""
    kind = type(value).__qualname__
    return Misfit(
        f"expects {expected}, got {shown(value)} ({kind})", f"expects {expected}, got {kind}"
    )


def shown(value: object) -> str:
    """Return a short text of any value for a message."""
    try:
        return _REPR.repr(value)
    except ValueError:  # an int of more digits than Python turns into text
        return f"a {type(value).__qualname__} with more digits than can be shown"


class _Repr(reprlib.Repr):
    """Short, and without what is a secret where it is read as something else."""

    def repr_dict(self, x: dict[Any, Any], level: int) -> str:
        return HIDDEN if MARK in x else super().repr_dict(x, level)


_REPR = _Repr()


def is_exactly(kind: type, value: object) -> bool:
    """Whether the class of the value is ``kind``, and no subclass."""
    return type(value) is kind


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether it is a list, and of no subclass."""
    return type(value) is list


def is_dict(value: object) -> TypeGuard[dict[object, object]]:
    """Whether it is a dict, and of no subclass."""
    return type(value) is dict


def any_shape() -> Shape:
    """Describe ``Any``: whatever JSON itself can hold, which comes back unchanged."""

    def read(value: object, _: object) -> object:
        return value

    return Shape(name="Any", kind=object, write=_write_any, read=read)


def enum_shape(kind: type[Enum]) -> Shape:
    """Describe an enum by its member names, as values change with ``auto()``; flags by number."""
    if issubclass(kind, Flag):
        return _flag_shape(kind)
    members = kind.__members__

    def write(value: object) -> object:
        if type(value) is not kind:
            raise wrong_type(kind.__qualname__, value)
        return value.name

    def read(value: object, _: object) -> object:
        member = members.get(value) if isinstance(value, str) else None
        if member is None:
            raise wrong_type(f"the name of a {kind.__qualname__} ({', '.join(members)})", value)
        return member

    return Shape(name=kind.__name__, kind=kind, write=write, read=read, is_text=True)


def _flag_shape(kind: type[Flag]) -> Shape:
    def write(value: object) -> object:
        if type(value) is not kind:
            raise wrong_type(kind.__qualname__, value)
        return value.value

    def read(value: object, _: object) -> object:
        if type(value) is not int:
            raise wrong_type(f"the number of a {kind.__qualname__}", value)
        try:
            return kind(value)
        except ValueError:
            raise wrong_type(f"the number of a {kind.__qualname__}", value) from None

    return Shape(name=kind.__name__, kind=kind, write=write, read=read)


def _write_any(value: object) -> object:
    if value is None or isinstance(value, (bool, str, int, float)):
        plain = PLAIN.get(type(value))
        if plain is None:
            raise wrong_type("plain JSON (its type does not come back from Any)", value)
        return plain.write(value)
    step = ""
    try:
        if is_list(value):
            for index, item in enumerate(value):
                step = f"[{index}]"
                _write_any(item)
            return value
        if is_dict(value):
            for key, item in value.items():
                step = f"[{shown(key)}]"
                if type(key) is not str:
                    raise wrong_type("a str as key", key)
                _write_any(item)
            return value
    except Misfit as misfit:
        raise misfit.inside(step) from misfit.__cause__
    raise wrong_type("plain JSON (None, bool, int, float, str, list, dict)", value)


def secret_shape(kind: type[str | bytes]) -> Shape:
    """Describe a Secret, marked so that it is known as one without its type.

    Text that is not marked is read too: the field may have become a Secret since. No message shows
    what is there.
    """
    name = f"Secret[{kind.__name__}]"

    def write(value: object) -> object:
        if type(value) is not Secret:
            got = type(value).__qualname__
            raise Misfit(f"expects a {name}, got a {got}; wrap it: Secret(...)")
        inner: object = value.reveal()
        if type(inner) is not kind:
            raise Misfit(f"expects a {name}, got one of {type(inner).__qualname__}")
        return {MARK: _bytes_text(inner) if isinstance(inner, bytes) else inner}

    def read(value: object, _: object) -> object:
        text = value[MARK] if is_dict(value) and value.keys() == {MARK} else value
        if not isinstance(text, str):
            raise Misfit(f"expects a {name}, got a {type(text).__qualname__}")
        try:
            return Secret(text if kind is str else _bytes(text))
        except ValueError:
            raise Misfit(f"expects a {name}, got text that is no base64") from None

    return Shape(name="Secret", kind=Secret, write=write, read=read)


def _same(kind: type) -> Shape:
    """Describe a type that JSON has too."""

    def write(value: object) -> object:
        if type(value) is not kind:
            raise wrong_type(kind.__name__, value)
        return value

    def read(value: object, _: object) -> object:
        if type(value) is not kind:
            raise wrong_type(kind.__name__, value)
        return value

    return Shape(name=kind.__name__, kind=kind, write=write, read=read, is_text=kind is str)


def _write_float(value: Any) -> object:
    if type(value) is float:
        if isfinite(value):
            return value
        raise Misfit(f"holds {value}, which JSON does not have; use None or leave it out")
    if type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            raise Misfit("expects a float, got an int that is larger than any float") from None
        if number == value:
            return number
        raise Misfit(f"expects float, got the int {value}, which no float equals; declare an int")
    raise wrong_type("float", value)


def _read_float(value: Any, _: object) -> object:
    if type(value) is float and isfinite(value):
        return value
    if type(value) is int:
        return _write_float(value)
    raise wrong_type("float", value)


def _read_none(value: object, _: object) -> object:
    if value is not None:
        raise wrong_type("None", value)
    return None


def _write_none(value: object) -> object:
    return _read_none(value, None)


def _text(kind: type[T], to_text: Callable[[T], str], from_text: Callable[[str], T]) -> Shape:
    """Describe a type that is written as a string."""
    name = kind.__name__

    def write(value: Any) -> object:
        if type(value) is not kind:
            raise wrong_type(name, value)
        return to_text(value)

    def read(value: object, _: object) -> object:
        if not isinstance(value, str):
            raise wrong_type(f"{name} as text", value)
        try:
            return from_text(value)
        except (ValueError, ArithmeticError, LookupError):
            raise wrong_type(f"{name} as text", value) from None

    return Shape(name=name, kind=kind, write=write, read=read, is_text=True)


def _decimal_text(value: Decimal) -> str:
    if not value.is_finite():
        raise Misfit(f"holds {value}, which does not compare equal or sort; use None")
    return str(value)


def _finite_decimal(text: str) -> Decimal:
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(text)
    return value


def _bytes_text(value: bytes) -> str:
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)


def _datetime_text(value: datetime) -> str:
    return value.isoformat() + _brackets(value)


def _datetime(text: str) -> datetime:
    if not text.endswith("]"):
        return datetime.fromisoformat(text)
    stamp, zone, fold = _without_brackets(text)
    moment = datetime.fromisoformat(stamp).replace(fold=fold)
    if zone is None:
        return moment
    if moment.tzinfo is None:
        raise ValueError(text)
    local = moment.replace(tzinfo=zone)
    if local.utcoffset() == moment.utcoffset():
        return local
    return moment.astimezone(zone)  # the zone's rules changed since: the instant counts


def _time_text(value: time) -> str:
    return value.isoformat() + _brackets(value)


def _time(text: str) -> time:
    stamp, zone, fold = _without_brackets(text)
    moment = time.fromisoformat(stamp).replace(fold=fold)
    return moment if zone is None else moment.replace(tzinfo=zone)


def _brackets(value: datetime | time) -> str:
    """Return what ISO 8601 leaves out, as RFC 9557 adds it: ``[Europe/Berlin][fold=1]``."""
    zone, fold = value.tzinfo, "[fold=1]" if value.fold else ""
    if zone is None or type(zone) is timezone:
        return fold
    if type(zone) is ZoneInfo and zone.key:
        return f"[{zone.key}]{fold}"
    raise Misfit(f"has the time zone {zone!r}, which cannot be stored; use zoneinfo or timezone")


def _without_brackets(text: str) -> tuple[str, ZoneInfo | None, Literal[0, 1]]:
    stamp, *brackets = text.replace("]", "").split("[")
    zones = [ZoneInfo(bracket) for bracket in brackets if bracket != "fold=1"]
    return stamp, zones[0] if zones else None, 1 if "fold=1" in brackets else 0


def _write_timedelta(value: object) -> object:
    if type(value) is not timedelta:
        raise wrong_type("timedelta", value)
    return value // timedelta(microseconds=1)


def _read_timedelta(value: object, _: object) -> object:
    if type(value) is not int:
        raise wrong_type("timedelta in microseconds", value)
    try:
        return timedelta(microseconds=value)
    except OverflowError:
        raise wrong_type("timedelta in microseconds", value) from None


PLAIN: dict[type, Shape] = {
    NoneType: Shape(name="None", kind=NoneType, write=_write_none, read=_read_none),
    bool: _same(bool),
    int: _same(int),
    float: Shape(name="float", kind=float, write=_write_float, read=_read_float),
    str: _same(str),
}
"""The types that JSON tells apart by itself."""

SCALARS: dict[type, Shape] = PLAIN | {
    datetime: _text(datetime, _datetime_text, _datetime),
    date: _text(date, date.isoformat, date.fromisoformat),
    time: _text(time, _time_text, _time),
    timedelta: Shape(
        name="timedelta", kind=timedelta, write=_write_timedelta, read=_read_timedelta
    ),
    UUID: _text(UUID, str, UUID),
    Decimal: _text(Decimal, _decimal_text, _finite_decimal),
    bytes: _text(bytes, _bytes_text, _bytes),
    Path: _text(type(Path()), str, Path),
    PurePath: _text(type(PurePath()), str, PurePath),
    PurePosixPath: _text(PurePosixPath, str, PurePosixPath),
    PureWindowsPath: _text(PureWindowsPath, str, PureWindowsPath),
}
