"""Why a task is not running, or what happened to it: figures, and sentences for people."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.model.wording import plural


@attrs.frozen(kw_only=True)
class Hold:
    """One gate that holds a task."""

    gate: str
    """Its kind: ``"due"``, ``"domain_pause"``, ``"group"``, ``"type_rate"`` and so on."""
    name: str
    """What it is the gate of: a domain, a group, an executor, a type; or empty."""
    sentence: str
    figures: Mapping[str, object] = attrs.field(factory=dict[str, object])
    """What the sentence says, as numbers: ``cap``, ``held``, ``held_by``, ``tokens``..."""


@attrs.frozen(kw_only=True)
class GroupPlace:
    """How a group stands in the sharing of slots, while shares are on."""

    group: str | None
    weight: int
    min_slots: int
    held: int
    """Slots its tasks hold."""
    entitled: int
    """Slots it is entitled to, by weight, with what all groups run and wait for now."""

    def __str__(self) -> str:
        if self.group is None:
            who, holds, is_ = "Tasks without a group", "hold", "are"
        else:
            who, holds, is_ = f"Group {self.group!r}", "holds", "is"
        return (
            f"{who} (weight {self.weight}) {holds} {plural(self.held, 'slot')} "
            f"and {is_} entitled to {self.entitled}."
        )


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a task is not running now, or what happened to it. ``str()`` is the whole story."""

    id: TaskId
    type: str
    status: TaskStatus
    sentence: str
    """The most important of it."""
    holds: tuple[Hold, ...] = ()
    """Every gate that holds the task, in the order in which they are asked."""
    ahead: int | None = None
    """How many tasks of its type, group and priority go first; None where it is not known."""
    effective_priority: int | None = None
    share: GroupPlace | None = None

    def __str__(self) -> str:
        lines = [self.sentence, *(f"- {hold.sentence}" for hold in self.holds[1:])]
        if self.share is not None and self.holds:
            lines.append(f"- {self.share}")
        return "\n".join(lines)
