"""What a worker process does: sets itself up, then runs one handler after another."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections.abc import Iterable
from logging.handlers import QueueHandler
from multiprocessing import spawn
from typing import Any, cast

from taskmill.define.codec import Codec, MemoCodec
from taskmill.define.context import Context
from taskmill.executors.base import Failure
from taskmill.executors.process.guard import die_with, hold_lock
from taskmill.executors.process.references import Parts, caught, dumps, handler_of, thrown
from taskmill.executors.process.wire import (
    Asked,
    Broken,
    Ended,
    Halt,
    Order,
    Ready,
    Reply,
    Setup,
    Told,
    packed,
    receive,
)
from taskmill.executors.process.workplace import ProcessWorkplace
from taskmill.executors.routine import Routine
from taskmill.model.errors import ConfigurationError, PayloadError


def main(link: socket.socket) -> None:
    """Serve the other end of ``link`` until it is gone."""
    setup = receive(link)
    if not isinstance(setup, Setup):
        return  # the scheduler went before it had said a word
    line = Line(link)
    try:
        _ignore_signals()
        die_with(setup.parent)
        if setup.lock is not None:
            hold_lock(setup.lock)
        _send_logs(line, setup.log_level)
        spawn.prepare(dict(setup.preparation))
        state = _own_state(setup.state)
    except BaseException as error:  # noqa: BLE001 - the application's modules, or its state
        line.send(Broken(thrown(error)))
        return
    line.send(Ready())
    line.listen()
    routines: dict[Parts, Routine] = {}
    while (order := line.orders.get()) is not None:
        line.send(_carried_out(order, ProcessWorkplace(order, line, state), routines))


class Line:
    """The worker's end of the socket: a thread of its own listens, anybody may send."""

    def __init__(self, link: socket.socket) -> None:
        self.orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
        """What to run; None when there will be no more."""
        self.halted = threading.Event()
        """Whether what runs now is to stop."""
        self._link = link
        self._replies: queue.SimpleQueue[Reply] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._asking = threading.Lock()
        self._is_busy = False

    def listen(self) -> None:
        """Take what comes from now on, in a thread."""
        threading.Thread(target=self._listen, name="taskmill-line", daemon=True).start()

    def _listen(self) -> None:
        while True:
            match receive(self._link):
                case Order() as order:
                    self.halted.clear()
                    self._is_busy = True
                    self.orders.put(order)
                case Halt():
                    self.halted.set()
                case Reply() as reply:
                    self._replies.put(reply)
                case _:
                    break
        if self._is_busy:
            os._exit(1)  # the scheduler is gone, and with it whoever wanted the outcome
        self.orders.put(None)

    def send(self, message: Ready | Broken | Ended | Told | Asked) -> None:
        """Send a message; one to nobody is lost with this process."""
        body = packed(message)
        if isinstance(message, Ended):
            self._is_busy = False
        with self._sending, contextlib.suppress(OSError):
            self._link.sendall(body)

    def tell(self, verb: str, *arguments: object) -> None:
        """Report something."""
        self.send(Told(verb, dumps(arguments)))

    def ask(self, verb: str, *arguments: object) -> Any:
        """Wait for the scheduler's answer, and return it or raise it."""
        try:
            sent = dumps(arguments)
        except Exception as error:
            raise ConfigurationError(
                f"what {verb} was given cannot be sent to the scheduler's process: {error}"
            ) from error
        with self._asking:
            self.send(Asked(verb, sent))
            reply = self._replies.get()
        if reply.error is not None:
            raise caught(reply.error)
        return pickle.loads(reply.value)  # noqa: S301 - from the process that started this one


def _carried_out(
    order: Order, workplace: ProcessWorkplace, routines: dict[Parts, Routine]
) -> Ended:
    """Run one handler to its end, whatever that is."""
    part = order.part
    try:
        routine = routines.get(order.handler)
        if routine is None:
            routine = routines[order.handler] = _routine(order.handler)
        try:
            task = routine.codec.decode(order.record.payload)
            arguments = routine.arguments(order.record, part, task)
        except PayloadError as error:
            return Ended(error=thrown(error), is_final=True, memory=_memory())
        value = routine.function(part)(*arguments, Context[Any](workplace))
        outcome = routine.outcome(value, part)
    except BaseException as error:  # noqa: BLE001 - around the user's handler
        return Ended(error=thrown(error), memory=_memory())
    if isinstance(outcome, Failure):
        misfit = thrown(outcome.error)
        return Ended(error=misfit, is_final=outcome.is_final, memory=_memory())
    return Ended(result=outcome.result, memory=_memory())


def _routine(parts: Parts) -> Routine:
    handler = handler_of(parts)
    memo = None
    if handler.finalize is not None:
        memo = MemoCodec(handler.task, handler.execute, handler.finalize)
    return Routine(handler, Codec(handler.task), memo)


def _own_state(factory: bytes | None) -> list[object]:
    """What the executor's ``state`` function makes for this worker."""
    if factory is None:
        return []
    made: object = pickle.loads(factory)()  # noqa: S301 - from the process that started this one
    if isinstance(made, str | bytes) or not isinstance(made, Iterable):
        raise ConfigurationError(
            f"the state function of a process executor returns the states, as [model], "
            f"not {made!r:.100}"
        )
    return list(cast("Iterable[object]", made))


def _ignore_signals() -> None:
    """What is meant for the scheduler comes to its whole process group; it says when to stop.

    Not SIG_IGN, which programs that a handler starts would inherit.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: None)


class _LogLine(QueueHandler):
    """Sends log records to the scheduler's process, which logs them as its own."""

    def __init__(self, line: Line) -> None:
        super().__init__(queue.SimpleQueue())
        self._line = line

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send it; what of an ``extra`` cannot be pickled goes as text."""
        fields = vars(record)
        try:
            self._line.tell("log", fields)
        except Exception:  # noqa: BLE001 - whatever pickling it raises
            plain = (str, int, float, bool, type(None))
            kept = {k: v if isinstance(v, plain) else repr(v) for k, v in fields.items()}
            self._line.tell("log", kept)


def _send_logs(line: Line, level: int) -> None:
    root = logging.getLogger()
    root.addHandler(_LogLine(line))
    root.setLevel(level)


def _memory() -> int:
    """Bytes of memory that this process holds."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - for its speed
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
