"""Whether a commit waits for the disk, and what happens when there is no room left on it."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from statistics import median
from time import perf_counter

import anyio

from taskmill.define.context import Context
from taskmill.define.domain import Domain
from taskmill.define.task import Task
from taskmill.model.errors import StoreError
from taskmill.model.policies import Stop
from taskmill.model.status import TaskStatus
from taskmill.model.wording import length, plural
from taskmill.scheduler import Scheduler
from taskmill.selftest.jobs import Selftest
from taskmill.selftest.place import Place
from taskmill.selftest.values import Broken, Shown
from taskmill.store.sqlite.store import Durability, SqliteStore

TIMES = 40
INSTANT = 0.000_05
"""Seconds; what takes less has reached no disk, unless that has a memory with its own power."""
_MEASURABLE = 0.000_2
"""Seconds; below that a commit and an fsync are not told apart."""


class Fill(Task[Selftest, str], name="fill"):
    """Takes up room, before it runs and after."""

    number: int
    ballast: str = ""


@Fill.handler
async def fill(task: Fill, ctx: Context[Selftest]) -> str:  # noqa: ARG001 - as handlers are called
    """Wait until the check says so, and return something that needs room."""
    await ctx.state(anyio.Event).wait()
    return "x" * 20_000


async def commit_waits(place: Place, *, fsync: Callable[[int], object] = os.fsync) -> Shown:
    """Time an fsync and submits with both kinds of durability, in turns."""
    times: dict[str, list[float]] = {"fsync": [], "power": [], "process": []}
    with (place.folder / "fsync").open("wb", buffering=0) as file:
        async with AsyncExitStack() as opened:
            schedulers = {
                kind: await opened.enter_async_context(_scheduler(place, kind)) for kind in _KINDS
            }
            for scheduler in schedulers.values():
                await scheduler.pause()
            for number in range(TIMES):
                file.write(bytes(4096))
                began = perf_counter()
                fsync(file.fileno())
                times["fsync"].append(perf_counter() - began)
                for kind, scheduler in schedulers.items():
                    began = perf_counter()
                    await scheduler.submit(Fill(number=number))
                    times[kind].append(perf_counter() - began)
    return judged(
        fsync=median(times["fsync"]),
        power=median(times["power"]),
        process=median(times["process"]),
        is_memory=place.is_memory,
    )


def judged(*, fsync: float, power: float, process: float, is_memory: bool) -> Shown:
    """What these times say, in seconds: of an fsync, and of submits that wait for their commit."""
    figure = (
        f"an fsync takes {length(fsync)}; a submit {length(power)} with durability power, "
        f"{length(process)} with process"
    )
    if fsync >= _MEASURABLE and power < fsync / 2:
        raise Broken(f"{figure}: so it does not wait until its commit is on the disk")
    warnings: list[str] = []
    if is_memory:
        warnings.append("this is memory: nothing that is kept here survives a power cut")
    elif fsync < INSTANT:
        warnings.append(
            "an fsync that takes next to nothing has written to no disk, unless that has a cache "
            "with its own power supply: it is memory, a virtual disk, or a cache that says done "
            "too early. Then a power cut may lose the last commits, whatever the durability"
        )
    if sys.platform == "darwin":
        warnings.append(
            "on macOS an fsync leaves what it writes in the cache of the drive, which a power cut "
            "may lose"
        )
    return Shown(figure=figure, warnings=tuple(warnings))


async def full_goes_on(place: Place) -> Shown:
    """Let a database grow no more, submit, let what runs end, and then give it room again."""
    store, go_on = SqliteStore(place.folder / "full.db"), anyio.Event()
    domain = Domain(Selftest, handlers=[fill], state=[go_on])
    async with Scheduler(store=store, domains=[domain], shutdown=Stop()) as scheduler:
        accepted = await scheduler.submit_many(Fill(number=n) for n in range(40))
        await limit_growth(store, pages=0)
        refused = [await _refusal(scheduler, number) for number in range(3)]
        go_on.set()
        while scheduler.active_tasks():  # noqa: ASYNC110 - their results find no room, and wait
            await anyio.sleep(0.005)
        if await scheduler.count(status=TaskStatus.COMPLETED):
            raise Broken("results were stored where there was no room: the limit does not hold")
        await limit_growth(store, pages=None)
        for submitted in accepted:
            await scheduler.result(submitted)
        await scheduler.result(await scheduler.submit(Fill(number=100, ballast="y" * 200_000)))
        await scheduler.idle()
        completed = await scheduler.count(status=TaskStatus.COMPLETED)
    in_all = len(accepted) + 1
    if completed != in_all:
        raise Broken(f"{completed:,} of {plural(in_all, 'accepted task')} completed")
    return Shown(
        figure=f"{plural(len(refused), 'submit')} refused, {plural(len(accepted), 'task')} kept "
        "and completed once there was room"
    )


async def limit_growth(store: SqliteStore, *, pages: int | None) -> None:
    """Let the open database grow by so many pages, or without limit."""

    def limit(db: sqlite3.Connection) -> None:
        [size] = db.execute("PRAGMA page_count").fetchone()
        most = _MOST_PAGES if pages is None else int(size) + pages
        db.execute(f"PRAGMA max_page_count = {most}")

    # The limit is one of the writing connection alone, which is nobody else's business.
    writer = store._writer  # pyright: ignore[reportPrivateUsage] # noqa: SLF001
    if writer is None:
        raise ValueError(f"{store!r} is not open")
    await writer.run(limit)


_MOST_PAGES = 2**31
_KINDS: tuple[Durability, ...] = ("power", "process")


async def _refusal(scheduler: Scheduler, number: int) -> str:
    try:
        await scheduler.submit(Fill(number=1000 + number, ballast="y" * 200_000))
    except StoreError as error:
        if "full" not in str(error):
            raise Broken(f"the refusal does not say that there is no room: {error}") from error
        return str(error)
    raise Broken("a submit was accepted that there was no room for")


def _scheduler(place: Place, durability: Durability) -> Scheduler:
    path = place.folder / f"{durability}.db"
    domain = Domain(Selftest, handlers=[fill], state=[anyio.Event()])
    return Scheduler(path, domains=[domain], durability=durability, shutdown=Stop())
