"""What a long answer is given in: a page, and the cursor to the next one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NewType, TypeVar

import attrs

T = TypeVar("T")

Cursor = NewType("Cursor", str)
"""Where a page ended, as text to hand back; what it says is of no meaning to anybody else."""

MAX_PAGE = 10_000
"""How many items a page has at most."""


@attrs.frozen
class Page(Generic[T]):
    """Some of what was asked for, in order.

    The cursor of a page stays good: the next page begins behind the last item of this one,
    whatever became of it.
    """

    items: tuple[T, ...]
    next: Cursor | None
    """To be given as ``after`` for the next page; None where this one is the last."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)
