"""How to test code that uses taskmill: time that stands still, or that runs as fast as it can."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
from typing_extensions import TypeVar

from taskmill.define.domain import Domain
from taskmill.define.task import DomainKey, Task
from taskmill.handle import DomainHandle
from taskmill.model.record import TaskRecord
from taskmill.model.status import TaskStatus
from taskmill.scheduler import Scheduler

D = TypeVar("D", bound=DomainKey)

START = datetime(2030, 1, 1, tzinfo=UTC)


class FakeClock:
    """The clock that `virtual_time` yields, for ``Scheduler(..., clock=clock)``.

    Made by hand it moves when it is told to, and wakes nobody who sleeps: so it is for code that
    reads `now` alone. A scheduler sleeps in the time of its event loop, and needs `virtual_time`.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._jumped = timedelta(0)
        self._holds = 0

    def now(self) -> datetime:
        """The wall clock."""
        return self._start + timedelta(seconds=self._elapsed) + self._jumped

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.pass_seconds(by.total_seconds())

    def pass_seconds(self, seconds: float) -> None:
        """Let time pass, in steps that may be finer than a timedelta's."""
        self._elapsed += seconds

    def jump(self, by: timedelta) -> None:
        """Set the wall clock forward or back, as an administrator would; no time passes."""
        self._jumped += by

    def hold(self) -> AbstractContextManager[object]:
        """Note that a call is under way in a thread."""
        return self._held()

    @property
    def is_held(self) -> bool:
        """Whether a call is under way in a thread, so that no time may pass."""
        return self._holds > 0

    @contextmanager
    def _held(self) -> Generator[None]:
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1


@asynccontextmanager
async def virtual_time(start: datetime = START) -> AsyncGenerator[FakeClock]:
    """Make sleeping instant, and in order, on the running event loop.

    Whenever everything in the loop waits, time moves to the next thing that is due. Yields the
    clock of that time; give it to ``Scheduler(..., clock=clock)``, so that due times and timeouts
    follow it. While a store call or a thread handler is under way, time stands still. Needs
    asyncio's own event loop.
    """
    loop: Any = asyncio.get_running_loop()
    selector = getattr(loop, "_selector", None)
    if selector is None:
        raise TypeError(f"virtual_time needs asyncio's selector event loop, not {loop!r}")
    clock = FakeClock(start)
    real_time = loop.time
    origin = real_time()
    loop.time = lambda: origin + clock.monotonic()
    loop._selector = _VirtualSelector(selector, clock)  # noqa: SLF001 - asyncio has no public way
    try:
        yield clock
    finally:
        loop._selector = selector  # noqa: SLF001 - as above
        loop.time = real_time


class _VirtualSelector:
    """Waits for input as the selector it wraps; waits for time by moving the clock."""

    def __init__(self, selector: Any, clock: FakeClock) -> None:
        self._selector = selector
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None or timeout <= 0:
            ready: list[Any] = self._selector.select(timeout)
        elif self._clock.is_held:
            ready = self._selector.select(None)
        else:
            ready = self._selector.select(0)
            if not ready:
                self._clock.pass_seconds(timeout)
        return ready


# --- for tests of domains ------------------------------------------------------------------------


@asynccontextmanager
async def scheduler_in_memory(*domains: Domain[Any], **options: Any) -> AsyncGenerator[Scheduler]:
    """An open scheduler on a memory store, in virtual time; ``options`` are the scheduler's.

    Its ``loop_limit``, which goes by real time, is None unless given.
    """
    options.setdefault("loop_limit", None)
    async with (
        virtual_time() as clock,
        Scheduler(":memory:", domains=domains, clock=clock, **options) as scheduler,
    ):
        yield scheduler


async def run(domain: Domain[Any], *tasks: Task[Any, Any], **options: Any) -> list[TaskRecord]:
    """Run tasks of one domain on a memory store, in virtual time, until they have ended.

    Returns their records, in order; also where they failed. ``options`` are the scheduler's.
    """
    async with scheduler_in_memory(domain, **options) as scheduler:
        submitted = await scheduler.submit_many(tasks)
        return [await scheduler.wait(each.id) for each in submitted]


async def drain(scheduler: Scheduler) -> None:
    """Wait until nothing is left that can still run, also of what is due later.

    What a pause holds, what a failed dependency holds and what has no handler is left. In
    `virtual_time` this takes no time.
    """
    while True:
        await scheduler.idle()
        seen = await scheduler.snapshot()
        waiting = [record for record in await _pending(scheduler) if record.due_at is not None]
        due = min((record.due_at for record in waiting if record.due_at), default=None)
        if due is None:
            return
        await anyio.sleep(max((due - seen.at).total_seconds(), 0) + 0.001)


async def _pending(scheduler: Scheduler) -> list[TaskRecord]:
    found: list[TaskRecord] = []
    after = None
    while True:
        page = await scheduler.tasks(status=TaskStatus.PENDING, limit=10_000, after=after)
        found += page
        after = page.next
        if after is None:
            return found


async def assert_submitted(
    handle: DomainHandle[D], task: type[Task[D, Any]], *, times: int | None = None, **fields: object
) -> list[TaskRecord]:
    """Assert that tasks of a type were submitted, with these fields, and return their records.

    ``times`` is how many exactly; at least one without it. Tasks in any state count.
    """
    codec = handle.codec(task)
    found = [
        record async for record in _all(handle, task) if _has(codec.decode(record.payload), fields)
    ]
    wanted = f"{task.__name__}({', '.join(f'{k}={v!r}' for k, v in fields.items())})"
    if times is None and not found:
        raise AssertionError(f"no {wanted} was submitted to {handle!r}")
    if times is not None and len(found) != times:
        raise AssertionError(
            f"{wanted} was submitted {len(found)} times to {handle!r}, not {times}"
        )
    return found


async def _all(handle: DomainHandle[D], task: type[Task[D, Any]]) -> AsyncGenerator[TaskRecord]:
    after = None
    while True:
        page = await handle.tasks(types=[task], status=list(TaskStatus), limit=1000, after=after)
        for record in page:
            yield record
        after = page.next
        if after is None:
            return


def _has(payload: object, fields: dict[str, object]) -> bool:
    return all(getattr(payload, name) == value for name, value in fields.items())
