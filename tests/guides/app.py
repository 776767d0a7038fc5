"""What the tests of the guides run: the application of the page, and two plain domains."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import anyio
import attrs

from examples.media import (
    Ingest,
    IngestConfig,
    Notify,
    NotifyConfig,
    Process,
    ProcessConfig,
    ingest_domain,
    media_scheduler,
    notify_domain,
    process_domain,
)
from taskmill import (
    Context,
    Domain,
    DomainHandle,
    DomainKey,
    Scheduler,
    Task,
)
from taskmill.testing import FakeClock, virtual_time

SECOND = timedelta(seconds=1)
URL = "https://media.example/a.mov"
ADA = "ada@example.org"


@attrs.define
class World:
    """What the domains meet: downloads, encoders and mailboxes, in this process."""

    content: str = "source"
    fetch_seconds: float = 1
    encode_seconds: float = 10
    bad_heights: frozenset[int] = frozenset()
    errors: list[Exception] = attrs.field(factory=list[Exception])
    """Raised by what is asked of the world next."""
    asked: list[str] = attrs.field(factory=list[str])
    """The URLs that were downloaded."""
    sent: list[tuple[str, str]] = attrs.field(factory=list[tuple[str, str]])

    async def download(self, url: str) -> str:
        self._fail()
        self.asked.append(url)
        await anyio.sleep(self.fetch_seconds)
        return self.content

    async def encode(self, source: str, height: int) -> str:
        await anyio.sleep(self.encode_seconds)
        if height in self.bad_heights:
            raise ValueError(f"cannot encode {height}")
        return f"{source}@{height}"

    async def send(self, to: str, text: str) -> None:
        self._fail()
        self.sent.append((to, text))

    def _fail(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    def ingest(self) -> IngestConfig:
        return IngestConfig(download=self.download)

    def process(self) -> ProcessConfig:
        return ProcessConfig(encode=self.encode)

    def notify(self) -> NotifyConfig:
        return NotifyConfig(send=self.send)

    def domains(self) -> list[Domain[Any]]:
        return [
            ingest_domain(self.ingest()),
            process_domain(self.process()),
            notify_domain(self.notify()),
        ]


@attrs.frozen
class App:
    """An open scheduler in virtual time."""

    scheduler: Scheduler
    world: World
    clock: FakeClock

    @property
    def ingest(self) -> DomainHandle[Ingest]:
        return self.scheduler.domain(Ingest)

    @property
    def process(self) -> DomainHandle[Process]:
        return self.scheduler.domain(Process)

    @property
    def notify(self) -> DomainHandle[Notify]:
        return self.scheduler.domain(Notify)

    def seconds(self) -> float:
        return self.clock.monotonic()


@asynccontextmanager
async def media(
    more: Iterable[Domain[Any]] = (), max_concurrency: int = 16, **world: Any
) -> AsyncGenerator[App]:
    """The application of the page."""
    async with virtual_time() as clock:
        one = World(**world)
        scheduler = media_scheduler(
            ":memory:",
            ingest=one.ingest(),
            process=one.process(),
            notify=one.notify(),
            more=[*more],
            max_concurrency=max_concurrency,
            clock=clock,
        )
        async with scheduler:
            yield App(scheduler, one, clock)


# Domains that do nothing but take time, to see what holds what.


class Front(DomainKey, name="front"): ...


class Back(DomainKey, name="back"): ...


class Serve(Task[Front, int], name="serve"):
    number: int
    seconds: float = 1


class Sync(Task[Back, int], name="sync"):
    number: int
    seconds: float = 1


@attrs.define
class Log:
    """The numbers of what started, and the most that ran at once."""

    front: list[int] = attrs.field(factory=list[int])
    back: list[int] = attrs.field(factory=list[int])
    running: int = 0
    most: int = 0

    async def work(self, seconds: float) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await anyio.sleep(seconds)
        finally:
            self.running -= 1


@Serve.handler
async def serve(task: Serve, ctx: Context[Front]) -> int:
    ctx.state(Log).front.append(task.number)
    await ctx.state(Log).work(task.seconds)
    return task.number


@Sync.handler
async def sync(task: Sync, ctx: Context[Back]) -> int:
    ctx.state(Log).back.append(task.number)
    await ctx.state(Log).work(task.seconds)
    return task.number


def front_domain(**options: Any) -> Domain[Any]:
    return Domain(Front, handlers=[serve], **options)


def back_domain(**options: Any) -> Domain[Any]:
    return Domain(Back, handlers=[sync], **options)


@attrs.frozen
class Two:
    """Front and back on one scheduler."""

    scheduler: Scheduler
    front: DomainHandle[Front]
    back: DomainHandle[Back]
    log: Log
    clock: FakeClock

    async def keep_serving(self, seconds: int) -> None:
        """Submit more than there are slots for, all the time."""
        for number in range(seconds):
            await self.front.submit_many([Serve(number=number * 10 + n) for n in range(6)])
            await anyio.sleep(1)


@asynccontextmanager
async def two(
    *,
    front: dict[str, Any] | None = None,
    back: dict[str, Any] | None = None,
    max_concurrency: int = 4,
    **options: Any,
) -> AsyncGenerator[Two]:
    async with virtual_time() as clock:
        log = Log()
        domains = [front_domain(**(front or {})), back_domain(**(back or {}))]
        async with Scheduler(
            ":memory:",
            domains=domains,
            state=[log],
            max_concurrency=max_concurrency,
            clock=clock,
            **options,
        ) as scheduler:
            yield Two(scheduler, scheduler.domain(Front), scheduler.domain(Back), log, clock)
