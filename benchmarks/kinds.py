"""The types of task that are measured: each is a number, and one thing that costs something."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from taskmill import DomainKey, RetryPolicy, Task

GROUPS = 1000
"""In how many groups the tasks are that are in groups."""


class Numbered(Protocol):
    """A task that counts."""

    @property
    def number(self) -> int:
        """Which of the tasks of a run it is; the first is 0."""
        ...


class Bench(DomainKey, name="bench"):
    """The tasks that count."""


class Step(Task[Bench], name="step"):
    """A task that does nothing but be counted."""

    number: int


class Grouped(Task[Bench], name="grouped"):
    """A step of one of many groups."""

    number: int

    def task_group(self) -> str:
        return group_name(self.number)


class Tagged(Task[Bench], name="tagged"):
    """A step with tags."""

    number: int
    count: int

    def task_tags(self) -> Mapping[str, str]:
        return {f"tag-{key}": f"value-{self.number % 100}" for key in range(self.count)}


class Keyed(Task[Bench], name="keyed"):
    """A step whose identity is a key."""

    number: int

    def task_key(self) -> str:
        return f"step-{self.number}"


class Flaky(Task[Bench], name="flaky", retry=RetryPolicy.constant(1, timedelta(0))):
    """A step whose first attempt fails."""

    number: int


class Sized(Task[Bench, str], name="sized"):
    """A step that returns so many bytes."""

    number: int
    size: int


class Parent(Task[Bench], name="parent"):
    """A step that spawns steps, as many as to have ``count`` with itself."""

    number: int
    count: int


class Plugs(DomainKey, name="plugs"):
    """The tasks that keep every slot taken while the others are submitted."""


class Plug(Task[Plugs], name="plug"):
    """A task that takes one slot."""

    number: int


def group_name(number: int) -> str:
    """The group of a task in a group."""
    return f"group {number % GROUPS}"


def steps(n: int) -> list[Step]:
    """Tasks 0 to n - 1."""
    return [Step(number=number) for number in range(n)]
