"""What a worker process does: sets itself up, then runs one handler after another."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import pickle
import queue
import signal
import socket
import sys
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from functools import partial
from logging.handlers import QueueHandler
from multiprocessing import current_process, spawn
from typing import Any, cast

from taskmill.define.codec import Codec, MemoCodec
from taskmill.define.context import Context
from taskmill.executors.base import Failure
from taskmill.executors.failures import text_of
from taskmill.executors.process.guard import IGNORED, IS_IMPORTING, die_with, hold_lock
from taskmill.executors.process.references import (
    Parts,
    can_travel,
    caught,
    dumps,
    handler_of,
    thrown,
)
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
from taskmill.model.errors import ConfigurationError, InvalidState, PayloadError

_NO_LINE = {errno.EBADF, errno.ENOTSOCK, errno.ENOTCONN, errno.EPIPE, errno.ECONNRESET}
"""The scheduler is gone, or a handler has closed what it had not opened."""


def main(link: socket.socket) -> None:
    """Serve the other end of ``link`` until it is gone."""
    _ignore_signals()
    link.set_inheritable(False)
    setup = receive(link)
    if not isinstance(setup, Setup):
        return  # the scheduler went before it had said a word
    line = Line(link)
    try:
        die_with(setup.parent)
        if setup.lock is not None:
            hold_lock(setup.lock)
        os.register_at_fork(after_in_child=line.cut)
        _send_logs(line, setup.log_levels)
        _import_main(setup.preparation)
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
        """Whether the last order is to stop; each has an event of its own."""
        self._link = link
        self._numbers = itertools.count()
        self._replies: dict[int, queue.SimpleQueue[Reply]] = {}
        self._sending = threading.RLock()
        self._is_sending = False
        self._unsent: deque[bytes] = deque()
        self._rest = memoryview(b"")
        """What is unsent of the message before those."""
        self._is_busy = False
        self._is_cut = False

    def listen(self) -> None:
        """Take what comes from now on, in a thread."""
        threading.Thread(target=self._listen, name="taskmill-line", daemon=True).start()

    def _listen(self) -> None:
        while True:
            match receive(self._link):
                case Order() as order:
                    self.halted = threading.Event()
                    self._is_busy = True
                    self.orders.put(order)
                case Halt():
                    self.halted.set()
                case Reply() as reply:
                    waiting = self._replies.get(reply.number)
                    if waiting is not None:
                        waiting.put(reply)
                case _:
                    break
        if self._is_busy:
            os._exit(1)  # the scheduler is gone, and with it whoever wanted the outcome
        self.orders.put(None)

    def cut(self) -> None:
        """Leave the line to the worker: this is a process that a handler of it has forked."""
        self._is_cut = True
        self._sending = threading.RLock()  # some thread may have held it that is not here
        self._link.close()

    def send(self, message: Ready | Broken | Ended | Told | Asked) -> None:
        """Send a message; where that cannot be, end this process if it was at work.

        What a signal's handler or a finalizer sends meanwhile goes after it, and whatever they
        raise, the message goes on where it was.
        """
        is_last = isinstance(message, Ended)
        is_needed = is_last or self._is_busy
        self._unsent.append(packed(message))
        if is_last:
            self._is_busy = False
        with self._sending:
            if self._is_sending:
                return
            self._is_sending = True
            try:
                self._send_all()
            except OSError as error:
                if error.errno not in _NO_LINE:  # a TimeoutError, say, of a signal's handler
                    raise
                if is_needed:
                    os._exit(1)
            finally:
                self._is_sending = False

    def _send_all(self) -> None:
        while self._rest or self._unsent:
            if not self._rest:
                self._rest = memoryview(self._unsent.popleft())
            self._rest = self._rest[self._link.send(self._rest) :]

    def tell(self, order: int, verb: str, *arguments: object) -> None:
        """Report something; from a forked process to nobody."""
        if not self._is_cut:
            self.send(Told(order, verb, dumps(arguments)))

    def ask(self, order: int, verb: str, *arguments: object) -> Any:
        """Wait for the scheduler's answer, and return it or raise it."""
        if self._is_cut:
            raise InvalidState(
                f"{verb} is for the process that runs the handler, and this one was forked from it"
            )
        try:
            sent = dumps(arguments)
        except Exception as error:
            raise ConfigurationError(
                f"what {verb} was given cannot be sent to the scheduler's process: {error}"
            ) from error
        number = next(self._numbers)
        waiting = self._replies[number] = queue.SimpleQueue()
        try:
            self.send(Asked(number, order, verb, sent))
            reply = waiting.get()
        finally:
            del self._replies[number]
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
            function = routine.function(part)
            arguments = routine.arguments(order.record, part, task)
        except PayloadError as error:
            return Ended(error=thrown(error), is_unreadable=True, memory=_memory())
        value = function(*arguments, Context[Any](workplace))
        outcome = routine.outcome(value, part)
    except BaseException as error:  # noqa: BLE001 - around the user's handler
        return Ended(error=thrown(error), memory=_memory())
    if isinstance(outcome, Failure):
        misfit = thrown(outcome.error)
        return Ended(error=misfit, is_final=outcome.is_final, memory=_memory())
    return Ended(result=outcome.result, memory=_memory())


def _routine(parts: Parts) -> Routine:
    try:
        handler = handler_of(parts)
    except Exception as error:
        raise ConfigurationError(
            f"a worker process cannot import its handler: {text_of(error)}"
        ) from error
    memo = None
    if handler.finalize is not None:
        memo = MemoCodec(handler.task, handler.execute, handler.finalize)
    return Routine(handler, Codec(handler.task), memo)


def _import_main(preparation: Mapping[str, Any]) -> None:
    """Import the main module under another name, as `multiprocessing` does."""
    name = preparation.get("init_main_from_path") or preparation.get("init_main_from_name")
    process = current_process()
    setattr(process, IS_IMPORTING, True)
    try:
        spawn.prepare(dict(preparation))
    except BaseException as error:
        raise ConfigurationError(
            f"a worker process cannot import the main module, {name}: {text_of(error)}; what "
            "starts the application belongs under `if __name__ == '__main__':`"
        ) from error
    finally:
        delattr(process, IS_IMPORTING)


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

    Not SIG_IGN, which programs that a handler starts would inherit. Until here they are blocked.
    """
    for number in IGNORED:
        signal.signal(number, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)


class _LogLine(QueueHandler):
    """Sends log records to the scheduler's process, which logs them as its own."""

    def __init__(self, line: Line) -> None:
        super().__init__(queue.SimpleQueue())
        self._line = line

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send it; what of an ``extra`` cannot be sent goes as text."""
        fields = {name: _sendable(item) for name, item in vars(record).items()}
        self._line.tell(0, "log", fields)


def _sendable(item: object) -> object:
    if type(item) in _PLAIN or can_travel(item):
        return item
    try:
        return repr(item)
    except Exception:  # noqa: BLE001 - whatever its class makes of that
        return f"<{type(item).__qualname__}>"


_PLAIN = (str, int, float, bool, type(None))


def _send_logs(line: Line, levels: Mapping[str, int]) -> None:
    """Log as the scheduler's process does, but into the line; what is forked, to stderr."""
    root, to_scheduler = logging.getLogger(), _LogLine(line)
    root.addHandler(to_scheduler)
    os.register_at_fork(after_in_child=partial(root.removeHandler, to_scheduler))
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


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
