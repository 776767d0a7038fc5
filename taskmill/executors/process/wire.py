"""What a scheduler's process and its workers say to each other, over a socket pair.

Each message is one of these classes, pickled, behind its length in four bytes. What comes from
the application - a state, tasks, an error - is pickled on its own inside: that it cannot be read
is then an error of one call, not of the whole conversation.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

import attrs

from taskmill.executors.process.references import Parts, Thrown, dumps
from taskmill.model.record import TaskRecord
from taskmill.model.stages import Stage

LENGTH = struct.Struct("!I")
MAX_MESSAGE = 2**32 - 1


# --- to a worker ---------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Setup:
    """The first message: what a worker needs before it can run anything."""

    parent: int
    """The scheduler's process."""
    preparation: Mapping[str, Any]
    """How the main module is imported, as `multiprocessing` has it."""
    lock: str | None
    """The file to hold a lock on until the worker ends."""
    log_levels: Mapping[str, int]
    """The levels of the loggers that have one, by name; records below are nobody's business."""
    state: bytes | None
    """The function that makes the worker's own state, pickled."""


@attrs.frozen(kw_only=True)
class Order:
    """Run one part of one task."""

    number: int
    """Which order of this worker it is, from 1."""
    handler: Parts
    part: Stage
    record: TaskRecord
    fence: int
    deadline: datetime | None


@attrs.frozen
class Halt:
    """The handler is to stop."""


@attrs.frozen
class Reply:
    """What came of an `Asked`."""

    number: int
    value: bytes = b""
    error: Thrown | None = None


# --- from a worker -------------------------------------------------------------------------------


@attrs.frozen
class Ready:
    """The worker has set itself up."""


@attrs.frozen
class Broken:
    """The worker could not set itself up, and ends."""

    error: Thrown


@attrs.frozen
class Told:
    """Something the handler reports: a verb of its workplace, and pickled arguments."""

    order: int
    """By which it was to run; 0 for none. What a handler leaves running speaks on after it."""
    verb: str
    arguments: bytes


@attrs.frozen
class Asked:
    """Something the handler waits for: a verb of its workplace, and pickled arguments."""

    number: int
    """Which the `Reply` has too: a signal's handler may end the wait for one."""
    order: int
    verb: str
    arguments: bytes


@attrs.frozen(kw_only=True)
class Ended:
    """The handler has ended."""

    result: str | None = None
    error: Thrown | None = None
    is_final: bool = False
    is_unreadable: bool = False
    memory: int = 0
    """Bytes of memory the worker holds now."""


Message: TypeAlias = Setup | Order | Halt | Reply | Ready | Broken | Told | Asked | Ended


def packed(message: object) -> bytes:
    """A message as it is sent; ValueError for one that is far too large."""
    body = dumps(message)
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"{len(body):,} bytes are too much for one message")
    return LENGTH.pack(len(body)) + body


def unpacked(body: bytes) -> Message:
    """The message in a body."""
    message: Message = pickle.loads(body)  # noqa: S301 - from the other end of our own pair
    return message


def receive(link: socket.socket) -> Message | None:
    """Wait for the next message; None where the other end is gone."""
    head = _exactly(link, LENGTH.size)
    if head is None:
        return None
    body = _exactly(link, LENGTH.unpack(head)[0])
    return None if body is None else unpacked(body)


def _exactly(link: socket.socket, size: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = link.recv(size - len(parts))
        except OSError:
            return None
        if not part:
            return None
        parts += part
    return bytes(parts)
