"""What the tests of the life cycle run: tasks that do as their payloads say, in two domains."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import attrs

from taskmill import (
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Permanent,
    Scheduler,
    Task,
)
from taskmill.testing import FakeClock, virtual_time

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


class Work(DomainKey, name="work"): ...


class Other(DomainKey, name="other"): ...


@attrs.define
class Diary:
    """What the handlers wrote down, in order."""

    lines: list[str] = attrs.field(factory=list[str])
    bodies: dict[str, Callable[[Context[Any]], Any]] = attrs.field(factory=dict[str, Any])
    """What a `Do` of this name does."""

    def write(self, line: str) -> None:
        self.lines.append(line)

    def of(self, start: str) -> list[str]:
        return [line for line in self.lines if line.startswith(start)]


class Nap(Task[Work, str], name="nap"):
    """Sleeps, then returns its name."""

    name: str
    seconds: float = 0


class Fail(Task[Work], name="fail"):
    """Raises in its first ``times`` runs."""

    name: str = ""
    times: int = 1_000_000
    permanent: bool = False


class Do(Task[Work, str], name="do"):
    """Does what the diary has for its name."""

    name: str


class Family(Task[Work, str], name="family"):
    """Does what the diary has for its name, then finalizes."""

    name: str


class Tidy(Task[Work], name="tidy"):
    """Sleeps, and tidies up when it is cancelled."""

    name: str
    seconds: float = 1000
    tidying: float = 0


class Errand(Task[Other, int], name="errand"):
    """A task of another domain."""

    number: int = 0


@Nap.handler
async def nap(task: Nap, ctx: Context[Work]) -> str:
    ctx.state(Diary).write(f"nap {task.name}")
    await anyio.sleep(task.seconds)
    return task.name


@Fail.handler
async def fail(task: Fail, ctx: Context[Work]) -> None:
    ctx.state(Diary).write(f"fail {task.name}")
    if task.permanent:
        raise Permanent("told to")
    if ctx.record.run <= task.times:
        raise ValueError(f"no luck in run {ctx.record.run}")


@Do.handler
async def do(task: Do, ctx: Context[Work]) -> str:
    diary = ctx.state(Diary)
    diary.write(f"do {task.name}")
    body = diary.bodies.get(task.name)
    if body is not None:
        await body(ctx)
    return task.name


async def execute_family(task: Family, ctx: Context[Work]) -> list[str]:
    diary = ctx.state(Diary)
    diary.write(f"execute {task.name}")
    body = diary.bodies.get(task.name)
    if body is not None:
        await body(ctx)
    return [task.name, f"run {ctx.record.run}"]


async def finalize_family(task: Family, memo: list[str], ctx: Context[Work]) -> str:
    diary = ctx.state(Diary)
    diary.write(f"finalize {task.name}")
    body = diary.bodies.get(f"finalize {task.name}")
    if body is not None:
        await body(ctx)
    children = await ctx.children()
    return f"{memo} {len(children)} children"


family = Family.handler(execute_family, finalize=finalize_family)


async def run_tidy(task: Tidy, ctx: Context[Work]) -> None:
    ctx.state(Diary).write(f"tidy {task.name}")
    await anyio.sleep(task.seconds)


async def undo_tidy(task: Tidy, ctx: Context[Work]) -> None:
    diary = ctx.state(Diary)
    diary.write(f"undo {task.name}")
    await anyio.sleep(task.tidying)
    diary.write(f"undone {task.name}")


tidy = Tidy.handler(run_tidy, on_cancel=undo_tidy)


@Errand.handler
async def errand(task: Errand, ctx: Context[Other]) -> int:
    return task.number


@attrs.frozen
class App:
    """An open scheduler in virtual time."""

    scheduler: Scheduler
    work: DomainHandle[Work]
    other: DomainHandle[Other]
    diary: Diary
    clock: FakeClock

    def seconds(self) -> float:
        return self.clock.monotonic()

    def body(self, name: str, body: Callable[[Context[Any]], Any]) -> None:
        self.diary.bodies[name] = body


def domains(diary: Diary, **options: Any) -> list[Domain[Any]]:
    return [
        Domain(Work, handlers=[nap, fail, do, family, tidy], state=[diary], **options),
        Domain(Other, handlers=[errand]),
    ]


@asynccontextmanager
async def open_app(
    path: str = ":memory:",
    *,
    domain: dict[str, Any] | None = None,
    diary: Diary | None = None,
    clock: FakeClock | None = None,
    **options: Any,
) -> AsyncGenerator[App]:
    """The application; ``clock`` is given where a test opens it more than once."""
    diary = diary or Diary()
    options.setdefault("loop_limit", None)  # it goes by real time
    options.setdefault("poll_interval", timedelta(hours=1))  # virtual days have many half seconds
    if clock is None:
        async with (
            virtual_time() as clock,
            open_app(path, domain=domain, diary=diary, clock=clock, **options) as app,
        ):
            yield app
        return
    scheduler = Scheduler(path, domains=domains(diary, **(domain or {})), clock=clock, **options)
    async with scheduler:
        yield App(
            scheduler=scheduler,
            work=scheduler.domain(Work),
            other=scheduler.domain(Other),
            diary=diary,
            clock=clock,
        )
