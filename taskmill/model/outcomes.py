"""What came of a submit."""

from __future__ import annotations

import enum
from typing import Generic, final

import attrs
from typing_extensions import TypeVar

from taskmill.model.record import TaskId

R = TypeVar("R", covariant=True)


class SubmitOutcome(enum.Enum):
    """What a submit did."""

    INSERTED = "inserted"
    """A new task."""
    DUPLICATE = "duplicate"
    """An active task already stands for this work; nothing changed."""
    UPGRADED = "upgraded"
    """A waiting task already stands for this work; it took the better priority."""
    REQUEUED = "requeued"
    """The task that stands for this work is running; a follow-up will run after it."""
    SUPERSEDED = "superseded"
    """A new task, in the place of the one that stood for this work."""
    REJECTED = "rejected"
    """A task already stands for this work, and the call asked for nothing to change then."""


@final
@attrs.frozen(kw_only=True)
class Submitted(Generic[R]):
    """What came of a submit; ``id`` is the task that now stands for the work."""

    id: TaskId
    outcome: SubmitOutcome
    replaced: TaskId | None = None
    """The task that this one took the place of."""
    paused: bool = False
    """Whether a pause of its scheduler, domain or group holds it."""
