"""``taskmill routes``: on which executor each task type runs, and why."""

from __future__ import annotations

import json
import signal
import sys

import attrs
import click
from rich.console import Console
from rich.table import Table

from taskmill.cli.loading import load_scheduler
from taskmill.model.errors import TaskmillError
from taskmill.scheduler import Scheduler


@click.command()
@click.argument("reference", metavar="MODULE:SCHEDULER")
@click.option("--explain", metavar="TYPE", help="Show every rule that was asked for this type.")
@click.option("--json", "as_document", is_flag=True, help="Print a JSON array, one object a type.")
def routes(*, reference: str, explain: str | None, as_document: bool) -> None:
    """Print which executor runs the tasks of each type, and what decided that.

    MODULE:SCHEDULER names the application's scheduler, or a function that makes it; it is not
    opened.
    """
    # A reader that went away (| head) ends the run silently.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        scheduler = load_scheduler(reference)
    except TaskmillError as error:
        click.echo(f"taskmill: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    if explain is not None:
        click.echo(scheduler.routing.explain(explain))
    elif as_document:
        click.echo(json.dumps([attrs.asdict(route) for route in scheduler.routes()], indent=2))
    else:
        _print(scheduler)


def _print(scheduler: Scheduler) -> None:
    has_fallback = any(route.fallback for route in scheduler.routes())
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("type", "executor", "by", *(["fallback"] if has_fallback else [])):
        table.add_column(name, overflow="fold")
    for route in scheduler.routes():
        last = [route.fallback or "waits"] if has_fallback else []
        table.add_row(route.type, route.executor, route.by, *last)
    if not scheduler.routes():
        click.echo("no task type has a handler here")
    else:
        Console(highlight=False, markup=False).print(table)
