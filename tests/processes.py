"""Programs under test in processes of their own: started, read line by line, and ended."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


class Process:
    """A running program; its lines as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []

    def read_until(self, start: str) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if line.startswith(start):
                return line.strip()
        pytest.fail(f"it ended without {start!r}; it said {self.lines}")

    def read_all(self) -> list[str]:
        assert self.process.stdout is not None
        self.lines.extend(line.strip() for line in self.process.stdout)
        return self.lines

    def kill(self) -> list[str]:
        self.process.kill()
        return self.read_all()


@contextmanager
def running(module: str, *arguments: object, log: Path | None = None) -> Generator[Process]:
    """Run a module of the tests; what it logs goes to ``log``, or between its lines."""
    with (log or Path("/dev/null")).open("a") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if log is None else errors,
            text=True,
        )
    with process:
        try:
            yield Process(process)
        finally:
            process.kill()
