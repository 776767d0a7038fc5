"""One worker process, as the scheduler's process has it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import anyio

from taskmill.define.context import Workplace
from taskmill.executors.base import Failure, Lost, Outcome, Success, Work
from taskmill.executors.process.references import Parts, caught, dumps, thrown
from taskmill.executors.process.spawning import preparation, spawned
from taskmill.executors.process.wire import (
    LENGTH,
    Asked,
    Broken,
    Ended,
    Halt,
    Message,
    Order,
    Ready,
    Reply,
    Setup,
    Told,
    packed,
    unpacked,
)
from taskmill.executors.tasklog import about
from taskmill.model.errors import InvalidState
from taskmill.streams import stream

_LEAVE = 5
"""Seconds that a worker has to end by itself when nothing runs in it any more."""

log = logging.getLogger("taskmill.executors")

_ASKED = frozenset({"submit", "spawn", "spawn_sibling", "children", "set_tags"})
_TOLD = frozenset({"progress", "bytes", "moved"})


class Worker:
    """A process that runs one handler at a time; made in the event loop that it answers to."""

    def __init__(
        self, *, state: bytes | None, lock: Path | None, on_end: Callable[[Worker], None]
    ) -> None:
        self.runs = 0
        """How many handlers it has been given."""
        self.is_free = True
        """Whether it has said of each of them how it ended."""
        self.memory = 0
        """Bytes of memory that it held after the last one."""
        self.ended = anyio.Event()
        self._state = state
        self._lock = lock
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self.refusal: Exception | None = None
        """Why the process could not be started."""
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._expected: int | None = None
        self._is_killed = False
        self._hurry: threading.Timer | None = None
        self._ours, theirs = socket.socketpair()
        keeper = threading.Thread(
            target=self._keep, args=(theirs,), name="taskmill-keeper", daemon=True
        )
        try:
            keeper.start()
        except RuntimeError:  # the system has no more threads
            self._ours.close()
            theirs.close()
            raise

    def __repr__(self) -> str:
        return f"Worker({'starting' if self._process is None else self._process.pid})"

    @property
    def pid(self) -> int | None:
        """Its process id, once it has one."""
        return None if self._process is None else self._process.pid

    # --- its life ---

    def _keep(self, theirs: socket.socket) -> None:
        """Start the process and wait for its end, in a thread that lasts as long."""
        try:
            self._process = spawned(theirs)
        except Exception as error:  # noqa: BLE001 - also where threads, or this interpreter, end
            self.refusal = error
        theirs.close()
        if self._process is not None:
            if self._is_killed:
                self._kill_all()
            if self._process.wait() != 0:
                self._kill_all()  # what a handler has started would run beside its next run
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits any more
            self._loop.call_soon_threadsafe(self._has_ended)

    def _has_ended(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
        self.ended.set()
        with contextlib.suppress(OSError):  # an end, after all it said: what it forked may live on
            self._ours.shutdown(socket.SHUT_RD)
        self._on_end(self)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._is_killed = True
        self._kill_all()

    def _kill_all(self) -> None:
        """Kill the process and the programs that its handler has started, which are one group."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def retire(self) -> None:
        """Have it end by itself, as nothing runs in it any more; kill it where it does not."""
        if self._writer is not None:
            self._writer.close()
        else:
            self.kill()
            self._ours.close()
        if not self.ended.is_set() and self._hurry is None:
            self._hurry = _after(_LEAVE, self.kill)

    # --- work ---

    async def run(self, work: Work, parts: Parts, kill_after: timedelta) -> Outcome:
        """Run a handler in it; on cancellation have it stop, and kill it after a while."""
        self.runs += 1
        self.is_free = False
        try:
            return await self._run(work, parts)
        except BaseException:  # a cancellation, whatever the event loop makes of it
            outcome: Outcome | None = None
            with anyio.CancelScope(shield=True):
                outcome = await self._stopped(work.workplace, kill_after)
            if outcome is None:
                raise
            return outcome

    async def _run(self, work: Work, parts: Parts) -> Outcome:
        place = work.workplace
        if self._reader is None:
            with work.preparing():
                broken = await self._set_up()
            if broken is not None:
                return broken
        order = Order(
            number=self.runs,
            handler=parts,
            part=work.part,
            record=work.record,
            fence=place.fence,
            deadline=place.deadline,
        )
        self._send(order)
        return await self._outcome(place)

    async def _stopped(self, place: Workplace, kill_after: timedelta) -> Outcome | None:
        """Have the handler stop; None where it had to be killed."""
        if self._reader is None:  # it has not begun
            await self._gone()
            return None
        hurry = _after(kill_after.total_seconds(), self.kill)
        try:
            self._send(Halt())
            outcome = await self._outcome(place)
        finally:
            hurry.cancel()
        return None if isinstance(outcome, Lost) else outcome

    async def _set_up(self) -> Failure | Lost | None:
        """Wait until the process is ready for work, or say why it never will be."""
        reader, writer = await stream(self._ours)
        self._writer = writer
        path = dumps(sys.path)
        writer.write(LENGTH.pack(len(path)) + path)
        self._reader = reader
        self._send(
            Setup(
                parent=os.getpid(),
                preparation=preparation(),
                lock=None if self._lock is None else str(self._lock),
                log_levels=log_levels(),
                state=self._state,
            )
        )
        while True:
            match await self._receive():
                case Ready():
                    return None
                case Broken(error):
                    await self._gone()
                    return Failure(caught(error), trace=error.trace, message=error.message)
                case Told(verb="log", arguments=sent):
                    _log(sent)
                case _:
                    await self._gone()
                    return Lost(f"{self._end()} before it was ready")

    async def _outcome(self, place: Workplace) -> Outcome:
        """Do what the handler asks for, until it has ended."""
        while True:
            match await self._receive():
                case Told(verb="log", arguments=sent):
                    _log(sent)
                case Told() as told:
                    if told.order == self.runs:
                        _hear(place, told)
                case Asked() as asked if asked.order != self.runs:
                    self._send(_too_late(asked))
                case Asked() as asked:
                    with anyio.CancelScope(shield=True):  # it waits for an answer
                        self._send(await _answer(place, asked))
                case Ended() as ended:
                    self.is_free = True
                    self.memory = ended.memory
                    return _outcome_of(ended)
                case _:
                    await self._gone()
                    return Lost(f"{self._end()} in the middle of the handler")

    async def _gone(self) -> None:
        """See the end of a process that says nothing sensible any more."""
        self.kill()
        await self.ended.wait()

    def _end(self) -> str:
        """How it ended."""
        status = None if self._process is None else self._process.returncode
        if status is None or self._process is None:
            return "the worker process could not be started"
        if status >= 0:
            return f"worker process {self._process.pid} exited with status {status}"
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        return f"worker process {self._process.pid} was ended by {name}"

    # --- messages ---

    def _send(self, message: Setup | Order | Halt | Reply) -> None:
        if self._writer is not None:
            self._writer.write(packed(message))

    async def _receive(self) -> Message | None:
        """The next message; None at the end. Cancelled, it goes on where it was."""
        reader = self._reader
        if reader is None:
            return None
        try:
            size = self._expected
            if size is None:
                [size] = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                self._expected = size
            body = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, OSError):
            return None
        self._expected = None
        try:
            return unpacked(body)
        except Exception:
            log.exception("%r does not speak sense", self)
            return None


