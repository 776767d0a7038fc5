"""Whether caps hold, each task runs once, and events tell only what is on record."""

from __future__ import annotations

from collections import Counter
from time import perf_counter

import anyio
import anyio.lowlevel
import attrs

from taskmill.define.context import Context
from taskmill.define.domain import Domain
from taskmill.define.task import Task
from taskmill.model.events import Completed, Dispatched, Enqueued
from taskmill.model.policies import Stop
from taskmill.model.status import TaskStatus
from taskmill.model.wording import plural
from taskmill.scheduler import Scheduler
from taskmill.selftest.jobs import Selftest
from taskmill.selftest.place import Place
from taskmill.selftest.values import Broken, Shown
from taskmill.store.sqlite.store import SqliteStore

CAP = 16
TASKS = 3_000
PATIENCE = 50.0
"""Seconds in which the tasks are to be over."""

EVENTS_OF = 100
"""From how many tasks the events are looked up."""


@attrs.define
class Tally:
    """What the handlers have counted."""

    cap: int
    running: int = 0
    most: int = 0
    times: Counter[int] = attrs.field(factory=Counter[int])
    """By its number, how often each task ran."""
    is_full: anyio.Event = attrs.field(factory=anyio.Event)
    """Set once all slots were in use."""

    def enter(self, number: int) -> None:
        """A handler begins."""
        self.times[number] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == self.cap:
            self.is_full.set()


class Count(Task[Selftest], name="count"):
    """Is counted while it runs."""

    number: int


@Count.handler
async def counted(task: Count, ctx: Context[Selftest]) -> None:
    """Wait until all slots have been in use, so that there is something to be counted."""
    tally = ctx.state(Tally)
    tally.enter(task.number)
    try:
        await (tally.is_full.wait() if not tally.is_full.is_set() else anyio.lowlevel.checkpoint())
    finally:
        tally.running -= 1


async def caps_hold(place: Place, *, tasks: int = TASKS) -> Shown:
    """Run many short tasks under a cap, and count how many run at once and how often each does."""
    tally = Tally(cap=CAP)
    domain = Domain(Selftest, handlers=[counted], state=[tally])
    path = place.folder / "caps.db"
    async with Scheduler(path, domains=[domain], max_concurrency=CAP, shutdown=Stop()) as opened:
        began = perf_counter()
        await opened.submit_many(Count(number=n) for n in range(tasks))
        with anyio.move_on_after(PATIENCE) as waiting:
            await opened.idle()
        if waiting.cancelled_caught:
            raise Broken(
                f"after {PATIENCE:.0f} s {len(tally.times):,} of {tasks:,} had run, "
                f"{tally.running} were running, and {tally.most} at once under a cap of {CAP}"
            )
        took = perf_counter() - began
        completed = await opened.count(status=TaskStatus.COMPLETED)
    if tally.most > CAP:
        raise Broken(f"{tally.most} tasks ran at once under a cap of {CAP}")
    if more := sum(times > 1 for times in tally.times.values()):
        raise Broken(f"{plural(more, 'task')} of {tasks:,} ran more than once")
    if completed != tasks or len(tally.times) != tasks:
        raise Broken(f"{len(tally.times):,} of {tasks:,} ran, and {completed:,} completed")
    return Shown(
        figure=f"{plural(tasks, 'task')}, each once; {tally.most} at once under a cap of {CAP}; "
        f"{tasks / took:,.0f} tasks/s with their submit"
    )


async def events_follow_commits(place: Place) -> Shown:
    """Look up what each event says, over a connection of its own, when it comes."""
    tally = Tally(cap=1)
    domain = Domain(Selftest, handlers=[counted], state=[tally])
    path, seen = place.folder / "events.db", 0
    async with Scheduler(path, domains=[domain], shutdown=Stop()) as opened:
        second = SqliteStore(path)
        await second.visit()
        try:
            for number in range(EVENTS_OF):
                async with opened.events(Count) as events:
                    await opened.submit(Count(number=number))
                    async for event in events:
                        if isinstance(event, Enqueued | Dispatched | Completed):
                            await _check_on_record(second, event)
                            seen += 1
                        if isinstance(event, Completed):
                            break
        finally:
            await second.close()
    return Shown(figure=f"{plural(seen, 'event')}, each found by another connection when it came")


async def _check_on_record(
    store: SqliteStore,
    event: Enqueued[Count] | Dispatched[Count] | Completed[Count, None],
) -> None:
    record, said = await store.get(event.id), type(event).__name__
    if record is None:
        raise Broken(f"{said} came of a task that was not on record")
    if isinstance(event, Dispatched) and record.run < event.run:
        raise Broken(f"{said} told of run {event.run} before it was on record")
    if isinstance(event, Completed) and record.status is not TaskStatus.COMPLETED:
        raise Broken(f"{said} came of a task that was on record as {record.status.value}")
