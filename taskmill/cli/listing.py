"""``taskmill list`` and ``taskmill dead``: which tasks there are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click
from rich.text import Text

from taskmill.cli.chosen import Filters, filter_options, selection_of
from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import dumped, task_document
from taskmill.cli.grid import Column
from taskmill.cli.harmless import one_line
from taskmill.cli.moments import away, clock
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import print_table, status_text
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.page import MAX_PAGE, Page
from taskmill.model.record import TaskRecord
from taskmill.model.status import ACTIVE, TaskStatus

_limit = click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(1, MAX_PAGE),
    default=50,
    show_default=True,
    help="How many at most.",
)
_after = click.option(
    "--after", metavar="CURSOR", help="Go on behind a page, whose end named this cursor."
)


@click.command("list")
@filter_options
@_limit
@_after
@json_option("one JSON object: tasks, and next, the cursor of the next page or null")
@db_option()
@click.pass_context
def list_tasks(
    context: click.Context, /, *, limit: int, after: str | None, as_json: bool, **filters: Any
) -> None:
    """List tasks, the active ones unless --status says otherwise.

    They are in the order of their ids, a page at a time.
    """
    chosen = Filters(**filters)
    selection = selection_of(chosen, ACTIVE)

    async def found(client: Client) -> Page[TaskRecord]:
        return await client.queries.page(selection, limit=limit, after=after)

    page = ask(database_of(context), found)
    if as_json:
        _print_document(page)
        return
    if not page.items:
        no_task = "no task" if chosen.statuses else "no active task"
        click.echo(no_task if chosen.is_any else f"{no_task} matches")
        return
    now = SystemClock().now()
    columns = (
        Column(name="id", justify="right"),
        Column(name="status"),
        Column(name="pri", justify="right", from_width=60),
        Column(name="type", gives_way=True),
        Column(name="group", from_width=90, is_needed=False),
        Column(name="label", from_width=56, gives_way=True, is_needed=False),
        Column(name="", from_width=48, gives_way=True),
    )
    print_table(columns, (_row(record, now) for record in page))
    _tell_next(page)


@click.command()
@filter_options
@_limit
@_after
@json_option("one JSON object: tasks, and next, the cursor of the next page or null")
@db_option()
@click.pass_context
def dead(
    context: click.Context, /, *, limit: int, after: str | None, as_json: bool, **filters: Any
) -> None:
    """List dead letters: tasks whose retries are spent.

    The last one comes first, each with its last error.
    `taskmill retry ID` revives one, `taskmill retry --all` every one of them.
    """
    chosen = Filters(**filters)
    selection = selection_of(chosen, frozenset({TaskStatus.DEAD}))

    async def found(client: Client) -> Page[TaskRecord]:
        return await client.queries.ended_page(selection, limit=limit, after=after)

    page = ask(database_of(context), found)
    if as_json:
        _print_document(page)
        return
    if not page.items:
        click.echo("no dead letter" if chosen.is_empty else "no dead letter matches")
        return
    now = SystemClock().now()
    columns = (
        Column(name="id", justify="right"),
        Column(name="type", gives_way=True),
        Column(name="attempts", justify="right", from_width=70),
        Column(name="ended", from_width=56),
        Column(name="label", from_width=90, gives_way=True, is_needed=False),
        Column(name="last error", gives_way=True),
    )
    print_table(columns, (_dead_row(record, now) for record in page))
    _tell_next(page)


def note_of(record: TaskRecord, now: datetime) -> str:
    """What matters most about a task in its state, in a few words."""
    match record.status:
        case TaskStatus.RUNNING:
            since = "" if record.started_at is None else f"for {_elapsed(record.started_at, now)}"
            made = "" if record.progress is None else f", {record.progress:.0%}"
            ending = "" if record.ends_as is None else f", ends as {record.ends_as.value}"
            return f"{since}{made}{ending}"
        case TaskStatus.PENDING | TaskStatus.PAUSED if record.due_at is not None:
            return f"due {away(record.due_at, now)}"
        case TaskStatus.PENDING | TaskStatus.PAUSED:
            return f"ready for {_elapsed(record.ready_at, now)}"
        case TaskStatus.BLOCKED | TaskStatus.WAITING:
            return f"submitted {away(record.created_at, now)}"
        case _:
            at = "" if record.finished_at is None else away(record.finished_at, now)
            return at if record.reason is None else f"{at}: {record.reason}"


def error_line(record: TaskRecord) -> str:
    """The newest error of a task, else why it ended."""
    if record.last_error is None:
        return record.reason or ""
    return f"{record.last_error.type}: {record.last_error.message}".removeprefix("builtins.")


def _elapsed(since: datetime, now: datetime) -> str:
    return clock(max((now - since).total_seconds(), 0))


def _row(record: TaskRecord, now: datetime) -> Sequence[str | Text]:
    label = "" if record.label == record.type else record.label
    return (
        str(record.id),
        status_text(record.status),
        str(record.effective_priority),
        record.type,
        record.group or "",
        label,
        note_of(record, now),
    )


def _dead_row(record: TaskRecord, now: datetime) -> Sequence[str | Text]:
    label = "" if record.label == record.type else record.label
    return (
        str(record.id),
        record.type,
        str(record.attempt),
        "" if record.finished_at is None else away(record.finished_at, now),
        label,
        Text(one_line(error_line(record)), "red"),
    )


def _print_document(page: Page[TaskRecord]) -> None:
    tasks = [task_document(record) for record in page]
    click.echo(dumped({"tasks": tasks, "next": page.next}))


def _tell_next(page: Page[TaskRecord]) -> None:
    if page.next is not None:
        click.echo(f"there are more: --after {page.next}", err=True)
