"""How answers are printed for people: tables and sheets, as wide as the terminal or as need be."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs
import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskmill.cli.harmless import one_line
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


@attrs.frozen(kw_only=True)
class Column:
    """One column of a table."""

    name: str
    justify: Literal["left", "right"] = "left"
    from_width: int = 0
    """Left out where the terminal has fewer columns than that."""
    takes_rest: bool = False
    """Whether it is cut where the line does not fit, rather than others."""


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


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str | Text]]) -> None:
    """Print rows below their headings; what is too wide is cut in a terminal, and only there."""
    out = console()
    shown = [column for column in columns if out.width >= column.from_width]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in shown:
        table.add_column(
            column.name,
            justify=column.justify,
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if column.takes_rest else len(column.name),
            ratio=None,
        )
    for row in rows:
        cells = (cell for cell, column in zip(row, columns, strict=True) if column in shown)
        table.add_row(*(cell if isinstance(cell, Text) else Text(one_line(cell)) for cell in cells))
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().splitlines():
        click.echo(line.rstrip(), color=True)


def status_text(status: TaskStatus) -> Text:
    """A state in its colour."""
    return Text(status.value, STYLES.get(status, ""))
