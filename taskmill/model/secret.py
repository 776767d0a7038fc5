"""What a payload holds that nobody is to see: a value that only `reveal` gives out."""

from __future__ import annotations

import json
from typing import Any, Generic, NoReturn, Self, cast, final

from typing_extensions import TypeVar

from taskmill.model.errors import ConfigurationError

S_co = TypeVar("S_co", bound=str | bytes, default=str, covariant=True)

HIDDEN = "***"
"""What is shown in place of a secret."""
MARK = "$secret"
"""The key under which a secret stands in JSON, so that it is known there without its type."""


@final
class Secret(Generic[S_co]):
    """Text or bytes, as the field ``token: Secret[str]`` of a task has them: ``Secret("s3cr3t")``.

    Everything that shows a task shows ``***`` instead: repr, str, format, errors, logs, events,
    the command line. Only `reveal` returns the value. Equal secrets are equal, and tasks that
    differ in nothing are the same work. It cannot be pickled, and has no order.

    The database file holds it in clear: who may read that file may read the secrets in it.
    ConfigurationError for a value that is neither str nor bytes; its message does not show it.
    """

    __slots__ = ("_value",)

    def __init__(self, value: S_co) -> None:
        if type(value) is not str and type(value) is not bytes:
            raise ConfigurationError(
                f"a Secret holds a str or bytes, and not a {type(value).__qualname__}"
            )
        self._value = value

    def reveal(self) -> S_co:
        """The value itself: for the one call that needs it."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if type(other) is not Secret:
            return NotImplemented
        value: object = other.reveal()
        return bool(self._value == value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: reveal() it where the value is really meant")


def redacted(text: str) -> str:
    """JSON as it may be shown: with `HIDDEN` in the place of each secret."""
    if MARK not in text:
        return text
    try:
        shown = without_secrets(json.loads(text))
        return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):
        return HIDDEN  # what is no JSON may end anywhere in a secret


def redacted_repr(text: str | None) -> str:
    """The same as a repr."""
    return repr(None if text is None else redacted(text))


def without_secrets(tree: object) -> object:
    """What JSON holds, with `HIDDEN` in the place of each secret."""
    if isinstance(tree, dict):
        fields = cast("dict[str, object]", tree)  # an isinstance check loses the types
        if MARK in fields:
            return HIDDEN
        return {key: without_secrets(item) for key, item in fields.items()}
    if isinstance(tree, list):
        items = cast("list[object]", tree)  # as above
        return [without_secrets(item) for item in items]
    return tree
