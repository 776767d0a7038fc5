"""``taskmill schedules``: what recurs, and when it comes next."""

from __future__ import annotations

import click
from rich.text import Text

from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.grid import Column
from taskmill.cli.harmless import one_line
from taskmill.cli.moments import away, short, when
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import print_table
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.changes import Steer
from taskmill.model.schedules import Cron, Every, Recurrence, ScheduleRecord, ScheduleStatus

_COLOURS = {ScheduleStatus.ACTIVE: "", ScheduleStatus.PAUSED: "yellow", ScheduleStatus.ENDED: "dim"}


@click.group(invoke_without_command=True)
@json_option()
@db_option()
@click.pass_context
def schedules(context: click.Context, /, *, as_json: bool) -> None:
    """List what recurs; pause, resume or cancel it."""
    if context.invoked_subcommand is not None:
        return

    async def found(client: Client) -> list[ScheduleRecord]:
        return list(await client.schedules.all(None))

    records = ask(database_of(context), found)
    if as_json:
        click.echo(dumped(as_document(records)))
        return
    if not records:
        click.echo("no schedule")
        return
    now = SystemClock().now()
    columns = (
        Column(name="domain", from_width=56),
        Column(name="name", gives_way=True),
        Column(name="status"),
        Column(name="rule", from_width=60, gives_way=True),
        Column(name="next"),
        Column(name="runs", justify="right", from_width=60),
        Column(name="last task", justify="right", from_width=90),
        Column(name="", from_width=100, gives_way=True),
    )
    rows = (
        (
            record.domain,
            record.name,
            Text(record.status.value, _COLOURS[record.status]),
            rule_text(record.rule),
            "" if record.next_at is None else away(record.next_at, now),
            str(record.runs),
            "" if record.last_task is None else str(record.last_task),
            record.reason or "",
        )
        for record in records
    )
    print_table(columns, rows)


def rule_text(rule: Recurrence) -> str:
    """A rule for people."""
    match rule:
        case Cron(line=line, tz=tz):
            return f"{line} {tz}"
        case Every(interval=interval, after_completion=True):
            return f"{short(interval.total_seconds())} after the last one"
        case Every(interval=interval):
            return f"every {short(interval.total_seconds())}"


def _steering(steer: Steer, help_text: str) -> click.Command:
    @click.command(steer.value, help=help_text)
    @click.argument("name")
    @click.option("--domain", metavar="NAME", help="The domain that has it, where several do.")
    @json_option()
    @db_option()
    @click.pass_context
    def change(context: click.Context, /, *, name: str, domain: str | None, as_json: bool) -> None:
        async def steered(client: Client) -> ScheduleRecord:
            return await client.schedules.steer(domain, name, steer)

        record = ask(database_of(context), steered)
        if as_json:
            click.echo(dumped(as_document(record)))
            return
        coming = ""
        if record.next_at is not None and record.status is ScheduleStatus.ACTIVE:
            coming = f", next {when(record.next_at, SystemClock().now())}"
        click.echo(f"schedule {one_line(record.name)!r} is {record.status.value}{coming}")

    return change


schedules.add_command(_steering(Steer.PAUSE, "Let a schedule make no tasks until it is resumed."))
schedules.add_command(_steering(Steer.RESUME, "Let a paused schedule make tasks again."))
schedules.add_command(_steering(Steer.CANCEL, "End a schedule for good; its last task goes on."))