def _after(seconds: float, do: Callable[[], None]) -> threading.Timer:
    """A timer in real time, whatever time the event loop has: handlers run in real time."""
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
    return timer


def _outcome_of(ended: Ended) -> Success | Failure:
    error = ended.error
    if error is None:
        return Success(ended.result)
    return Failure(
        caught(error),
        trace=error.trace,
        message=error.message,
        is_final=ended.is_final,
        is_unreadable=ended.is_unreadable,
    )


def _hear(place: Workplace, told: Told) -> None:
    """Pass on what a handler reports."""
    try:
        if told.verb in _TOLD:
            getattr(place, told.verb)(*pickle.loads(told.arguments))  # noqa: S301 - from our worker
    except Exception:
        log.exception(
            "what task %d reports as its %s cannot be read",
            place.seen.id,
            told.verb,
            extra=about(place.seen),
        )


async def _answer(place: Workplace, asked: Asked) -> Reply:
    """Do what a handler asks for; what that raises is raised in the handler."""
    verb = asked.verb
    try:
        arguments = pickle.loads(asked.arguments)  # noqa: S301 - from our own worker
        if verb == "state":
            [of] = arguments
            return Reply(asked.number, _pickled_state(place.state(of)))
        if verb not in _ASKED:
            raise InvalidState(f"a worker process cannot ask for {verb!r}")
        return Reply(asked.number, dumps(await getattr(place, verb)(*arguments)))
    except Exception as error:  # noqa: BLE001 - it is the handler's
        return Reply(asked.number, error=thrown(error))


def _too_late(asked: Asked) -> Reply:
    """The answer to what a handler left running when it ended."""
    ended = InvalidState(f"{asked.verb}: the handler that this belongs to has ended")
    return Reply(asked.number, error=thrown(ended))


def _pickled_state(state: object) -> bytes:
    try:
        return dumps(state)
    except Exception as error:
        raise InvalidState(
            f"the state {type(state).__qualname__} cannot be copied into a worker process "
            f"({error}); have each worker make its own: ProcessExecutor(state=make_states)"
        ) from error


def _log(sent: bytes) -> None:
    """Log what a worker has logged."""
    try:
        record = logging.makeLogRecord(pickle.loads(sent)[0])  # noqa: S301 - from our own worker
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)
    except Exception:
        log.exception("what a worker process logs cannot be logged")


def log_levels() -> dict[str, int]:
    """The levels of the loggers of this process that have one of their own, by their names."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return {
        each.name: each.level for each in loggers if isinstance(each, logging.Logger) and each.level
    }
