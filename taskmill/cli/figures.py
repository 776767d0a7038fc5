"""``taskmill stats``: how the tasks of each type have ended, and how long they took."""

from __future__ import annotations

from datetime import timedelta

import click
from rich.text import Text

from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.grid import Column
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import print_table
from taskmill.client.client import Client
from taskmill.model.stats import TypeStats
from taskmill.model.status import TaskStatus
from taskmill.model.wording import length
from taskmill.store.sqlite.inspecting import types_of

_UNITS = ("B", "kB", "MB", "GB", "TB")


@click.command()
@click.argument("type_names", metavar="[TYPE]...", nargs=-1)
@json_option("a JSON array, one object a type")
@db_option()
@click.pass_context
def stats(context: click.Context, /, *, type_names: tuple[str, ...], as_json: bool) -> None:
    """Show how the tasks of each type ended, and how fast.

    That is of the tasks whose records are kept. Durations are those of the last 1,000 that
    completed, from the start of the last run. The failure rate is the part that failed or is dead
    of those that completed or did.
    """
    path = database_of(context)

    async def gathered(client: Client) -> list[TypeStats]:
        names = type_names or await types_of(path)
        return [await client.queries.stats(name) for name in names]

    found = ask(path, gathered)
    if as_json:
        click.echo(dumped(as_document(found)))
        return
    if not found:
        click.echo("no task is on record")
        return
    columns = (
        Column(name="type", gives_way=True),
        Column(name="completed", justify="right"),
        Column(name="failed", justify="right"),
        Column(name="dead", justify="right", from_width=56),
        Column(name="other ends", justify="right", from_width=80),
        Column(name="failures", justify="right", from_width=64),
        Column(name="p50", justify="right"),
        Column(name="p95", justify="right", from_width=56),
        Column(name="mean", justify="right", from_width=72),
        Column(name="read", justify="right", from_width=110),
        Column(name="written", justify="right", from_width=110),
        Column(name="received", justify="right", from_width=130),
        Column(name="sent", justify="right", from_width=130),
    )
    print_table(columns, map(_row, found))


def _row(stats: TypeStats) -> tuple[str | Text, ...]:
    counts = stats.counts
    known = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.DEAD)
    other = sum(count for status, count in counts.items() if status not in known)
    rate = "" if stats.failure_rate is None else f"{stats.failure_rate:.1%}"
    return (
        stats.type,
        *(f"{counts.get(status, 0):,}" for status in known),
        f"{other:,}",
        Text(rate, "red" if stats.failure_rate else ""),
        _length(stats.duration_p50),
        _length(stats.duration_p95),
        _length(stats.duration_mean),
        *(
            size_text(n)
            for n in (stats.io.read, stats.io.written, stats.io.received, stats.io.sent)
        ),
    )


def size_text(size: float) -> str:
    """A number of bytes for people: ``"1.4 MB"``; empty for none."""
    if not size:
        return ""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"


def _length(duration: timedelta | None) -> str:
    return "" if duration is None else length(duration.total_seconds())
