"""Which values an option can have."""

from __future__ import annotations

from collections.abc import Container, Mapping
from datetime import timedelta
from typing import cast

from taskmill.model.errors import ConfigurationError, InvalidTag

MAX_TAGS = 32
MAX_TAG_KEY = 64
MAX_TAG_VALUE = 256
MAX_TEXT = 1024
MAX_LENGTH = timedelta(days=36_525)
"""A hundred years: what is longer overflows somewhere between here and a row."""

_TEXTS = ("group", "key", "label")
_LENGTHS = ("delay", "stop_grace", "timeout")
_NUMBERS = {"priority": 255, "max_retries": 1_000_000}


def check_options(layer: Mapping[str, object], known: Container[str], owner: str) -> None:
    """Raise ConfigurationError for an option that is unknown or whose value cannot be meant."""
    for name, value in layer.items():
        if name not in known:
            names = ", ".join(sorted(cast("Mapping[str, object]", known)))  # annotations: a dict
            raise ConfigurationError(f"{owner}: unknown option {name}; there is {names}")
        if name in _NUMBERS:
            check_whole(value, 0, _NUMBERS[name], f"{owner}: {name}")
        elif value is not None and name in _TEXTS:
            check_text(value, f"{owner}: {name}")
        elif name in _LENGTHS and not (value is None and name == "timeout"):
            check_length(value, f"{owner}: {name}")
            if name == "timeout" and not value:
                raise ConfigurationError(f"{owner}: timeout is more than zero, or None for none")
        elif name == "preemptible" and not isinstance(value, bool):
            raise ConfigurationError(f"{owner}: preemptible is True or False, not {value!r}")


def check_length(value: object, what: str) -> None:
    """Raise ConfigurationError for what is no timedelta from zero to a hundred years."""
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= MAX_LENGTH:
        raise ConfigurationError(
            f"{what} must be a timedelta from zero to {MAX_LENGTH.days} days, not {value!r}"
        )


def check_text(value: object, what: str) -> None:
    """Raise ConfigurationError for what is no text of a size that fits."""
    if not isinstance(value, str) or not value or not _fits(value, MAX_TEXT):
        raise ConfigurationError(
            f"{what} must be text of 1 to {MAX_TEXT} bytes in UTF-8, not {value!r:.100}; "
            "None means none"
        )


def check_tags(tags: Mapping[str, str]) -> None:
    """Raise InvalidTag for tags over their limits."""
    if len(tags) > MAX_TAGS:
        raise InvalidTag(f"{len(tags)} tags; a task has at most {MAX_TAGS}")
    for key, value in tags.items():
        if not _fits(key, MAX_TAG_KEY) or not key:
            raise InvalidTag(f"tag key {key!r} must be text of 1 to {MAX_TAG_KEY} bytes in UTF-8")
        if not _fits(value, MAX_TAG_VALUE):
            raise InvalidTag(f"tag {key!r}: {value!r} is no text of up to {MAX_TAG_VALUE} bytes")


def check_cap(cap: int | None, what: str) -> None:
    """Raise ConfigurationError for a cap below 1: it would hold work for ever, unseen."""
    if cap is not None and cap < 1:
        raise ConfigurationError(f"{what} must be 1 or more, or None for no cap; got {cap!r}")


def check_whole(value: object, least: int, most: int, what: str) -> None:
    """Raise ConfigurationError for what is no whole number in this range."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigurationError(f"{what} is a whole number from {least} to {most}, not {value!r}")


def _fits(text: object, limit: int) -> bool:
    try:
        return isinstance(text, str) and len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False
