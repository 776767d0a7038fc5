"""Which commands there are."""

from __future__ import annotations

import click

from taskmill.cli.demo import demo
from taskmill.cli.routes import routes
from taskmill.cli.simulate import simulate


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskmill", message="taskmill %(version)s")
def taskmill() -> None:
    """Durable background work inside an application."""


taskmill.add_command(demo)
taskmill.add_command(simulate)
taskmill.add_command(routes)
