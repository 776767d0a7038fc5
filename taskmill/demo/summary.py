"""What a person is told at the end: totals, the biggest groups, and where all of it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskmill.demo.paths import printable
from taskmill.demo.view import can_animate, size_text, time_text

if TYPE_CHECKING:
    from datetime import timedelta

    from taskmill.demo.app import Found
    from taskmill.demo.catalogue import DuplicateGroup
    from taskmill.demo.report import Answer
    from taskmill.demo.tally import Figures

GROUPS = 10
FILES = 4
ERRORS = 5
"""How many are shown; the written files hold all."""


def print_summary(found: Found, figures: Figures, time: timedelta, stream: TextIO) -> None:
    """Write the summary to ``stream``, without escape codes where it is no terminal."""
    console = Console(file=stream, force_terminal=can_animate(stream), highlight=False)
    answer = found.answer
    for text in totals(answer):
        console.print(Text(text))
    if answer.groups:
        console.print(_groups(answer))
    for path, problem in answer.problems[:ERRORS]:
        console.print(Text(f"not read: {printable(path)}: {problem}", "yellow"))
    if found.failed_tasks:
        text = f"{found.failed_tasks:,} tasks failed: this answer is not complete; run again"
        console.print(Text(text, "red"))
    seconds = max(time.total_seconds(), 0.001)
    rate = figures.tasks / seconds
    console.print(Text(f"{figures.tasks:,} tasks in {time_text(time)}, {rate:,.0f} tasks/s"))
    for path in found.written:
        console.print(Text(f"written: {path}"), soft_wrap=True)


def totals(answer: Answer) -> list[str]:
    """The totals as lines."""
    counts = answer.counts
    lines = [
        f"{counts.files:,} files, {size_text(counts.bytes)}, in {counts.directories:,} directories",
        f"{len(answer.groups):,} groups of duplicates, {size_text(answer.wasted)} wasted",
        f"{len(answer.problems):,} errors",
    ]
    if counts.hard_links:
        lines.append(f"{counts.hard_links:,} files are hard links to another (they waste nothing)")
    if counts.symlinks or counts.specials:
        lines.append(
            f"passed over: {counts.symlinks:,} symlinks, "
            f"{counts.specials:,} pipes, sockets and devices"
        )
    return lines


def _groups(answer: Answer) -> Table:
    table = Table(box=SIMPLE, title="Largest groups of duplicates", title_justify="left")
    table.add_column("wasted", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("files", overflow="fold")
    for group in answer.groups[:GROUPS]:
        table.add_row(size_text(group.wasted), size_text(group.size), _files(group))
    return table


def _files(group: DuplicateGroup) -> Text:
    lines = [printable(path) for path in group.paths[:FILES]]
    if len(group.paths) > FILES:
        lines.append(f"and {len(group.paths) - FILES:,} more")
    return Text("\n".join(lines))
