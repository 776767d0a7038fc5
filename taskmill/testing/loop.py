"""An event loop in virtual time that runs what is ready in an order drawn from a seed."""

from __future__ import annotations

import asyncio
import heapq
from bisect import insort
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from random import Random
from typing import Any, TypeVar, cast

from taskmill.testing.time import FakeClock

R = TypeVar("R")

STEP = 20e-6
"""Seconds that pass with each callback, so that what spins meets its timeouts."""


MOST_STEPS = 500_000
"""Callbacks after which one process of an exploration is held to go round in circles."""


class Stranded(RuntimeError):
    """Everything in the loop waits, and nothing is left that could end that."""


class NumberedTask(asyncio.Task[R]):
    """A task that knows as the how-many-th thing of its loop it was made."""

    def __init__(
        self,
        coro: Coroutine[Any, Any, R] | Generator[Any, None, R],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str | None,
        context: Context | None,
        number: int,
    ) -> None:
        self.number = number
        super().__init__(coro, loop=loop, name=name, context=context)


class SeededLoop:
    """Runs callbacks one at a time until the coroutine of `run` is done, or it is halted.

    Which of the ready ones is next is drawn from ``rng``; it depends on nothing else but what the
    code does: not on hashes, addresses or time. When none is ready, ``clock`` moves to the next
    timer, after ``on_quiet``.
    """

    def __init__(self, clock: FakeClock, rng: Random, *, on_quiet: Callable[[], None]) -> None:
        self._clock = clock
        self._rng = rng
        self._on_quiet = on_quiet
        self._ready: list[tuple[int, int, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self._itself = cast("asyncio.AbstractEventLoop", self)  # it has what schedulers ask for
        self._room = 256
        self._is_running = False
        self.tasks: list[asyncio.Task[Any]] = []
        """All that were made, in order: they are kept, so that none ends by being forgotten."""
        self.is_halted = False
        self.steps = 0
        self.halt_at: int | None = None
        """The step before which it halts."""
        self.faults: list[dict[str, Any]] = []
        """What no callback's caller could be told."""

    # --- running ---

    def run(self, main: Coroutine[Any, Any, R]) -> R | None:
        """The result of ``main``; None where it was halted before that was done."""
        asyncio._set_running_loop(self._itself)  # noqa: SLF001 - what loops call, says asyncio
        self._is_running = True
        try:
            task = self.create_task(main)
            while not task.done() and not self.is_halted:
                self._step()
            return task.result() if task.done() and not self.is_halted else None
        finally:
            self._is_running = False
            asyncio._set_running_loop(None)  # noqa: SLF001 - as above

    def halt(self) -> None:
        """Run nothing further, as if the process had died here."""
        self.is_halted = True

    def forget(self) -> None:
        """Let go of what was left when it was halted: nothing of it runs, nothing is said."""
        for task in self.tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - asyncio's own, for loops
        self.tasks.clear()
        self._ready.clear()
        self._timers.clear()

    def _step(self) -> None:
        while self._timers and (
            self._timers[0][2].cancelled() or self._timers[0][0] <= self.time()
        ):
            self._add(heapq.heappop(self._timers)[2])
        if not self._ready:
            self._on_quiet()
            if self.is_halted:
                return
            if not self._ready:
                if not self._timers:
                    raise Stranded("everything waits, and nothing is due")
                self._clock.pass_seconds(max(self._timers[0][0] - self.time(), 0.0))
            return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Stranded(f"it does not come to rest in {MOST_STEPS} steps")
        if self.steps == self.halt_at:
            self.halt()
            return
        self._clock.pass_seconds(STEP)
        _, _, handle = self._ready.pop(self._rng.randrange(len(self._ready)))
        if not handle.cancelled():
            handle._run()  # noqa: SLF001 - what loops call
            if len(self.tasks) > self._room:
                self.tasks = [task for task in self.tasks if not task.done()]
                self._room = 2 * len(self.tasks) + 256

    def _add(self, handle: asyncio.Handle) -> None:
        """Make a callback ready; those of tasks are kept in the order the tasks were made.

        Some are made ready by going through a set of tasks, in the order of their addresses.
        """
        if handle.cancelled():
            return
        self._made += 1
        owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined] # noqa: SLF001 - nothing else says it
        number = owner.number if isinstance(owner, NumberedTask) else 0
        insort(self._ready, (number, self._made, handle))

    # --- what asyncio asks of a loop ---

    def time(self) -> float:
        return self._clock.monotonic()

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return False

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self._itself, context)
        self._add(handle)
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[..., object],  # noqa: ARG002 - what asyncio hands over
        *args: Any,  # noqa: ARG002 - as above
        context: Context | None = None,  # noqa: ARG002 - as above
    ) -> asyncio.Handle:
        raise RuntimeError("an explored scheduler uses no threads; run what blocks as a handler")

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self._itself, context)
        self._made += 1
        heapq.heappush(self._timers, (when, self._made, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self._itself)

    def create_task(
        self,
        coro: Coroutine[Any, Any, R] | Generator[Any, None, R],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[R]:
        self._made += 1
        task = NumberedTask(coro, loop=self._itself, name=name, context=context, number=self._made)
        self.tasks.append(task)
        return task

    def get_task_factory(self) -> None:
        return None

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.faults.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Told by a timer; it is dropped when its time comes."""
