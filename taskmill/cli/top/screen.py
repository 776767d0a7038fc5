"""The terminal while the live view has it: another screen, no echo, and back as it was."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import StringIO
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from taskmill.cli.top.tasks import EMPTY, FULL

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"
_HOME = "\x1b[H"
_ASCII = str.maketrans({FULL: "#", EMPTY: ".", "…": "~"})
LEAST = (20, 4)


class Screen:
    """A terminal: what is pressed comes from ``keys``, what is drawn goes to ``out``."""

    def __init__(self, keys: TextIO, out: TextIO) -> None:
        self.keys = keys.fileno()
        self._out = out
        self._is_entered = False
        self._before: list[Any] = []
        self._is_ascii = not _can_show(out.encoding or "ascii")

    @contextmanager
    def entered(self) -> Generator[None]:
        """Have the terminal for as long as the block; it is restored however that ends."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Take the terminal: keys come one by one and unseen."""
        self._before = termios.tcgetattr(self.keys)
        tty.setcbreak(self.keys, termios.TCSANOW)
        self._is_entered = True
        self._write(_ENTER)

    def leave(self) -> None:
        """Give it back as it was; a terminal that is gone is left alone."""
        if not self._is_entered:
            return
        self._is_entered = False
        with suppress(OSError, ValueError):
            self._write(_LEAVE)
        with suppress(termios.error, OSError):
            termios.tcsetattr(self.keys, termios.TCSADRAIN, self._before)

    def size(self) -> tuple[int, int]:
        """Columns and lines."""
        try:
            columns, lines = os.get_terminal_size(self._out.fileno())
        except OSError:
            columns, lines = 0, 0
        return max(columns or 80, LEAST[0]), max(lines or 24, LEAST[1])

    def draw(self, picture: Text) -> None:
        """Show a picture of exactly the size of the terminal."""
        if self._is_entered:
            text = rendered(picture, self.size()[0]).replace("\n", "\r\n")
            self._write(_HOME + (text.translate(_ASCII) if self._is_ascii else text))

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def rendered(picture: Text, width: int, *, colours: bool | None = True) -> str:
    """A picture with the codes of its colours, as the environment has them."""
    into = StringIO()
    console = Console(
        file=into,
        force_terminal=colours,
        width=width + 1,
        highlight=False,
        legacy_windows=False,
    )
    console.print(picture, end="", no_wrap=True, overflow="ignore", crop=False, soft_wrap=True)
    return into.getvalue()


def why_not(environment: dict[str, str]) -> str | None:
    """Why there can be no live view here; None where there can."""
    for stream, what in ((sys.stdin, "standard input"), (sys.stdout, "standard output")):
        if not stream.isatty():
            return f"{what} is no terminal"
    if environment.get("TERM", "dumb") in ("dumb", "unknown"):
        return f"this terminal cannot move its cursor (TERM={environment.get('TERM', '')})"
    return None


def _can_show(encoding: str) -> bool:
    try:
        f"{FULL}{EMPTY}…".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
