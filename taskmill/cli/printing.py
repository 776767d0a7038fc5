"""How answers are printed for people: tables and sheets, as wide as the terminal or as need be."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.text import Text

from taskmill.cli.grid import Cell, Column, grid
from taskmill.model.status import TaskStatus

UNBOUNDED = 20_000
"""Columns where no window sets a width: nothing is cut for a program that reads on."""

STYLES = {
    TaskStatus.RUNNING: "green",
    TaskStatus.COMPLETED: "dim",
    TaskStatus.FAILED: "red",
    TaskStatus.DEAD: "bold red",
    TaskStatus.PAUSED: "yellow",
    TaskStatus.BLOCKED: "yellow",
    TaskStatus.WAITING: "cyan",
    TaskStatus.DEPENDENCY_FAILED: "red",
    TaskStatus.EXPIRED: "red",
    TaskStatus.CANCELLED: "dim",
    TaskStatus.SUPERSEDED: "dim",
}


def console() -> Console:
    """Standard output: with colour in a terminal that has some, unbounded where it is none."""
    is_terminal = sys.stdout.isatty()
    return Console(
        file=sys.stdout,
        width=None if is_terminal else UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=not is_terminal,
    )


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> None:
    """Print rows below their headings; what is too wide is cut in a terminal, and only there."""
    with trimmed() as out:
        for line in grid(columns, list(rows), out.width, gap=2):
            out.print(line)


@contextmanager
def trimmed() -> Generator[Console]:
    """Standard output for one block, without the blanks that fill its lines."""
    out = console()
    with out.capture() as captured:
        yield out
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=True)


def status_text(status: TaskStatus) -> Text:
    """A state in its colour."""
    return Text(status.value, STYLES.get(status, ""))
