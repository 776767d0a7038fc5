"""Whether the name of a task type matches a pattern, such as ``"ml::*"``.

A name is segments joined by ``::``, as in ``"ml::train_model"``. A pattern with ``::`` is matched
against all of it, any other pattern against its last segment, the task's own name, so that
``heavy_*`` holds in every domain. ``*`` stands for any characters within one segment, ``**`` as a
whole segment for any number of segments; both may stand for none. ``**`` alone matches every name.
All else is literal, and case counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from taskmill.model.errors import ConfigurationError
from taskmill.model.showing import shown

_Glob: TypeAlias = tuple[str, ...]
"""A segment of a pattern: what stands between its ``*``."""

_Run: TypeAlias = tuple[_Glob, ...]
"""The segments of a pattern between two ``**``."""


@attrs.frozen
class Pattern:
    """A pattern for names, checked and taken apart when it is made."""

    text: str
    _runs: tuple[_Run, ...] = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda pattern: _taken_apart(pattern.text), takes_self=True),
    )

    def matches(self, name: str) -> bool:
        """Whether it matches this qualified name."""
        return _run_through(self._runs, self.subject(name).split("::"))

    def subject(self, name: str) -> str:
        """What of a name the pattern is matched against."""
        return name if "::" in self.text else name.split("::")[-1]


def _taken_apart(text: object) -> tuple[_Run, ...]:
    """Check a pattern and return its runs, one more than it has ``**``."""
    if not isinstance(text, str) or not text:
        raise ConfigurationError(
            f"a pattern must be text, such as 'ml::*', not {shown(text)}; "
            "the pattern of every name is '**'"
        )
    if " " in text or not text.isprintable():
        raise ConfigurationError(
            f"the pattern {shown(text)} has white space or something unprintable in it, which "
            "no name of a task type has; leave it out"
        )
    runs: list[list[_Glob]] = [[]]
    for segment in text.split("::"):
        if not segment:
            raise ConfigurationError(
                f"the pattern {shown(text)} has an empty segment beside a '::'; "
                "write '*' there for any one segment, '**' for any number of them, or leave "
                "the '::' out"
            )
        if segment == "**":
            runs.append([])
        else:
            runs[-1].append(tuple(segment.split("*")))
    return tuple(tuple(run) for run in runs)


def _run_through(runs: Sequence[_Run], segments: Sequence[str]) -> bool:
    """Whether the runs are there: the first at the start, the last at the end, in order between.

    What is between is taken as far left as it goes. A run has a fixed number of segments, so that
    leaves the most for the next one, and no other choice has to be tried.
    """
    first, last = runs[0], runs[-1]
    if len(runs) == 1:
        return len(segments) == len(first) and _is_at(0, first, segments)
    at, end = len(first), len(segments) - len(last)
    if at > end or not _is_at(0, first, segments) or not _is_at(end, last, segments):
        return False
    for run in runs[1:-1]:
        places = range(at, end - len(run) + 1)
        place = next((place for place in places if _is_at(place, run, segments)), None)
        if place is None:
            return False
        at = place + len(run)
    return True


def _is_at(place: int, run: _Run, segments: Sequence[str]) -> bool:
    return all(_globs(glob, segments[place + n]) for n, glob in enumerate(run))


def _globs(glob: _Glob, segment: str) -> bool:
    """Whether a segment matches, the same way: its ends first, then what is between, from left."""
    first, last = glob[0], glob[-1]
    if len(glob) == 1:
        return segment == first
    at, end = len(first), len(segment) - len(last)
    if at > end or not segment.startswith(first) or not segment.endswith(last):
        return False
    for piece in glob[1:-1]:
        place = segment.find(piece, at, end)
        if place < 0:
            return False
        at = place + len(piece)
    return True
