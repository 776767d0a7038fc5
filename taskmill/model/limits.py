"""Which values a parameter or an option can have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from datetime import timedelta
from typing import TypeGuard, TypeVar

from taskmill.model.errors import ConfigurationError, InvalidTag
from taskmill.model.showing import shown

T = TypeVar("T")

MAX_TAGS = 32
MAX_TAG_KEY = 64
MAX_TAG_VALUE = 256
MAX_TEXT = 1024
MAX_AT_ONCE = 100_000
"""How many tasks one submit may hold, and how many one task may depend on."""
MAX_PROGRESS_TEXT = 1024
"""Characters of a progress message; what is longer is cut."""
MAX_LENGTH = timedelta(days=36_525)
"""A hundred years: what is longer overflows somewhere between here and a row."""

MAX_RETRIES = 1_000_000
_MOST_BITS = 128
"""Of an id: a longer number is none, and may be too long for a message."""


def check_length(value: object, what: str) -> None:
    """Raise ConfigurationError for what is no timedelta from zero to a hundred years."""
    if not isinstance(value, timedelta) or not timedelta(0) <= value <= MAX_LENGTH:
        raise ConfigurationError(
            f"{what} must be a timedelta from zero to {MAX_LENGTH.days} days, not {shown(value)}"
        )


def check_text(value: object, what: str) -> None:
    """Raise ConfigurationError for what is no text of a size that fits."""
    if not isinstance(value, str) or not value or not _fits(value, MAX_TEXT):
        raise ConfigurationError(
            f"{what} must be text of 1 to {MAX_TEXT} bytes in UTF-8, not {shown(value)}; "
            "None means none"
        )


def check_tags(tags: Mapping[str, str], what: str = "tags") -> None:
    """Raise InvalidTag for tags over their limits, ConfigurationError for what are no tags."""
    if not isinstance(tags, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] # untyped callers
        raise ConfigurationError(
            f"{what} must be a mapping from text to text, such as {{'job': '7'}}, not {shown(tags)}"
        )
    if len(tags) > MAX_TAGS:
        raise InvalidTag(f"{len(tags)} tags; a task has at most {MAX_TAGS}")
    for key, value in tags.items():
        if not _fits(key, MAX_TAG_KEY) or not key:
            raise InvalidTag(
                f"tag key {shown(key)} must be text of 1 to {MAX_TAG_KEY} bytes in UTF-8"
            )
        if not _fits(value, MAX_TAG_VALUE):
            raise InvalidTag(
                f"tag {key!r}: {shown(value)} is no text of up to {MAX_TAG_VALUE} bytes in UTF-8"
            )


def check_tag_key(value: object, what: str) -> None:
    """Raise ConfigurationError for what no tag can have as its key."""
    if not value or not _fits(value, MAX_TAG_KEY):
        raise ConfigurationError(
            f"{what} is text of 1 to {MAX_TAG_KEY} bytes in UTF-8, such as 'job', "
            f"not {shown(value)}"
        )


def check_tag_prefix(value: object, what: str) -> None:
    """Raise ConfigurationError for what no key of a tag can start with; all start with ''."""
    if not _fits(value, MAX_TAG_KEY):
        raise ConfigurationError(
            f"{what} is text of up to {MAX_TAG_KEY} bytes in UTF-8, such as 'billing.', "
            f"not {shown(value)}"
        )


def check_count(items: Sized, what: str) -> None:
    """Raise ConfigurationError for more items than one call takes."""
    if len(items) > MAX_AT_ONCE:
        raise ConfigurationError(
            f"{what} takes at most {MAX_AT_ONCE:,} at once, not {len(items):,}: make several calls"
        )


def check_cap(cap: object, what: str) -> None:
    """Raise ConfigurationError for a cap below 1: it would hold work for ever, unseen."""
    if cap is not None and not (is_whole(cap) and cap >= 1):
        raise ConfigurationError(
            f"{what} must be 1 or more, as a whole number, or None for no cap; got {shown(cap)}"
        )


def check_whole(value: object, least: int, most: int, what: str) -> None:
    """Raise ConfigurationError for what is no whole number in this range."""
    if not is_whole(value) or not least <= value <= most:
        raise ConfigurationError(
            f"{what} is a whole number from {least} to {most}, not {shown(value)}"
        )


def check_id(value: object, what: str) -> None:
    """Raise ConfigurationError for what is no task's id; whether there is such a task is open."""
    if not is_whole(value) or value.bit_length() > _MOST_BITS:
        raise ConfigurationError(f"{what} a task's id, such as submitted.id, not {shown(value)}")


def check_timeout(timeout: object) -> None:
    """Raise ConfigurationError for what is no time to wait; None is for ever."""
    if timeout is not None:
        check_length(timeout, "timeout")
        if not timeout:
            raise ConfigurationError("timeout must be more than zero, or None to wait for ever")


def checked_items(given: Iterable[T], what: str, example: str) -> list[T]:
    """Return what ``given`` holds; ConfigurationError for one thing where several are meant."""
    if not _is_several(given):
        raise ConfigurationError(f"{what} must be a list, such as {example}, not {shown(given)}")
    return list(given)


def _is_several(given: object) -> bool:
    return hasattr(given, "__iter__") and not isinstance(given, str | bytes | Mapping | type)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a whole number; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _fits(text: object, limit: int) -> bool:
    try:
        return isinstance(text, str) and len(text.encode()) <= limit
    except UnicodeEncodeError:
        return False
