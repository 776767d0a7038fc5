"""What a store holds, and how it is filled: so many tasks, in groups, of types, with tags."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import attrs

from benchmarks.work import batches
from taskmill import Context, Domain, DomainKey, GroupPolicy, Handler, Scheduler, Stop, Task

WEIGHTS = 3
"""Groups have weights from 1 to this, so that they share the slots."""


@attrs.frozen(kw_only=True)
class Shape:
    """What the tasks of a store are like."""

    stay: int
    """How many stay pending behind those that are drained."""
    groups: int = 0
    """In how many groups they are, in turns, with weights; 0: in none."""
    types: int = 1
    """Of how many types they are, in turns."""
    tags: int = 0
    """How many tags each has."""


class Scale(DomainKey, name="scale"):
    """The tasks that count."""


Run: TypeAlias = Callable[[int], Awaitable[None]]
"""What the handlers do with the number of a task."""


@attrs.frozen
class Kind:
    """One of the types."""

    make: Callable[..., Task[Scale]]
    handler: Handler[Scale]


def kinds(shape: Shape, run: Run) -> list[Kind]:
    """The types that the tasks are of."""
    return [_kind(index, run) for index in range(shape.types)]


def _kind(index: int, run: Run) -> Kind:
    class Piece(Task[Scale], name=f"piece-{index}"):
        number: int
        group: str | None
        tags: int

        def task_group(self) -> str | None:
            return self.group

        def task_tags(self) -> Mapping[str, str]:
            return {f"tag-{key}": f"value-{self.number % 100}" for key in range(self.tags)}

    @Piece.handler
    async def handler(piece: Piece, _: Context[Scale]) -> None:
        await run(piece.number)

    return Kind(Piece, handler)


def scheduler(path: Path, shape: Shape, of: list[Kind], concurrency: int) -> Scheduler:
    """A scheduler for tasks of a shape; what still runs when it is closed is left pending."""
    policies = {
        _group(number, shape) or "": GroupPolicy(weight=1 + number % WEIGHTS)
        for number in range(shape.groups)
    }
    return Scheduler(
        path,
        domains=[Domain(Scale, handlers=[kind.handler for kind in of])],
        max_concurrency=concurrency,
        groups=policies,
        fair=bool(policies),
        shutdown=Stop(),
    )


async def submit(opened: Scheduler, shape: Shape, of: list[Kind], numbers: range) -> None:
    """Submit the tasks with these numbers, 1,000 at a time."""
    for batch in batches(numbers):
        await opened.submit_many(_task(number, shape, of) for number in batch)


async def fill(path: Path, shape: Shape, numbers: range) -> None:
    """Leave these tasks pending in a file; the first few of them have been started, and stopped."""

    async def wait(_: int) -> None:
        await anyio.sleep_forever()

    of = kinds(shape, wait)
    async with scheduler(path, shape, of, concurrency=1) as opened:
        await submit(opened, shape, of, numbers)


def _task(number: int, shape: Shape, of: list[Kind]) -> Task[Any, Any]:
    kind = of[number % shape.types]
    return kind.make(number=number, group=_group(number, shape), tags=shape.tags)


def _group(number: int, shape: Shape) -> str | None:
    return f"group {number % shape.groups}" if shape.groups else None
