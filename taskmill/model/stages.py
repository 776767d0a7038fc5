"""What the next run of a task does, and whether it must be alone."""

from __future__ import annotations

import enum

_ALONE = 4
_ARRIVING = 8
_UNREADABLE = 16


class Stage(enum.IntFlag):
    """The part of a task's life that its next run carries out.

    ALONE is added to it for a task that was running at too many crashes.
    """

    EXECUTE = 0
    FINALIZE = 1
    """The handler has returned and its children have ended."""
    UNDO = 2
    """The task is to end; its ``on_cancel`` has yet to run."""
    ALONE = _ALONE
    ARRIVING = _ARRIVING
    """It was submitted by somebody else's transaction, which the dispatcher has yet to notice."""
    UNREADABLE = _UNREADABLE
    """Added where what is stored does not fit the type any more: held until the next opening."""

    @property
    def part(self) -> Stage:
        """The stage without ALONE and UNREADABLE."""
        return self if self < _ALONE else self & ~(Stage.ALONE | Stage.UNREADABLE)

    @property
    def is_unreadable(self) -> bool:
        """Whether it is held, for what is stored does not fit its type."""
        return self >= _UNREADABLE

    @property
    def is_alone(self) -> bool:
        """Whether nothing else may run beside it."""
        return _ALONE <= self < _ARRIVING  # at each start: `self & ALONE` takes ten times as long
