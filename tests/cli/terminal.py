"""A program in a terminal of its own, for tests that press keys and look at the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic  # noqa: TID251 - how long to wait for a real process

import attrs

from tests.cli.live import COMMAND, ENVIRONMENT

CODE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
DEADLINE = 20.0
_OWN_TERMINAL = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


@attrs.define
class Terminal:
    """A terminal with a program in it."""

    process: subprocess.Popen[bytes]
    master: int
    slave: int
    written: str = ""
    """Everything that the program has written."""
    read: int = 0
    """How much of it has been waited for."""

    def press(self, keys: str) -> None:
        """Type something."""
        os.write(self.master, keys.encode())

    def until(self, text: str) -> str:
        """What is written up to the next place where ``text`` is; escape codes are left out."""
        end = monotonic() + DEADLINE
        while text not in (shown := CODE.sub("", self.written[self.read :])):
            ready, _, _ = select.select([self.master], [], [], max(0, end - monotonic()))
            if not ready:
                raise TimeoutError(f"{text!r} was not written, but {shown!r}")
            self._take()
        self.read = len(self.written)
        return shown

    def resize(self, columns: int, lines: int) -> None:
        """Give the window another size."""
        resize(self.slave, columns, lines)

    def ended(self) -> int:
        """The exit code, once the program has ended and all that it wrote is read."""
        code = self.process.wait(DEADLINE)
        while select.select([self.master], [], [], 0)[0]:
            self._take()
        return code

    def modes(self) -> list[object]:
        """How the terminal is set."""
        return termios.tcgetattr(self.slave)

    def _take(self) -> None:
        self.written += os.read(self.master, 65_536).decode("utf-8", "replace")


@contextmanager
def terminal(
    path: Path, *arguments: str, columns: int = 100, lines: int = 30, **environment: str
) -> Generator[Terminal]:
    """``taskmill`` on a database in a terminal of this size."""
    master, slave = pty.openpty()
    resize(slave, columns, lines)
    variables = {k: v for k, v in ENVIRONMENT.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", _OWN_TERMINAL, *COMMAND, "--db", str(path), *arguments],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**variables, "TERM": "xterm-256color", **environment},
    )
    try:
        yield Terminal(process, master, slave)
    finally:
        process.kill()
        process.wait()
        os.close(master)
        os.close(slave)


def resize(descriptor: int, columns: int, lines: int) -> None:
    """Set the size of a terminal."""
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
