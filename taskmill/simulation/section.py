"""How one table of a TOML file is read: every key by its type, and none that is not known."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import cast

from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import MAX_LENGTH
from taskmill.model.policies import Priority

_UNITS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|h|d)")


class Section:
    """A table and where it is. Each reader returns None for a key that is not there."""

    def __init__(self, table: Mapping[str, object], where: str = "") -> None:
        self._table = table
        self._where = where
        self._known: dict[str, None] = {}

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self._known[key] = None
        return key in self._table

    def path(self, key: str) -> str:
        """What messages call the key."""
        return f"{self._where}.{key}" if self._where else key

    def end(self) -> None:
        """Raise ConfigurationError for a key that nobody has asked for."""
        for key in self._table:
            if key not in self._known:
                known = ", ".join(sorted(self._known))
                raise ConfigurationError(f"{self.path(key)} is no known key; there is {known}")

    @contextmanager
    def blame(self) -> Generator[None, None, None]:
        """Say in which table it is that a value refuses."""
        try:
            yield
        except ConfigurationError as error:
            if not self._where or str(error).startswith(self._where):
                raise
            raise ConfigurationError(f"{self._where}: {error}") from error

    # --- values ---

    def text(self, key: str) -> str | None:
        """A text that is not empty."""
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise self._wrong(key, value, "a text")
        return value

    def choice(self, key: str, choices: Sequence[str]) -> str | None:
        """One of a few words."""
        value = self._value(key)
        if value is None or (isinstance(value, str) and value in choices):
            return value
        raise self._wrong(key, value, f"one of {', '.join(choices)}")

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._value(key)
        if value is None or isinstance(value, bool):
            return value
        raise self._wrong(key, value, "true or false")

    def whole(self, key: str, least: int, most: int) -> int | None:
        """A whole number in a range."""
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self._wrong(key, value, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str) -> float | None:
        """A number, zero or more."""
        value = self._value(key)
        return None if value is None else self._number(key, value)

    def length(self, key: str) -> timedelta | None:
        """A time: seconds as a number, or a text with a unit."""
        value = self._value(key)
        return None if value is None else self._length(key, value)

    def lengths(self, key: str) -> list[timedelta] | None:
        """A list of times."""
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self._wrong(key, value, "a list of times")
        return [self._length(key, each) for each in cast("list[object]", value)]

    def is_off(self, key: str) -> bool:
        """Whether the key is there and false: TOML has no other word for none."""
        return self._value(key) is False

    def priority(self, key: str) -> int | None:
        """A priority: its number or its name."""
        value = self._value(key)
        if isinstance(value, str) and value.upper() in Priority.__members__:
            return int(Priority[value.upper()])
        if isinstance(value, str):
            names = ", ".join(Priority.__members__)
            raise self._wrong(key, value, f"a number from 0 to 255 or one of {names}")
        return self.whole(key, 0, 255)

    # --- tables ---

    def section(self, key: str) -> Section | None:
        """A table."""
        value = self._value(key)
        return None if value is None else self._section(key, value)

    def named(self, key: str) -> dict[str, Section]:
        """A table of tables; empty where it is not there."""
        section = self.section(key)
        return {} if section is None else section.tables()

    def tables(self) -> dict[str, Section]:
        """All of this table's values, which must be tables."""
        return {name: self._section(name, value) for name, value in self._table.items()}

    def listed(self, key: str) -> list[Section]:
        """An array of tables; empty where it is not there."""
        value = self._value(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, value, f"an array of tables: [[{key}]]")
        entries = cast("list[object]", value)
        return [self._section(f"{key}[{number}]", entry) for number, entry in enumerate(entries)]

    # --- inside ---

    def _value(self, key: str) -> object:
        self._known[key] = None
        return self._table.get(key)

    def _section(self, key: str, value: object) -> Section:
        if not isinstance(value, dict):
            raise self._wrong(key, value, "a table")
        return Section(cast("dict[str, object]", value), self.path(key))

    def _number(self, key: str, value: object) -> float:
        if (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and 0 <= value < math.inf
        ):
            return float(value)
        raise self._wrong(key, value, "a number, zero or more")

    def _length(self, key: str, value: object) -> timedelta:
        if isinstance(value, str):
            match = _LENGTH.fullmatch(value.strip())
            if match is None:
                raise self._wrong(key, value, 'a time such as 90, "90 s", "1.5 min" or "200 ms"')
            seconds = float(match[1]) * _UNITS[match[2]]
        else:
            seconds = self._number(key, value)
        if seconds > MAX_LENGTH.total_seconds():
            raise self._wrong(key, value, f"at most {MAX_LENGTH.days} days")
        return timedelta(seconds=seconds)

    def _wrong(self, key: str, value: object, wanted: str) -> ConfigurationError:
        return ConfigurationError(f"{self.path(key)} must be {wanted}, not {value!r:.100}")
