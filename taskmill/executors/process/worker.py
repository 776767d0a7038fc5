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
from multiprocessing import spawn
from pathlib import Path

import anyio

from taskmill.define.context import Workplace
from taskmill.executors.base import Failure, Lost, Outcome, Success, Work
from taskmill.executors.process.references import Parts, caught, dumps, thrown
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
from taskmill.model.errors import InvalidState

_BOOT = (
    "import pickle, socket, sys; s = socket.socket(fileno={}); "
    "n = int.from_bytes(s.recv(4, socket.MSG_WAITALL), 'big'); "
    "sys.path[:] = pickle.loads(s.recv(n, socket.MSG_WAITALL)); "
    "from taskmill.executors.process.child import main; main(s)"
)
"""What the interpreter of a worker runs: it finds modules where this process does."""

_LEAVE = 5
"""Seconds that a worker has to end by itself when nothing runs in it any more."""

_ASKED = frozenset({"submit", "spawn", "spawn_sibling", "children", "set_tags"})
_TOLD = frozenset({"progress", "bytes", "moved"})


class Worker:
    """A process that runs one handler at a time; made in the event loop that it answers to."""

    def __init__(
        self, *, state: bytes | None, lock: Path | None, on_end: Callable[[Worker], None]
    ) -> None:
        self.runs = 0
        """How many handlers it has been given."""
        self.memory = 0
        """Bytes of memory that it held after the last one."""
        self.ended = anyio.Event()
        self._state = state
        self._lock = lock
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self.refusal: OSError | None = None
        """Why the process could not be started."""
        self._loop = asyncio.get_running_loop()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._expected: int | None = None
        self._is_killed = False
        self._hurry: threading.Timer | None = None
        ours, theirs = socket.socketpair()
        self._ours = ours
        threading.Thread(
            target=self._keep, args=(theirs,), name="taskmill-keeper", daemon=True
        ).start()

    def __repr__(self) -> str:
        return f"Worker({'starting' if self._process is None else self._process.pid})"

    @property
    def pid(self) -> int | None:
        """Its process id, once it has one."""
        return None if self._process is None else self._process.pid

    # --- its life ---

    def _keep(self, theirs: socket.socket) -> None:
        """Start the process and wait for its end.

        In a thread that lasts as long: Linux takes the end of the thread that made a process for
        the end of its parent.
        """
        flags = _interpreter_flags()
        code = _BOOT.format(theirs.fileno())
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this interpreter, on our own code
                [sys.executable, *flags, "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        except OSError as error:
            self.refusal = error
        theirs.close()
        if self._process is not None:
            if self._is_killed:
                self._process.kill()
            self._process.wait()
        with contextlib.suppress(RuntimeError):  # a closed loop: nobody waits any more
            self._loop.call_soon_threadsafe(self._has_ended)

    def _has_ended(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
        self.ended.set()
        if self._reader is not None:
            self._reader.feed_eof()
        self._on_end(self)

    def kill(self) -> None:
        """End it, whatever it does."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def retire(self) -> None:
        """Have it end by itself, as nothing runs in it any more; kill it where it does not."""
        if self._writer is not None:
            self._writer.close()
        else:
            self.kill()
        if not self.ended.is_set() and self._hurry is None:
            self._hurry = _after(_LEAVE, self.kill)

    # --- work ---

    async def run(self, work: Work, parts: Parts, kill_after: timedelta) -> Outcome:
        """Run a handler in it; on cancellation have it stop, and kill it after a while."""
        self.runs += 1
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
            broken = await self._set_up()
            if broken is not None:
                return broken
        order = Order(
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
        reader, writer = await asyncio.open_connection(sock=self._ours)
        self._writer = writer
        path = dumps(sys.path)
        writer.write(LENGTH.pack(len(path)) + path)
        self._reader = reader
        self._send(
            Setup(
                parent=os.getpid(),
                preparation=_preparation(),
                lock=None if self._lock is None else str(self._lock),
                log_level=lowest_level(),
                state=self._state,
            )
        )
        while True:
            match await self._receive():
                case Ready():
                    return None
                case Broken(error):
                    await self._gone()
                    return Failure(_hinted(caught(error)), trace=error.trace)
                case Told(verb="log", arguments=sent):
                    _log(sent)
                case _:
                    await self._gone()
                    if self.refusal is not None:
                        return Lost(f"no process can be started: {self.refusal}", has_begun=False)
                    return Lost(f"{self._end()} before it was ready")

    async def _outcome(self, place: Workplace) -> Outcome:
        """Do what the handler asks for, until it has ended."""
        while True:
            match await self._receive():
                case Told(verb="log", arguments=sent):
                    _log(sent)
                case Told(verb, arguments) if verb in _TOLD:
                    getattr(place, verb)(*pickle.loads(arguments))  # noqa: S301 - from our worker
                case Asked(verb, arguments):
                    with anyio.CancelScope(shield=True):  # it waits for an answer
                        self._send(await _answer(place, verb, arguments))
                case Ended(result=result, error=error, is_final=is_final, memory=memory):
                    self.memory = memory
                    if error is None:
                        return Success(result)
                    return Failure(caught(error), trace=error.trace, is_final=is_final)
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
        return unpacked(body)


def _after(seconds: float, do: Callable[[], None]) -> threading.Timer:
    """A timer in real time, whatever time the event loop has: handlers run in real time."""
    timer = threading.Timer(seconds, do)
    timer.daemon = True
    timer.start()
    return timer


async def _answer(place: Workplace, verb: str, sent: bytes) -> Reply:
    """Do what a handler asks for; what that raises is raised in the handler."""
    try:
        arguments = pickle.loads(sent)  # noqa: S301 - from our own worker
        if verb == "state":
            [of] = arguments
            return Reply(_pickled_state(place.state(of)))
        if verb not in _ASKED:
            raise InvalidState(f"a worker process cannot ask for {verb!r}")
        return Reply(dumps(await getattr(place, verb)(*arguments)))
    except Exception as error:  # noqa: BLE001 - it is the handler's
        return Reply(error=thrown(error))


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
    record = logging.makeLogRecord(pickle.loads(sent)[0])  # noqa: S301 - from our own worker
    logger = logging.getLogger(record.name)
    if logger.isEnabledFor(record.levelno):
        logger.handle(record)


def lowest_level() -> int:
    """The lowest level at which any logger of this process is set to say something."""
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    levels = [each.level for each in loggers if isinstance(each, logging.Logger) and each.level]
    return min(levels, default=logging.WARNING)


def _interpreter_flags() -> list[str]:
    """The options of this interpreter, such as -O or -X dev, for one more of its kind."""
    [_, *options, _, _, _] = spawn.get_command_line()
    return options


def _preparation() -> dict[str, object]:
    """How a worker imports the main module; its key for multiprocessing stays here."""
    prepared = spawn.get_preparation_data("taskmill-worker")
    return {name: value for name, value in prepared.items() if name != "authkey"}


def _hinted(error: BaseException) -> BaseException:
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    error.add_note(
        "a worker process could not set itself up: it imports the main module"
        f"{f' ({main})' if main else ''} and the modules of its handlers; what starts the "
        "application belongs under `if __name__ == '__main__':`"
    )
    return error
