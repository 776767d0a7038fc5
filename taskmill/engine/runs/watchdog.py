"""What holds the event loop up: a thread that notices it, names it and says what to do instead."""

from __future__ import annotations

import asyncio
import inspect
import linecache
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from time import thread_time
from traceback import FrameSummary, StackSummary
from types import FrameType
from typing import Any

import anyio
import attrs

from taskmill.engine.clock import SystemClock
from taskmill.engine.events.announce import header_of
from taskmill.engine.events.hub import Hub
from taskmill.engine.events.meters import Meters
from taskmill.engine.placing import INLINE
from taskmill.engine.runs.attempt import Attempt
from taskmill.executors.failures import MAX_FRAMES, MAX_TRACEBACK, is_ours, said
from taskmill.model.events import LoopBlocked, TaskHeader

log = logging.getLogger("taskmill.watchdog")


class Watchdog:
    """Asks the event loop for an answer now and then, as long as attempts are under way.

    It goes by real time, also where the scheduler's time is virtual. Without a limit it does
    nothing. While no attempt is under way its thread sleeps until it is woken.
    """

    def __init__(
        self,
        limit: timedelta | None,
        *,
        attempts: Callable[[], Sequence[Attempt]],
        hub: Hub,
        meters: Meters,
    ) -> None:
        self.blocks = 0
        """How often the loop was blocked."""
        self.is_parked = False
        """Whether the thread sleeps until `wake` is called."""
        self._limit = None if limit is None else limit.total_seconds()
        self._attempts = attempts
        self._hub = hub
        self._meters = meters
        self._now = SystemClock().monotonic
        self._woken = threading.Event()
        self._closing = threading.Event()
        self._ended = anyio.Event()
        self._thread: threading.Thread | None = None

    # --- in the loop ---

    def start(self) -> None:
        """Begin to watch the loop that this is called in; the first attempt comes a turn later."""
        if self._limit is None:
            return
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        self._loop.call_soon(self._measure)
        self._computed = thread_time()
        thread = threading.Thread(
            target=self._run, args=(self._limit,), name="taskmill-watchdog", daemon=True
        )
        thread.start()
        self._thread = thread

    def wake(self) -> None:
        """Watch: an attempt is under way."""
        self._woken_at = self._now()
        self._computed = thread_time()
        self.is_parked = False
        self._woken.set()

    async def close(self) -> None:
        """End the thread; no beat is left in the loop after it.

        A thread that somebody's log handler holds up for longer than a second is left behind.
        """
        if self._thread is None:
            return
        self._closing.set()
        self._woken.set()
        with anyio.move_on_after(1, shield=True):
            await self._ended.wait()
            self._thread.join()

    def _measure(self) -> None:
        """Learn how deep in the stack the loop calls what is due."""
        self._depth = len(_stack(inspect.currentframe()))

    def _answer(self, beat: _Beat) -> None:
        before, self._computed = self._computed, thread_time()
        look = beat.answer(self._computed - before)
        self._meters.loop_answered(max(self._now() - beat.since, 0.0))
        if look is not None:
            self.blocks += 1
            self._meters.loop_blocked()
            silent = timedelta(seconds=self._now() - beat.since)
            self._hub.publish(
                lambda: LoopBlocked(header=look.header, duration=silent, stack=look.text())
            )

    # --- in the thread ---

    def _run(self, limit: float) -> None:
        try:
            self._watch(limit)
        finally:
            self._post(self._ended.set)  # the loop comes to it after all beats

    def _watch(self, limit: float) -> None:
        is_open = True
        while is_open and not self._closing.is_set():
            due = self._park()
            if self._now() - due < limit:
                due = self._now() + limit / 2
                self._closing.wait(limit / 2)
            if self._attempts() and not self._closing.is_set():
                is_open = self._ask(_Beat(since=due, limit=limit))

    def _park(self) -> float:
        """Sleep until an attempt is under way; return when that was."""
        self._woken.clear()
        self._woken_at = self._now()
        self.is_parked = True  # before the look at the attempts: none comes in between unseen
        if not self._attempts() and not self._closing.is_set():
            self._woken.wait()
        self.is_parked = False
        return self._woken_at

    def _ask(self, beat: _Beat) -> bool:
        """Send a beat and report what it waits for; return whether there is still a loop.

        What two looks see, half a limit apart, holds the loop up. A loop that is busy with many
        short calls shows another one each time.

        A call that does not let go of the interpreter, such as a long match of a regular
        expression, keeps this thread waiting, too. It is suspected where this thread runs a
        limit later than it should: as it does so in the first moment when it can, the one look
        before anything lets the loop go on is at that call.
        """
        half = beat.limit / 2
        late = self._now() - beat.since
        if late >= beat.limit:
            beat.suspect = self._look(beat, late)
        if not self._post(self._answer, beat):
            return False
        due = self._now() + half
        while not beat.answered.wait(half):
            look = self._look(beat, self._now() - due)
            if look is not None and look.is_certain and beat.blame(look):
                break
            if look is not None and look.is_suspect:
                beat.suspect = look
            if self._loop.is_closed():
                return False
            due = self._now() + half
        if beat.blamed is not None:
            self._report(beat.blamed, self._now() - beat.since)
        beat.answered.wait()
        return True

    def _post(self, call: Callable[..., object], *arguments: Any) -> bool:
        """Have the loop call something; return whether there is still a loop."""
        try:
            self._loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:  # it was closed under an open scheduler
            return False
        return True

    def _look(self, beat: _Beat, late: float) -> _Look | None:
        """What the loop is doing; None if it waits, stands still, or is between two calls.

        ``late`` is how long this thread was kept from looking, by others that compute.
        """
        frames = _stack(_frame_of(self._loops_thread))[self._depth - 1 :]
        task = asyncio.current_task(self._loop)  # after the frames, which two looks then enclose
        if not frames or not self._loop.is_running():
            return None
        call = frames[0] if task is None else task
        attempt = next((each for each in self._attempts() if each.runs_in is call), None)
        is_elsewhere = attempt is not None and attempt.start.lane.executor != INLINE
        is_repeated, is_punctual = beat.compare(call, late)
        return _Look(
            header=None if attempt is None else header_of(attempt.seen),
            lines=_lines_of(frames),
            is_elsewhere=is_elsewhere,
            is_certain=is_repeated and is_punctual and not is_elsewhere,
            is_suspect=is_repeated or late >= beat.limit,
        )

    def _report(self, look: _Look, silent: float) -> None:
        if look.header is None:
            log.warning(_OWN_CODE, silent, look.text())
            return
        task, task_type, attempt = look.header.id, look.header.type, look.header.attempt
        extra = {"task_id": task, "task_type": task_type, "attempt": attempt}
        text = _AROUND if look.is_elsewhere else _HANDLER
        log.warning(text, task, task_type, silent, look.text(), extra=extra)


