"""``taskmill demo``: find duplicate files, and see the scheduler at work."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import sysconfig
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, assert_never

import anyio
import click

from taskmill.cli.database import Place
from taskmill.demo.app import Found, Settings
from taskmill.demo.paths import OwnFiles
from taskmill.demo.report import as_json
from taskmill.demo.session import Cancelled, Interrupted, Outcome, Refused, attend, give_up
from taskmill.demo.summary import many, print_summary
from taskmill.demo.tally import Tally
from taskmill.demo.view import animate, can_animate, print_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


@click.command()
@click.argument(
    "directory",
    metavar="[DIR]",
    required=False,
    type=click.Path(exists=True, file_okay=False, path_type=bytes),
)
@click.option(
    "--db",
    metavar="PATH",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The task database.  [default: taskmill/demo.db in the user's cache directory]",
)
@click.option("--json", "as_document", is_flag=True, help="Print the answer as one JSON object.")
@click.option(
    "--concurrency",
    metavar="N",
    type=click.IntRange(1, 256),
    default=16,
    show_default=True,
    help="How many tasks run at once.",
)
@click.option(
    "--cancel", is_flag=True, help="Cancel what an interrupted run over DIR left, and do no more."
)
def demo(
    *,
    directory: bytes | None,
    db: Path | None,
    as_document: bool,
    concurrency: int,
    cancel: bool,
) -> None:
    r"""Find the duplicate files below DIR (default: the standard library of this Python).

    Files count as duplicates when their content is the same and not empty. Symbolic links are not
    followed. Further hard links to a file are listed with it, but waste nothing.

    It can be interrupted or killed at any moment. The next run with the same database goes on
    from there, and reads no file again whose size and modification time are what they were.
    The answer is also written beside the database, to *-duplicates.json and *-duplicates.txt;
    what is known about files is kept there too, in *-files.db.

    In JSON, a byte of a file name that is not UTF-8 reads \xNN. What is written for people shows
    control characters in such a way too.
    """
    # A reader that went away (| head) ends the run like any kill: silently, and nothing is lost.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    # What the scheduler logs would be written over the bars; the summary counts failed tasks.
    logging.getLogger("taskmill").addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    settings = Settings(
        root=os.path.realpath(directory or os.fsencode(sysconfig.get_path("stdlib"))),
        own=OwnFiles(db or _told_database() or _default_database()),
        concurrency=concurrency,
    )
    tally, began = Tally(), perf_counter()
    follow = partial(_follower(as_document=as_document), tally)
    outcome: Outcome
    try:
        if cancel:
            outcome = anyio.run(give_up, settings)
        else:
            outcome = anyio.run(attend, settings, tally, follow)
    except KeyboardInterrupt:  # before `attend` listens to signals
        outcome = Interrupted(signal.SIGINT)
    time = timedelta(seconds=perf_counter() - began)
    match outcome:
        case Found(answer=answer) if as_document:
            click.echo(as_json(answer))
        case Found():
            print_summary(outcome, tally.figures(), time, sys.stdout)
        case Interrupted(signal=number):
            click.echo(
                f"taskmill: stopped by {number.name}; the next run goes on from here", err=True
            )
        case Cancelled(tasks=number):
            click.echo(f"taskmill: cancelled {many(number, 'task')}", err=True)
        case Refused(message=message):
            click.echo(f"taskmill: {message}", err=True)
        case _:
            assert_never(outcome)
    sys.exit(_exit_code(outcome))


def _exit_code(outcome: Outcome) -> int:
    match outcome:
        case Found(failed_tasks=failed):
            return 1 if failed else 0
        case Interrupted(signal=number):
            return 128 + number
        case Cancelled():
            return 0
        case Refused():
            return 1
        case _:
            assert_never(outcome)


def _follower(*, as_document: bool) -> Callable[[Tally], Coroutine[Any, Any, None]]:
    """How progress is shown; with a document on standard output, only where nobody parses it."""
    stream = sys.stderr if as_document else sys.stdout
    if can_animate(stream):
        return partial(animate, stream=stream)
    return _nothing if as_document else partial(print_lines, stream=stream)


async def _nothing(_: Tally) -> None:
    """Show no progress."""


def _told_database() -> Path | None:
    """What was named before the command; the variable means the database of an application."""
    place = click.get_current_context().find_object(Place)
    return place.path if place is not None and place.is_told else None


def _default_database() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = (cache if cache.is_absolute() else Path.home() / ".cache") / "taskmill"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{error}; name another place with --db") from error
    return folder / "demo.db"
