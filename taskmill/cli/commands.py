"""Which commands there are."""

from __future__ import annotations

import click

from taskmill.cli.changing import cancel, prune, reprioritise, retry
from taskmill.cli.completion import completion
from taskmill.cli.database import Place
from taskmill.cli.demo import demo
from taskmill.cli.ending import Commands
from taskmill.cli.figures import stats
from taskmill.cli.following import events
from taskmill.cli.keeping import backup, doctor
from taskmill.cli.listing import dead, list_tasks
from taskmill.cli.parts import db_option
from taskmill.cli.routes import routes
from taskmill.cli.serving import run
from taskmill.cli.showing import explain, show
from taskmill.cli.simulate import simulate
from taskmill.cli.steering import pause, resume
from taskmill.cli.timetable import schedules
from taskmill.cli.top.command import top

WITHOUT_DATABASE = frozenset({"simulate", "routes", "run", "completion"})


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskmill", message="taskmill %(version)s")
@db_option(envvar="TASKMILL_DB")
@click.pass_context
def taskmill(context: click.Context) -> None:
    """Durable background work inside an application: look at it, and take a hand in it.

    The database may have a process that dispatches from it, or none. Times may be written as
    2031-02-03T04:05 in local time, or as how long ago they were: 90s, 10m, 2h, 7d.

    \b
    Exit codes: 0 done, 1 it failed or was not found, 2 the command line is wrong,
    130 interrupted.
    """
    if context.invoked_subcommand in WITHOUT_DATABASE and context.ensure_object(Place).is_told:
        raise click.UsageError(f"{context.invoked_subcommand} takes no --db", context)


for command in (
    top,
    list_tasks,
    show,
    explain,
    cancel,
    retry,
    pause,
    resume,
    reprioritise,
    schedules,
    stats,
    dead,
    prune,
    events,
    doctor,
    backup,
    run,
    demo,
    simulate,
    routes,
    completion,
):
    taskmill.add_command(command)
