"""What handlers did, told by a file that no database and no crash can change."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from taskmill import Context, TaskId

RUN_BITS = 32
"""A fence is the epoch of the opening, then the run in so many bits."""


class Ledger:
    """A file to which each process appends; a line is written whole or not at all."""

    def __init__(self, path: Path | str) -> None:
        self._descriptor: int | None = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)

    def write(self, word: str, *values: object) -> None:
        """Append one line, by one call of the system; none where the file has been closed."""
        if self._descriptor is None:
            return
        line = " ".join([word, str(os.getpid()), *map(str, values)])
        os.write(self._descriptor, f"{line}\n".encode())

    @contextmanager
    def attempt(self, ctx: Context[Any], part: str = "execute") -> Generator[None]:
        """Note that a handler's work begins, and how it ended; a killed process notes no end."""
        group = ctx.record.group or "-"
        self.write("start", ctx.id, ctx.fence, part, group)
        word = "broken"
        try:
            yield
            word = "end"
        finally:
            self.write(word, ctx.id, ctx.fence, part, group)

    def close(self) -> None:
        """Let go of the file."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@attrs.frozen
class Entry:
    """One line: what a process said, about which task."""

    word: str
    pid: int
    values: tuple[str, ...]

    @property
    def task(self) -> TaskId:
        """The task it is about."""
        return TaskId(int(self.values[0]))

    @property
    def fence(self) -> int:
        """The fence of the attempt it is about."""
        return int(self.values[1])

    @property
    def run(self) -> int:
        """The run it is about."""
        return self.fence & ((1 << RUN_BITS) - 1)

    @property
    def part(self) -> str:
        """Which of a handler's functions was at work."""
        return self.values[2]

    @property
    def group(self) -> str:
        """The group of the task."""
        return self.values[3]


def entries(path: Path) -> list[Entry]:
    """All that was written, in order."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [Entry(word, int(pid), tuple(values)) for word, pid, *values in lines]


def check(found: Iterable[Entry], caps: Mapping[str, int]) -> None:
    """Assert what holds of the attempts at all tasks at any time.

    No two attempts at a task overlap, fences and runs grow and never repeat, nobody works who has
    been succeeded, no group has more at work than its cap, and what is told to end is not begun.
    """
    last_pid = 0
    at_work: dict[TaskId, Entry] = {}
    last: dict[TaskId, Entry] = {}
    told: set[TaskId] = set()
    for entry in found:
        if entry.word == "boot":
            last_pid = entry.pid
            at_work.clear()  # a dead process writes nothing any more
            continue
        assert entry.pid == last_pid, f"{entry} is by a process that another has succeeded"
        if entry.word == "told":
            told.add(entry.task)
        elif entry.word == "start":
            assert entry.task not in at_work, f"{entry} overlaps {at_work[entry.task]}"
            before = last.get(entry.task)
            if before is not None and not _tidies_up_after(entry, before):
                assert entry.fence > before.fence, f"{entry} comes after {before}"
                assert entry.run > before.run, f"{entry} comes after {before}"
            assert entry.task not in told or entry.part == "undo", f"{entry} was told to end"
            last[entry.task] = at_work[entry.task] = entry
            busy = Counter(each.group for each in at_work.values())
            assert busy[entry.group] <= caps.get(entry.group, busy[entry.group]), entry
        elif entry.word in ("end", "broken"):
            begun = at_work.pop(entry.task, None)
            assert begun is not None, f"{entry} was not begun"
            assert begun.fence == entry.fence, f"{entry} ends {begun}"


def _tidies_up_after(entry: Entry, before: Entry) -> bool:
    """Whether this is the ``on_cancel`` of the same run, which is one attempt with it."""
    return (entry.part, before.part) == ("undo", "execute") and entry.fence == before.fence


def ended_parts(found: Iterable[Entry]) -> dict[TaskId, list[str]]:
    """Which functions of the handlers of each task came to their end."""
    parts: dict[TaskId, list[str]] = defaultdict(list)
    for entry in found:
        if entry.word == "end":
            parts[entry.task].append(entry.part)
    return parts
