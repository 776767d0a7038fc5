"""What stands between a task and a slot: the gates, each open or closed for all behind it."""

from __future__ import annotations

import enum
from typing import Protocol


class GateKind(enum.Enum):
    """The gates, in the order in which they are asked and explained."""

    HANDLER = "handler"
    PAYLOAD = "payload"
    SCHEDULER_PAUSE = "scheduler_pause"
    DOMAIN_PAUSE = "domain_pause"
    GROUP_PAUSE = "group_pause"
    UNROUTABLE = "unroutable"
    EXECUTOR = "executor"
    GLOBAL = "global"
    DOMAIN = "domain"
    GROUP = "group"
    PRESSURE = "pressure"
    IO = "io"
    TYPE_RATE = "type_rate"
    GROUP_RATE = "group_rate"


class Gate(Protocol):
    """One gate."""

    @property
    def kind(self) -> GateKind: ...
    @property
    def name(self) -> str:
        """What it is the gate of: a domain, a group, an executor, a type; or empty."""
        ...

    def is_open(self, now_ns: int) -> bool:
        """Whether one more task may start behind it at this time of the monotonic clock."""
        ...


class Toll(Gate, Protocol):
    """A gate that counts: who starts has to `enter` it."""

    def enter(self, now_ns: int) -> None:
        """A task starts."""
        ...


class Held(Toll, Protocol):
    """A gate that counts who is behind it: who has entered has to leave when really stopped."""

    def leave(self) -> None:
        """A task that entered has stopped."""
        ...


class Slots:
    """A cap: at most so many tasks at once. None is no cap."""

    __slots__ = ("__weakref__", "cap", "held", "is_taken_alone", "kind", "name")

    def __init__(self, kind: GateKind, name: str, cap: int | None) -> None:
        self.kind = kind
        self.name = name
        self.cap = cap
        self.held = 0
        self.is_taken_alone = False
        """Whether what holds a slot runs alone."""

    def __repr__(self) -> str:
        return f"Slots({self.kind.value} {self.name!r}: {self.held} of {self.cap})"

    @property
    def room(self) -> int | None:
        """How many more may start; None for any number. Below zero after the cap was lowered."""
        return None if self.cap is None else self.cap - self.held

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Whether a slot is free."""
        return (self.cap is None or self.held < self.cap) and not self.is_taken_alone

    def enter(self, now_ns: int) -> None:  # noqa: ARG002 - as above
        """Take a slot."""
        self.held += 1

    def leave(self) -> None:
        """Give a slot back."""
        self.held -= 1


class Shut:
    """A gate that lets nobody through: where a handler or an executor is not there."""

    __slots__ = ("__weakref__", "kind", "name")

    def __init__(self, kind: GateKind, name: str) -> None:
        self.kind = kind
        self.name = name

    def __repr__(self) -> str:
        return f"Shut({self.kind.value} {self.name!r})"

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Never."""
        return False
