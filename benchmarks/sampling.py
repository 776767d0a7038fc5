"""On which Python functions a process spends its CPU time, all threads alike: a sample per tick.

The kernel's profiling timer (`ITIMER_PROF`) counts the CPU time of all threads and sends its
signal to one that is using it. `faulthandler` writes that thread's stack from within the signal
handler, in C, at whatever the thread is doing: it does not wait for the interpreter's lock, so
that a thread is seen as often in SQLite, or in any other code that runs without the lock, as it
uses the CPU there. A sampler written in Python sees threads only where they let the lock go;
`cProfile` makes each Python call dearer, many times over where the functions are small.
"""

from __future__ import annotations

import faulthandler
import re
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

INTERVAL = 0.001
"""Seconds of CPU time between two samples at the least; the kernel's tick may be longer."""

Frame: TypeAlias = tuple[str, str]
"""The file and the name of a function."""

_HEADER = "Stack (most recent call first):"
_FRAME = re.compile(r'  File "(.*)", line (?:\d+|\?\?\?) in (.*)')


@contextmanager
def sampled(into: Path) -> Generator[None]:
    """Write a stack to ``into`` at each tick while the block runs; for the main thread."""
    signal.signal(signal.SIGPROF, signal.SIG_IGN)  # for one that is still under way at the end
    with into.open("wb", buffering=0) as file:
        faulthandler.register(signal.SIGPROF, file, all_threads=False)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            faulthandler.unregister(signal.SIGPROF)


def stacks(path: Path) -> Iterator[list[Frame]]:
    """The stacks that `sampled` wrote, each from its innermost frame outwards."""
    stack: list[Frame] | None = None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        frame = _FRAME.fullmatch(line)
        if line == _HEADER:
            if stack is not None:
                yield stack
            stack = []
        elif frame is not None and stack is not None:
            stack.append((frame[1], frame[2]))
    if stack is not None:
        yield stack
