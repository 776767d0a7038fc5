"""What a person is told at the end: totals, the biggest groups, and where all of it was written."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskmill.demo.paths import inside, printable
from taskmill.demo.view import can_animate, size_text, time_text

if TYPE_CHECKING:
    from datetime import timedelta

    from taskmill.demo.app import Found
    from taskmill.demo.report import Answer
    from taskmill.demo.tally import Figures
    from taskmill.demo.values import DuplicateGroup

GROUPS = 10
FILES = 4
ERRORS = 5
"""How many are shown; the written files hold all."""
UNBOUNDED = 20_000
"""Columns where no window sets a width: wider than any path."""


def print_summary(found: Found, figures: Figures, time: timedelta, stream: TextIO) -> None:
    """Write the summary to ``stream``, without escape codes where it is no terminal."""
    terminal = can_animate(stream)
    width = None if terminal else UNBOUNDED
    console = Console(file=stream, force_terminal=terminal, highlight=False, width=width)
    with console.capture() as captured:
        _print_answer(found, console)
        seconds = max(time.total_seconds(), 0.001)
        rate = figures.tasks / seconds
        done = many(figures.tasks, "task")
        console.print(Text(f"{done} in {time_text(time)}, {rate:,.0f} tasks/s"))
        for name in found.written:
            console.print(Text(f"written: {name}"), soft_wrap=True)
    stream.writelines(text.rstrip() + "\n" for text in captured.get().splitlines())


def totals(answer: Answer) -> list[str]:
    """The totals as lines."""
    counts = answer.counts
    directories = many(counts.directories, "directory", "directories")
    lines = [
        f"{many(counts.files, 'file')}, {size_text(counts.bytes)}, in {directories}",
        f"{many(len(answer.groups), 'group')} of duplicates, {size_text(answer.wasted)} wasted",
        many(len(answer.problems), "error"),
    ]
    if counts.hard_links:
        links = many(counts.hard_links, "hard link")
        lines.append(f"{links} to another file (nothing is wasted there)")
    if counts.symlinks or counts.specials:
        lines.append(
            f"passed over: {many(counts.symlinks, 'symlink')}, "
            + many(counts.specials, "pipe, socket or device", "pipes, sockets and devices")
        )
    return lines


def many(number: int, one: str, several: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _print_answer(found: Found, console: Console) -> None:
    answer = found.answer
    for text in totals(answer):
        console.print(Text(text))
    if answer.groups:
        console.print(_groups(answer))
    for path, problem in answer.problems[:ERRORS]:
        console.print(Text(f"not read: {printable(path)}: {problem}", "yellow"))
    if len(answer.problems) > ERRORS:
        console.print(Text(f"not read: {len(answer.problems) - ERRORS:,} more", "yellow"))
    if found.failed_tasks:
        text = f"{many(found.failed_tasks, 'task')} failed: this answer is not complete; run again"
        console.print(Text(text, "red"))


def _groups(answer: Answer) -> Table:
    title = Text(f"Largest groups of duplicates in {printable(answer.root)}")
    table = Table(box=SIMPLE, title=title, title_justify="left")
    table.add_column("wasted", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("files", overflow="fold")
    for group in answer.groups[:GROUPS]:
        table.add_row(size_text(group.wasted), size_text(group.size), _files(group, answer.root))
    return table


def _files(group: DuplicateGroup, root: bytes) -> Text:
    lines = [printable(path.removeprefix(inside(root))) for path in group.paths[:FILES]]
    if len(group.paths) > FILES:
        lines.append(f"and {len(group.paths) - FILES:,} more")
    return Text("\n".join(lines))
