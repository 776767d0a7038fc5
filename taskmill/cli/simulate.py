"""``taskmill simulate``: see what a workload would do before it does it."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import click

from taskmill.model.errors import ConfigurationError
from taskmill.simulation.description import read_workload
from taskmill.simulation.picture import check_picture, draw
from taskmill.simulation.simulate import simulate as play
from taskmill.simulation.table import print_outcome


@click.command()
@click.argument("workload", metavar="WORKLOAD.toml", type=click.Path(path_type=Path))
@click.option(
    "--picture",
    metavar="OUT.png",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw slots and waiting times over time; .svg and .pdf are fine too.",
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(0),
    help="Another course of the same workload.  [default: the workload's]",
)
@click.option("--json", "as_document", is_flag=True, help="Print the outcome as one JSON object.")
def simulate(*, workload: Path, picture: Path | None, seed: int | None, as_document: bool) -> None:
    """Play the workload that WORKLOAD.toml describes in virtual time, and say what happened.

    Every decision is the scheduler's own: weights, minimums, caps, rates, priorities, aging,
    preemption and pauses. The same seed gives the same outcome, and the same tasks arrive
    whatever the weights are. docs/simulate.md says how a workload is described.
    """
    # A reader that went away (| head) ends the run silently.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        described = read_workload(workload)
        if picture is not None:
            check_picture(picture)
        outcome = play(described, seed=seed)
        if picture is not None:
            draw(outcome, picture)
    except ConfigurationError as error:
        click.echo(f"taskmill: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        click.echo("taskmill: stopped by SIGINT; nothing was written", err=True)
        sys.exit(130)
    if as_document:
        click.echo(json.dumps(outcome.document(), indent=2))
    else:
        print_outcome(outcome, sys.stdout)
