"""How no worker outlives its scheduler's process, and how a next one is sure of that."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

IGNORED = (signal.SIGINT, signal.SIGTERM)
"""Signals that workers leave to the scheduler's process; they start with these blocked."""

IS_IMPORTING = "_inheriting"
"""The mark on a process that imports the main module again: it is `multiprocessing`'s own, which
starts no process there either."""

_PR_SET_PDEATHSIG = 1

_held: list[int] = []
"""The descriptors of the locks that this worker holds."""


def die_with(parent: int) -> None:
    """Have the system kill this process when ``parent`` is gone, where the system can.

    A signal of the kernel's, it ends a worker in the middle of C code as well.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it went before that
        os._exit(1)


def lock_of(home: Path) -> Path:
    """The file whose lock the workers of a store's scheduler hold."""
    return home.with_name(f"{home.name}.workers")


def hold_lock(path: str) -> None:
    """Share the lock with the other workers until this process ends, however it does."""
    import fcntl

    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    _held.append(descriptor)
    os.register_at_fork(after_in_child=_let_go)


def await_workers(path: Path, *, wait: bool) -> bool:
    """Return whether no worker of an earlier process is left; ``wait`` for that."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _let_go() -> None:
    """What a handler forks may live on; it is no worker."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()
