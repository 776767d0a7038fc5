"""What happened, as text: three small tables of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TextIO

import attrs

from taskmill.simulation.outcome import Outcome, Waits
from taskmill.simulation.words import group_text, priority_text, time_text

GROUPS = 20
"""How many groups are listed, those with the most slot time; a document holds all."""


@attrs.frozen(kw_only=True)
class Grid:
    """A table: the first column is text, the others are figures."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def print_outcome(outcome: Outcome, stream: TextIO) -> None:
    """Write the tables to ``stream``: by rich where that is installed, plainly otherwise.

    Colours and lines are for terminals only.
    """
    stream.write(heading(outcome) + "\n")
    for grid in (groups_of(outcome), priorities_of(outcome)):
        if stream.isatty() and find_spec("rich") is not None:
            _print_rich(grid, stream)
        else:
            stream.writelines(line + "\n" for line in plain(grid))
    stream.writelines(line + "\n" for line in notes(outcome))


def heading(outcome: Outcome) -> str:
    """What was simulated, in one line."""
    return (
        f"{time_text(outcome.length)} simulated, {outcome.max_concurrency} slots "
        f"{outcome.utilisation:.1%} used, {outcome.ended:,} tasks ended, "
        f"{outcome.waiting:,} waiting"
    )


def notes(outcome: Outcome) -> Iterator[str]:
    """What happened besides."""
    yield f"seed {outcome.seed}; {outcome.starts:,} starts, {outcome.running:,} running at the end"
    if outcome.preempted or outcome.paused:
        yield (
            f"interrupted: {outcome.preempted:,} preempted, {outcome.paused:,} paused; "
            f"{time_text(outcome.lost)} of slot time lost"
        )


def groups_of(outcome: Outcome) -> Grid:
    """Who held the slots."""
    by_time = outcome.by_slot_time()
    shown = by_time if len(by_time) <= GROUPS + 1 else by_time[:GROUPS]
    rows: list[Sequence[str]] = []
    for name in shown:
        group = outcome.groups[name]
        rows.append(
            (
                group_text(name),
                str(group.weight),
                f"{outcome.part(name):.1%}",
                f"{outcome.mean_slots(name):.2f}",
                f"{group.running.most:,}",
                f"{group.ended:,}",
                time_text(group.waits.p50),
                time_text(group.waits.p95),
            )
        )
    if len(shown) < len(by_time):
        left = by_time[GROUPS:]
        rows.append(
            (
                f"{len(left):,} more",
                "",
                f"{sum(outcome.part(name) for name in left):.1%}",
                f"{sum(outcome.mean_slots(name) for name in left):.2f}",
                "",
                f"{sum(outcome.groups[name].ended for name in left):,}",
                "",
                "",
            )
        )
    return Grid(
        title="Slots per group",
        header=("group", "weight", "part", "mean", "most", "ended", "wait p50", "p95"),
        rows=rows,
    )


def priorities_of(outcome: Outcome) -> Grid:
    """Who waited how long."""
    return Grid(
        title="Waiting time per priority, until the first start",
        header=("priority", "started", "mean", "p50", "p95", "max", "waiting", "oldest"),
        rows=[
            (priority_text(priority), *_figures(waits))
            for priority, waits in outcome.priorities.items()
        ],
    )


def _figures(waits: Waits) -> Iterator[str]:
    yield f"{waits.started:,}"
    for length in (waits.mean, waits.p50, waits.p95, waits.most):
        yield time_text(length) if waits.started else "-"
    yield f"{waits.waiting:,}"
    yield time_text(waits.longest) if waits.waiting else "-"


def plain(grid: Grid) -> list[str]:
    """A table as lines without any escape code."""
    columns = zip(grid.header, *grid.rows, strict=True)
    widths = [max(map(len, column)) for column in columns]
    lines = ["", grid.title]
    for row in (grid.header, *grid.rows):
        first, *others = zip(row, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        lines.append("  ".join(cells).rstrip())
    return [*lines, ""]


def _print_rich(grid: Grid, stream: TextIO) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE, title=Text(grid.title), title_justify="left", padding=0)
    for number, name in enumerate(grid.header):
        table.add_column(Text(name), justify="right" if number else "left", no_wrap=True)
    for row in grid.rows:
        table.add_row(*map(Text, row))
    Console(file=stream, highlight=False).print(table)
