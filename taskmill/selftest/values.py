"""What a check is, and what it says: that its promise holds, does not, or cannot be tried here."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable

import attrs

from taskmill.selftest.place import Place


class Verdict(enum.StrEnum):
    """What has come of a check."""

    OK = "ok"
    FAILED = "FAILED"
    NOT_HERE = "not here"
    """It could not be tried on this machine; that says nothing about the promise."""


class Broken(Exception):
    """The promise does not hold; says what was seen instead."""


class Absent(Exception):
    """The promise cannot be tried here; says what is missing."""


@attrs.frozen(kw_only=True)
class Shown:
    """The promise holds."""

    figure: str
    """What was done and measured."""
    warnings: tuple[str, ...] = ()
    """What somebody should know all the same."""


@attrs.frozen(kw_only=True)
class Check:
    """One promise, and the way to try it."""

    name: str
    """In one word or two with dashes, for programs."""
    promise: str
    """A sentence that is true when the check passes."""
    look: Callable[[Place], Awaitable[Shown]]
    """Raises `Broken` or `Absent`; whatever else it raises is a failure too."""


@attrs.frozen(kw_only=True)
class Outcome:
    """What has come of one check."""

    name: str
    promise: str
    verdict: Verdict
    text: str
    """The figure, or what was seen instead, or what is missing."""
    warnings: tuple[str, ...] = ()
    seconds: float
