"""``taskmill selftest``: whether the essential promises hold on this machine and disk."""

from __future__ import annotations

import logging
import signal
from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from types import FrameType

import anyio
import click
from rich.table import Table
from rich.text import Text

from taskmill.cli.database import Place
from taskmill.cli.documents import dumped
from taskmill.cli.ending import FAILED
from taskmill.cli.harmless import one_line, shortened
from taskmill.cli.options import db_option, json_option
from taskmill.cli.printing import console, trimmed
from taskmill.selftest import place as places
from taskmill.selftest.checks import all_checks
from taskmill.selftest.report import document, holds, opening, summary
from taskmill.selftest.session import outcome
from taskmill.selftest.values import Check, Outcome, Verdict

_COLOURS = {Verdict.OK: "green", Verdict.FAILED: "bold red", Verdict.NOT_HERE: "yellow"}
_WIDTH = max(len(verdict.value) for verdict in Verdict)


@click.command()
@json_option("one JSON object: whether all holds, and what came of each check")
@db_option()
@click.pass_context
def selftest(context: click.Context, /, *, as_json: bool) -> None:
    """Check the essential promises on this machine and its disk.

    Processes are killed, databases filled and handlers left to stall, in a fresh folder beside the
    database, which is gone at the end. The database itself is never opened, and need not exist:
    only its filesystem matters. Without one the system's temporary folder is used, which may be on
    another disk.

    It takes less than a minute. The exit code is 1 where a promise does not hold; what cannot be
    tried on this machine, and warnings, leave it 0.
    """
    # What the checks provoke would be logged as if it were trouble of the application's.
    logging.getLogger("taskmill").addHandler(logging.NullHandler())
    told: Place = context.ensure_object(Place)
    checks, found = all_checks(), list[Outcome]()
    try:
        with _signals_that_clean_up(), places.scratch(told.path) as place, _deaf_at_the_end():
            if not as_json:
                _print_lines(opening(place))
            for check in checks:
                found.append(_made(place, check, is_shown=not as_json))
            if as_json:
                click.echo(dumped(document(place, found)))
            else:
                _print_lines(["", summary(found)])
    except KeyboardInterrupt:
        click.echo(
            f"taskmill: interrupted after {len(found)} of {len(checks)} checks; nothing is left "
            "behind",
            err=True,
        )
        raise
    if not holds(found):
        raise click.exceptions.Exit(FAILED)


def _made(place: places.Place, check: Check, *, is_shown: bool) -> Outcome:
    out = console()
    if is_shown and out.is_terminal:
        with out.status(shortened(check.promise, max(out.width - 3, 1))):
            made = anyio.run(partial(outcome, place, check))
    else:
        made = anyio.run(partial(outcome, place, check))
    if is_shown:
        _print(made)
    return made


def _print(made: Outcome) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(Text(made.verdict.value, _COLOURS[made.verdict]), Text(made.promise))
    table.add_row("", Text(one_line(made.text), "dim" if made.verdict is Verdict.OK else ""))
    for warning in made.warnings:
        table.add_row(Text("warning", "yellow"), Text(one_line(warning), "italic"))
    with trimmed() as out:
        out.print(table)


def _print_lines(lines: list[str]) -> None:
    with trimmed() as out:
        for line in lines:
            out.print(Text(one_line(line)))


@contextmanager
def _signals_that_clean_up() -> Generator[None]:
    """Whichever signal ends the program, once: it leaves no folder behind."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_: int, __: FrameType | None) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)  # which the event loop turns into a cancellation


@contextmanager
def _deaf_at_the_end() -> Generator[None]:
    """A second Ctrl-C does not cut short the cleaning that the first began."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
