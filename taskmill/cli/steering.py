"""``taskmill pause`` and ``taskmill resume``: what starts nothing, and what may start again."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.harmless import one_line
from taskmill.cli.moments import when
from taskmill.cli.parts import coming, db_option, json_option, length
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.errors import ConfigurationError
from taskmill.model.limits import check_text
from taskmill.model.pauses import PauseScope

_domain = click.option("--domain", metavar="NAME", help="Only this domain.")
_group = click.option("--group", metavar="NAME", help="Only this group.")


@click.command()
@_domain
@_group
@click.option("--until", metavar="WHEN", callback=coming, help="With --group: resume it then.")
@click.option(
    "--for", "duration", metavar="LENGTH", callback=length, help="With --group: for so long."
)
@click.option("--no-interrupt", is_flag=True, help="Let what runs finish.")
@json_option()
@db_option()
@click.pass_context
def pause(
    context: click.Context,
    /,
    *,
    domain: str | None,
    group: str | None,
    until: datetime | None,
    duration: timedelta | None,
    no_interrupt: bool,
    as_json: bool,
) -> None:
    """Pause the scheduler, a domain or a group: start nothing of it.

    It holds until `resume`, also over a restart. What runs is stopped and goes back to the queue,
    its attempt given back, unless --no-interrupt says otherwise.
    """
    scope, name = _scope(domain, group)
    if scope is not PauseScope.GROUP and (until or duration):
        raise click.UsageError("--until and --for go with --group")
    if until is not None and duration is not None:
        raise click.UsageError("--until and --for exclude each other")
    end = until if duration is None else SystemClock().now() + duration

    async def change(client: Client) -> None:
        await client.steering.pause(scope, name, interrupt=not no_interrupt, until=end)

    ask(database_of(context), change)
    if as_json:
        document = {"paused": scope, "name": name, "until": end}
        click.echo(dumped(as_document(document)))
    else:
        until_text = "" if end is None else f" until {when(end, SystemClock().now())}"
        click.echo(f"{_title(scope, name)} is paused{until_text}")


@click.command()
@_domain
@_group
@json_option()
@db_option()
@click.pass_context
def resume(
    context: click.Context, /, *, domain: str | None, group: str | None, as_json: bool
) -> None:
    """End a pause of the scheduler, a domain or a group.

    Other pauses still hold.
    """
    scope, name = _scope(domain, group)

    async def change(client: Client) -> None:
        await client.steering.resume(scope, name)

    ask(database_of(context), change)
    if as_json:
        click.echo(dumped({"resumed": scope.value, "name": name}))
    else:
        click.echo(f"{_title(scope, name)} is not paused")


def _scope(domain: str | None, group: str | None) -> tuple[PauseScope, str]:
    if domain is not None and group is not None:
        raise click.UsageError("--domain and --group exclude each other")
    try:
        if domain is not None:
            check_text(domain, "--domain")
            return PauseScope.DOMAIN, domain
        if group is not None:
            check_text(group, "--group")
            return PauseScope.GROUP, group
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    return PauseScope.SCHEDULER, ""


def _title(scope: PauseScope, name: str) -> str:
    return "the scheduler" if scope is PauseScope.SCHEDULER else f"{scope.value} {one_line(name)!r}"