@attrs.frozen(kw_only=True)
class _Look:
    """What the loop was doing at one moment."""

    header: TaskHeader | None
    """Of the task whose attempt was at work; None for the application's own code."""
    lines: StackSummary
    is_elsewhere: bool
    """Whether the handler of that task does not run in the loop."""
    is_certain: bool
    """Whether this holds the loop up."""
    is_suspect: bool
    """Whether it does, if it turns out that the loop's thread has computed all the time.

    Where many threads compute, the loop waits for the interpreter in the middle of any call,
    and for the first turn of each thread that it starts.
    """

    def text(self) -> str:
        """The lines as a traceback has them; reads the source files."""
        return said(lambda: "".join(self.lines.format()), "the stack")[-MAX_TRACEBACK:]


@attrs.define(eq=False, kw_only=True)
class _Beat:
    """A question to the loop: are you there? The loop comes to it when its turn has come."""

    since: float
    """From when on the loop may be silent."""
    limit: float
    blamed: _Look | None = None
    """What holds the loop up."""
    suspect: _Look | None = None
    answered: threading.Event = attrs.field(factory=threading.Event)
    _calls: list[object] = attrs.field(factory=list[object])
    _was_punctual: bool = True
    _lock: threading.Lock = attrs.field(factory=threading.Lock)

    def compare(self, call: object, late: float) -> tuple[bool, bool]:
        """Whether the last look saw the same call; whether both were taken when they should.

        A call is an asyncio task or else a frame. It is the same step of that task: its next one
        comes after the beat, as loops call in order.
        """
        self._calls.append(call)
        is_punctual = late < self.limit / 8 + 2 * sys.getswitchinterval()
        was_punctual, self._was_punctual = self._was_punctual, is_punctual
        is_repeated = len(self._calls) > 1 and self._calls[-2] is call
        return is_repeated, is_punctual and was_punctual

    def blame(self, look: _Look) -> bool:
        """Put down what holds the loop up, unless it has answered after all."""
        with self._lock:
            if not self.answered.is_set():
                self.blamed = look
            return self.blamed is look

    def answer(self, computed: float) -> _Look | None:
        """Note, in the loop, that it is there; return what has held it up.

        ``computed`` is how long its thread has computed since the last answer: little, where
        other threads or a machine that stood still are what kept everything waiting.
        """
        with self._lock:
            if self.blamed is None and computed >= self.limit:
                self.blamed = self.suspect
            self.answered.set()
            self._calls.clear()  # here, as what frames hold may have to be let go in this thread
            return self.blamed


def _frame_of(thread: int) -> FrameType | None:
    """The innermost frame of a thread.

    Those of all threads get no name: this one is among them, and would hold itself and them.
    """
    return sys._current_frames().get(thread)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # documented


def _stack(frame: FrameType | None) -> list[FrameType]:
    """A frame and those that it was called from, innermost last."""
    frames: list[FrameType] = []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    return frames[::-1]


def _lines_of(frames: Sequence[FrameType]) -> StackSummary:
    """Where the innermost frames are, without what called the handler; opens no file."""
    theirs = next((i for i, frame in enumerate(frames) if not is_ours(frame)), 0)
    lines: list[FrameSummary] = []
    for frame in frames[theirs:][-MAX_FRAMES:]:
        code, number = frame.f_code, frame.f_lineno
        linecache.lazycache(code.co_filename, frame.f_globals)
        lines.append(FrameSummary(code.co_filename, number, code.co_name, lookup_line=False))
    return StackSummary.from_list(lines)


_HANDLER = (
    "task %d (%s) has blocked the event loop for %.2f s so far, and nothing else runs meanwhile; "
    "make its handler a plain function, which runs in a thread, or call what takes so long by "
    "ctx.run_in_thread. It is at\n%s"
)
_AROUND = (
    "task %d (%s) has blocked the event loop for %.2f s so far, and nothing else runs meanwhile; "
    "its handler runs elsewhere, but what it reports is read in the loop: keep large results out "
    "of the task. It is at\n%s"
)
_OWN_CODE = (
    "the application's own code, which is no handler, has blocked the event loop for %.2f s so "
    "far, and no task goes on meanwhile; call what takes so long in a thread, such as by "
    "anyio.to_thread.run_sync. It is at\n%s"
)
