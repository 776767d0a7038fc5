"""What stands between a task and a slot: the gates, each open or closed for all behind it."""

from __future__ import annotations

import enum
from collections.abc import Callable
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
    """One gate. Tasks that start `enter` it, and `leave` it when they have really stopped."""

    @property
    def kind(self) -> GateKind: ...
    @property
    def name(self) -> str:
        """What it is the gate of: a domain, a group, an executor, a type; or empty."""
        ...

    def is_open(self, now_ns: int) -> bool:
        """Whether one more task may start behind it at this time of the monotonic clock."""
        ...

    def enter(self, now_ns: int) -> None:
        """A task starts."""
        ...

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


class Flag:
    """A gate that somebody closes and opens: a pause, or a handler that is not there."""

    __slots__ = ("__weakref__", "_is_open", "kind", "name")

    def __init__(self, kind: GateKind, name: str, is_open: Callable[[], bool]) -> None:
        self.kind = kind
        self.name = name
        self._is_open = is_open

    def __repr__(self) -> str:
        return f"Flag({self.kind.value} {self.name!r}: {'open' if self._is_open() else 'closed'})"

    def is_open(self, now_ns: int) -> bool:  # noqa: ARG002 - other gates ask the time
        """Whether it is open now."""
        return self._is_open()

    def enter(self, now_ns: int) -> None:
        """Nothing is counted here."""

    def leave(self) -> None:
        """Nothing is counted here."""
