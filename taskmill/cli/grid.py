"""Rows of cells as lines of text, each exactly as wide as it has room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import attrs
from rich.cells import cell_len
from rich.text import Text

from taskmill.cli.harmless import one_line

Cell: TypeAlias = str | Text
LEAST = 6
"""Columns that a column which gives way keeps."""


@attrs.frozen(kw_only=True)
class Column:
    """One column: as wide as what is in it, and where that is too much, the widest give way."""

    name: str
    justify: Literal["left", "right"] = "left"
    from_width: int = 0
    """Left out where there is less room than that."""
    most: int = 1_000
    gives_way: bool = False
    is_needed: bool = True
    """Whether it is shown where nothing is in it."""


def grid(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int, *, gap: int = 1
) -> list[Text]:
    """A line of headings and a line for each row, none wider than ``width``.

    ``gap`` is the number of blanks between two columns.
    """
    kept = [
        place
        for place, column in enumerate(columns)
        if width >= column.from_width and (column.is_needed or any(row[place] for row in rows))
    ]
    shown = [columns[place] for place in kept]
    cells = [[_text(row[place]) for place in kept] for row in rows]
    widths = _widths(shown, cells, width - gap * (len(shown) - 1))
    heads = [Text(column.name, "bold") for column in shown]
    lines = [_line(shown, row, widths, " " * gap) for row in (heads, *cells)]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def fitted(line: Text, width: int) -> Text:
    """A line of exactly ``width`` columns: cut, or filled up."""
    line = line.copy()
    line.truncate(width, overflow="ellipsis")
    line.pad_right(width - line.cell_len)
    return line


def _widths(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    widths = [
        min(column.most, max([cell_len(column.name), *(row[place].cell_len for row in rows)]))
        for place, column in enumerate(columns)
    ]
    giving = [place for place, column in enumerate(columns) if column.gives_way]
    for _ in range(sum(widths) - width):
        widest = max(giving, key=lambda place: widths[place], default=None)
        if widest is None or widths[widest] <= LEAST:
            break
        widths[widest] -= 1
    return widths


def _line(
    columns: Sequence[Column], cells: Sequence[Text], widths: Sequence[int], gap: str
) -> Text:
    line = Text()
    for column, cell, room in zip(columns, cells, widths, strict=True):
        cell = cell.copy()
        cell.truncate(room, overflow="ellipsis")
        if line:
            line.append(gap)
        if column.justify == "right":
            cell.pad_left(room - cell.cell_len)
        else:
            cell.pad_right(room - cell.cell_len)
        line.append_text(cell)
    return line


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(one_line(cell))
