"""Which commands there are, and where each of them is."""

from __future__ import annotations

import click

from taskmill.cli.database import Place
from taskmill.cli.ending import Commands
from taskmill.cli.options import db_option

COMMANDS = {
    "top": "taskmill.cli.top.command:top",
    "list": "taskmill.cli.listing:list_tasks",
    "show": "taskmill.cli.showing:show",
    "explain": "taskmill.cli.showing:explain",
    "dead": "taskmill.cli.listing:dead",
    "stats": "taskmill.cli.figures:stats",
    "events": "taskmill.cli.following:events",
    "schedules": "taskmill.cli.timetable:schedules",
    "cancel": "taskmill.cli.changing:cancel",
    "retry": "taskmill.cli.changing:retry",
    "reprioritise": "taskmill.cli.changing:reprioritise",
    "pause": "taskmill.cli.steering:pause",
    "resume": "taskmill.cli.steering:resume",
    "prune": "taskmill.cli.pruning:prune",
    "backup": "taskmill.cli.keeping:backup",
    "doctor": "taskmill.cli.keeping:doctor",
    "check": "taskmill.cli.checking:check",
    "selftest": "taskmill.cli.selftest:selftest",
    "run": "taskmill.cli.serving:run",
    "routes": "taskmill.cli.routes:routes",
    "simulate": "taskmill.cli.simulate:simulate",
    "demo": "taskmill.cli.demo:demo",
    "completion": "taskmill.cli.completion:completion",
}
"""In the order of the help; a command is imported when it is asked for."""

WITHOUT_DATABASE = frozenset({"run", "routes", "simulate", "completion"})


@click.group(
    cls=Commands,
    places=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="taskmill", message="taskmill %(version)s")
@db_option(envvar="TASKMILL_DB")
@click.pass_context
def taskmill(context: click.Context) -> None:
    """Durable background work inside an application: look at it, and take a hand in it.

    The database may have a process that dispatches from it, or none. Times may be written as
    2031-02-03T04:05 in local time, or as how long ago they were: 90s, 10m, 2h, 7d.

    \b
    Exit codes: 0 done, 1 it failed or was not found,
    2 the command line is wrong, 130 interrupted.
    """
    if context.invoked_subcommand in WITHOUT_DATABASE and context.ensure_object(Place).is_told:
        raise click.UsageError(f"{context.invoked_subcommand} takes no --db", context)
