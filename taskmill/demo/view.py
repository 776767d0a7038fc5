"""What a person sees while the demo runs: bars in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING, TextIO

import anyio
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from taskmill.demo.pace import Pace, Rates
from taskmill.demo.tally import Bar, Figures, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

FRAME = 0.2
"""Seconds between two frames in a terminal."""
LINE = 2.0
"""Seconds between two lines elsewhere."""


def can_animate(stream: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether ``stream`` is a terminal that can move its cursor."""
    return stream.isatty() and environment.get("TERM", "dumb") not in {"dumb", "unknown"}


async def animate(tally: Tally, stream: TextIO) -> None:
    """Show bars on ``stream`` until cancelled; they are removed then."""
    pace = Pace()
    console = Console(file=stream)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            figures = tally.figures()
            live.update(picture(figures, pace.rates(figures, perf_counter())), refresh=True)
            await anyio.sleep(FRAME)


async def print_lines(tally: Tally, stream: TextIO) -> None:
    """Write a line to ``stream`` every couple of seconds until cancelled."""
    pace = Pace()
    pace.rates(tally.figures(), perf_counter())
    while True:
        await anyio.sleep(LINE)
        figures = tally.figures()
        stream.write(line(figures, pace.rates(figures, perf_counter())) + "\n")
        stream.flush()


def picture(figures: Figures, rates: Rates) -> Group:
    """The counts as bars, with the rates and the large file being read below them."""
    bars = Table.grid(padding=(0, 1), expand=True)
    bars.add_column(no_wrap=True)
    bars.add_column(ratio=1)
    bars.add_column(justify="right", no_wrap=True)
    for stage, bar in figures.bars.items():
        style = "bold" if stage is figures.stage else "dim"
        bars.add_row(Text(stage.value, style), _progress_bar(bar), Text(_done_of(bar), style))
    below = [Text(" · ".join(_facts(figures, rates)))]
    if figures.reading is not None:
        below.append(Text(figures.reading, "dim", overflow="ellipsis", no_wrap=True))
    return Group(bars, *below)


def line(figures: Figures, rates: Rates) -> str:
    """The counts as one line without escape codes."""
    bars = [f"{stage.value} {_done_of(bar)}" for stage, bar in figures.bars.items() if bar.known]
    return "  ".join([*bars, *_facts(figures, rates)])


def size_text(size: float) -> str:
    """A number of bytes for people: ``"1.4 MB"``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(time: timedelta) -> str:
    """A time for people: ``"0:07"``, ``"1:02:03"``."""
    minutes, seconds = divmod(round(time.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _facts(figures: Figures, rates: Rates) -> list[str]:
    files, read = f"{figures.files:,} files", f"{size_text(figures.bytes_read)} read"
    if rates.files:
        files += f" ({rates.files:,.0f}/s)"
    if rates.bytes:
        read += f" ({size_text(rates.bytes)}/s)"
    facts = [f"{rates.tasks:,.0f} tasks/s", files, read, f"{figures.errors:,} errors"]
    if figures.inherited:
        facts.append(f"{figures.inherited:,} tasks from an earlier run")
    if rates.left is not None:
        facts.append(f"{time_text(rates.left)} left")
    return facts


def _progress_bar(bar: Bar) -> ProgressBar:
    return ProgressBar(total=bar.known or 1, completed=bar.done)


def _done_of(bar: Bar) -> str:
    return f"{bar.done:,}/{bar.known:,}"
