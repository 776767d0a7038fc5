"""A small application that the engine's tests run: one domain that does as its payloads say."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import attrs

from taskmill import Context, Domain, DomainHandle, DomainKey, Permanent, Scheduler, Task
from taskmill.testing import FakeClock, virtual_time


class Work(DomainKey, name="work"): ...


class Other(DomainKey, name="other"): ...


class Nap(Task[Work, str], name="nap"):
    """Sleeps, then returns its name; says on the board when it starts and stops."""

    name: str
    seconds: float = 0

    def task_key(self) -> str | None:
        return self.name


class Fail(Task[Work], name="fail"):
    """Raises as often as it is told to, then succeeds."""

    name: str = ""
    times: int = 1_000_000
    permanent: bool = False


class Errand(Task[Other, int], name="errand"):
    """A task of another domain."""

    number: int = 0


@attrs.define
class Board:
    """What the handlers wrote down."""

    started: list[str] = attrs.field(factory=list[str])
    stopped: list[str] = attrs.field(factory=list[str])
    most: int = 0

    @property
    def running(self) -> int:
        return len(self.started) - len(self.stopped)


@Nap.handler
async def nap(task: Nap, ctx: Context[Work]) -> str:
    board = ctx.state(Board)
    board.started.append(task.name)
    board.most = max(board.most, board.running)
    try:
        await anyio.sleep(task.seconds)
    finally:
        board.stopped.append(task.name)
    return task.name


@Fail.handler
async def fail(task: Fail, ctx: Context[Work]) -> None:
    ctx.state(Board).started.append(f"attempt {ctx.attempt}")
    if task.permanent:
        raise Permanent("told to")
    if ctx.record.run <= task.times:
        raise ValueError(f"no luck in run {ctx.record.run}")


@Errand.handler
async def errand(task: Errand, ctx: Context[Other]) -> int:
    return task.number


@attrs.frozen
class App:
    """An open scheduler in virtual time."""

    scheduler: Scheduler
    work: DomainHandle[Work]
    other: DomainHandle[Other]
    board: Board
    clock: FakeClock

    def seconds(self) -> float:
        """How much time has passed."""
        return self.clock.monotonic()


def domains(board: Board, **options: Any) -> list[Domain[Any]]:
    return [
        Domain(Work, handlers=[nap, fail], state=[board], **options),
        Domain(Other, handlers=[errand]),
    ]


@asynccontextmanager
async def open_app(
    path: str = ":memory:", *, domain: dict[str, Any] | None = None, **options: Any
) -> AsyncGenerator[App]:
    """The application, on a memory store and in virtual time unless told otherwise."""
    board = Board()
    options.setdefault("loop_limit", None)  # it goes by real time
    options.setdefault("poll_interval", timedelta(hours=1))  # virtual days have many half seconds
    async with virtual_time() as clock:
        scheduler = Scheduler(
            path, domains=domains(board, **(domain or {})), clock=clock, **options
        )
        async with scheduler:
            yield App(
                scheduler=scheduler,
                work=scheduler.domain(Work),
                other=scheduler.domain(Other),
                board=board,
                clock=clock,
            )


SECOND = timedelta(seconds=1)
