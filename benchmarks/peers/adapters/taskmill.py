"""taskmill: one SQLite file, WAL; the variant is the durability."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.peers.harness import Adapter
from taskmill import Context, Domain, DomainKey, Scheduler, Task


class Bench(DomainKey, name="bench"):
    """The tasks that count."""


class Step(Task[Bench], name="step"):
    """A task that does nothing but be counted."""

    number: int


class Taskmill(Adapter):
    """The producer is a paused scheduler, which closes before the worker opens another one."""

    distribution = "taskmill"
    has_bulk = True

    def __init__(self, assignment, ran):
        super().__init__(assignment, ran)
        self.opened = AsyncExitStack()
        self.scheduler = None

    @property
    def settings(self):
        # "power" syncs every commit as the other SQLite libraries do; "process" leaves that to
        # checkpoints
        return f"durability={self.assignment.variant!r}"

    async def open(self):
        await self._open()
        await self.scheduler.pause()

    async def _open(self, *, dispatch=True):
        async def step(task: Step, _: Context[Bench]) -> None:
            self.ran(task.number)

        scheduler = Scheduler(
            Path(self.assignment.folder) / "bench.db",
            domains=[Domain(Bench, handlers=[Step.handler(step)])],
            max_concurrency=self.assignment.concurrency,
            durability=self.assignment.variant,
            dispatch=dispatch,
        )
        self.scheduler = await self.opened.enter_async_context(scheduler)

    async def submit(self, number: int):
        await self.scheduler.submit(Step(number=number))

    async def submit_many(self, numbers: Sequence[int]):
        await self.scheduler.submit_many(Step(number=number) for number in numbers)

    async def leave(self):
        await self.opened.aclose()

    async def start(self):
        await self._open()
        await self.scheduler.resume()  # the producer's pause is in the file

    async def stop(self):
        await self.opened.aclose()

    async def remaining(self):
        await self._open(dispatch=False)
        async with self.opened:
            return await self.scheduler.domain(Bench).count()


ADAPTER = Taskmill
