"""What a test leaves behind: tasks, threads, open files, child processes, files where it ran.

An open transaction shows as what it needs: the open file of its connection or, for a database in
memory, the thread of one. All of it together takes some 50 microseconds a test.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, cast

import attrs

DESCRIPTORS = Path("/proc/self/fd")
THREADS = Path("/proc/self/task")

OF_TOOLS = (".", "__pycache__")
"""How the names begin of what tools of the tests keep where they run."""


@attrs.frozen
class Surroundings:
    """What there is beside the test itself."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[str]
    children: frozenset[int]
    files: frozenset[str]


def surroundings() -> Surroundings:
    """What there is now."""
    return Surroundings(
        threads=frozenset(threading.enumerate()),
        descriptors=_names(DESCRIPTORS),
        children=_children(),
        files=frozenset(name for name in _names(Path()) if not name.startswith(OF_TOOLS)),
    )


def left_since(before: Surroundings) -> list[str]:
    """What there is that was not there before, in words."""
    now = surroundings()
    if now == before:
        return []
    gc.collect()  # what a cycle holds, the interpreter would let go of
    threads = [thread for thread in surroundings().threads - before.threads if _lasts(thread)]
    now = surroundings()
    kept = {str(_of_tracker("_fd"))}
    opened = filter(None, map(_target, now.descriptors - before.descriptors - kept))
    return [
        *(f"thread {thread.name}" for thread in threads),
        *(f"open file {name}" for name in opened if not name.startswith(sys.prefix)),
        *(f"child process {pid}" for pid in now.children - before.children),
        *(f"file {name}" for name in now.files - before.files),
    ]


def without_tasks_left(test: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """The test, which fails where tasks are left in its event loop at its end."""

    @functools.wraps(test)
    async def checked(*args: Any, **options: Any) -> None:
        before = asyncio.all_tasks()
        await test(*args, **options)
        left = asyncio.all_tasks() - before
        if left:
            await asyncio.sleep(0)  # those that have been cancelled end now
            left = {task for task in left if not task.done()}
        assert not left, f"the test left tasks behind: {left}"

    return checked


def _names(folder: Path) -> frozenset[str]:
    """What is in a folder; nothing where there is none, as on other systems than Linux."""
    try:
        return frozenset(os.listdir(folder))  # noqa: PTH208 - Paths cost three times as long
    except FileNotFoundError:
        return frozenset()


def _lasts(thread: threading.Thread) -> bool:
    """Whether a thread does not end by itself, as one does that was told to."""
    thread.join(5)
    return thread.is_alive()


def _target(descriptor: str) -> str:
    """What a descriptor is open for; nothing for the one that listed them, which is gone."""
    try:
        return str((DESCRIPTORS / descriptor).readlink())
    except OSError:
        return ""


def _children() -> frozenset[int]:
    """The child processes but for the one that Python keeps."""
    if not THREADS.exists():
        return frozenset()
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    found: set[int] = set()
    for thread in _names(THREADS):
        with suppress(FileNotFoundError):  # it has ended since
            found.update(map(int, (THREADS / thread / "children").read_text().split()))
    return frozenset(found - {_of_tracker("_pid")})


def _of_tracker(name: str) -> int | None:
    """The process, or the pipe to it, with which Python tracks shared memory to its own end."""
    return cast("int | None", getattr(resource_tracker._resource_tracker, name, None))
