"""``taskmill run``: an application's scheduler as a service."""

from __future__ import annotations

import logging

import anyio
import click

from taskmill.cli.harmless import one_line
from taskmill.cli.loading import load_scheduler
from taskmill.model.errors import SchedulerFailed

LEVELS = ("debug", "info", "warning", "error")

log = logging.getLogger("taskmill")


@click.command()
@click.argument("reference", metavar="MODULE:SCHEDULER")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="What is logged to standard error, from this level on.",
)
def run(*, reference: str, log_level: str) -> None:
    """Serve an application: dispatch until SIGINT or SIGTERM.

    MODULE:SCHEDULER names the application's scheduler, or a function that makes it. The first
    signal shuts down as the scheduler's `shutdown` says: it drains, unless told otherwise. A
    second one stops at once. The exit code is 0 after a shutdown, 1 where the scheduler could not
    open or failed, and 2 where MODULE:SCHEDULER names none.
    """
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    scheduler = load_scheduler(reference)
    log.info("%s dispatches", one_line(repr(scheduler)))
    try:
        anyio.run(scheduler.run)
    except SchedulerFailed as error:
        log.error("the scheduler failed", exc_info=error)
        raise
    log.info("shut down")
