"""What handlers really did: one file that all processes append to, and what it proves.

Every entry is one write to a file opened with O_APPEND, so that the order of the lines is the
order of what they tell, over all processes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

Token = tuple[int, int]
"""A task and the number of one of its runs."""


class Ledger:
    """Appends to the file at ``path``; every process has its own."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)

    def started(self, task: int, run: int) -> None:
        """A handler begins, in this process."""
        self._note("start", task, run, os.getpid())

    def ended(self, task: int, run: int) -> None:
        """A handler returns."""
        self._note("end", task, run)

    def accepted(self, task: int) -> None:
        """Somebody was told that a task is accepted."""
        self._note("accepted", task)

    def killed(self, process: int) -> None:
        """A process is gone, and whatever ran there with it."""
        self._note("killed", process)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _note(self, kind: str, *numbers: int) -> None:
        os.write(self._descriptor, f"{kind} {' '.join(map(str, numbers))}\n".encode())


@attrs.define
class Story:
    """What a ledger tells."""

    accepted: set[int] = attrs.field(factory=set[int])
    starts: Counter[Token] = attrs.field(factory=Counter[Token])
    completed: set[int] = attrs.field(factory=set[int])
    """Tasks that a handler returned from."""
    cut_off: set[Token] = attrs.field(factory=set[Token])
    """Runs whose process was killed."""
    overlaps: set[int] = attrs.field(factory=set[int])
    """Tasks that began a run while another was under way."""

    def repeated(self) -> list[Token]:
        """Runs that began more than once."""
        return sorted(token for token, count in self.starts.items() if count > 1)

    def lost(self) -> list[int]:
        """Tasks that were accepted, or had begun, and that no handler returned from."""
        begun = {task for task, _ in self.starts}
        return sorted((self.accepted | begun) - self.completed)


def read(path: Path) -> Story:
    """The story that the ledger at ``path`` tells."""
    return story_of(path.read_text(encoding="ascii").splitlines())


def story_of(lines: Iterable[str]) -> Story:
    """The story of entries, in their order."""
    story = Story()
    running: dict[int, dict[int, int]] = {}
    """By task, the process of each run that is under way."""
    for kind, numbers in _entries(lines):
        match kind, numbers:
            case "accepted", [task]:
                story.accepted.add(task)
            case "start", [task, run, process]:
                story.starts[task, run] += 1
                under_way = running.setdefault(task, {})
                if under_way:
                    story.overlaps.add(task)
                under_way[run] = process
            case "end", [task, run]:
                story.completed.add(task)
                running.get(task, {}).pop(run, None)
            case "killed", [process]:
                for task, under_way in running.items():
                    gone = [run for run, where in under_way.items() if where == process]
                    for run in gone:
                        story.cut_off.add((task, run))
                        del under_way[run]
            case _:
                raise ValueError(f"no entry of a ledger: {kind} {numbers}")
    return story


def _entries(lines: Iterable[str]) -> Iterator[tuple[str, list[int]]]:
    for line in lines:
        kind, *numbers = line.split()
        yield kind, [int(number) for number in numbers]
