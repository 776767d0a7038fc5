"""``taskmill top``: the live view as a command."""

from __future__ import annotations

import os
import sys

import anyio
import click

from taskmill.cli.database import ask, check_is_database, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import trimmed
from taskmill.cli.top.picture import picture
from taskmill.cli.top.state import Frame, State, View, seen
from taskmill.client.client import Client

TALL, WIDE = 60, 120
"""Lines and columns of a frame that is printed where there is no window."""


@click.command()
@click.option("--once", is_flag=True, help="Print one frame, and end.")
@click.option(
    "--view",
    type=click.Choice([view.value for view in View]),
    default=View.RUNNING.value,
    show_default=True,
    help="Which tasks are listed first.",
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.FloatRange(0.1, 3600),
    default=0.5,
    show_default=True,
    help="Between two frames.",
)
@json_option("the frame of --once as one JSON object: snapshot and tasks")
@db_option()
@click.pass_context
def top(
    context: click.Context, /, *, once: bool, view: str, interval: float, as_json: bool
) -> None:
    """Watch it live: what runs, what waits, what has ended.

    \b
    up down j k   select a task       tab   running, waiting, ended, dead
    c   cancel it, after a question   r     retry it (of ended and dead ones)
    e   explain it                    p P   pause or resume: all, its domain
    ?   help                          q     quit
    """
    path = database_of(context)
    check_is_database(path)
    if once or as_json:
        _print_one(context, View(view), as_json=as_json)
        return
    from taskmill.cli.top.screen import Screen, why_not
    from taskmill.cli.top.session import Session

    reason = why_not(dict(os.environ))
    if reason is not None:
        raise click.UsageError(f"{reason}; `taskmill top --once` prints one frame")
    session = Session(path, Screen(sys.stdin, sys.stdout), interval, View(view))
    code = anyio.run(session.run)
    raise click.exceptions.Exit(code)


def _print_one(context: click.Context, view: View, *, as_json: bool) -> None:
    from taskmill.cli.top.sight import sight

    path = database_of(context)

    async def look(client: Client) -> Frame:
        return await sight(client, path, view)

    frame = ask(path, look)
    if as_json:
        document = {"snapshot": frame.snapshot, "view": view, "tasks": frame.tasks}
        click.echo(dumped(as_document(document)))
        return
    with trimmed() as out:
        width = out.width if sys.stdout.isatty() else WIDE
        shown = picture(seen(State(view=view), frame), width, TALL).split("\n")
        shown.pop()  # the keys
        while not shown[-1].plain.strip():
            shown.pop()
        for line in shown:
            out.print(line)
