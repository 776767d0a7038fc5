"""``taskmill prune``: which records of tasks that have ended are deleted."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import attrs
import click

from taskmill.cli.chosen import Filters, filter_options, selection_of
from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import dumped
from taskmill.cli.ending import Told, confirm
from taskmill.cli.options import db_option, json_option, length, yes_option
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.page import Cursor, Page
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import TERMINAL
from taskmill.model.wording import plural

CHUNK = 1000
"""How many tasks are deleted in one transaction, so that nobody waits for long."""


@click.command()
@filter_options
@click.option(
    "--older-than",
    metavar="LENGTH",
    callback=length,
    help="Ended longer ago than this, such as 7d.",
)
@click.option("--all", "is_for_all", is_flag=True, help="Delete every task that has ended.")
@yes_option()
@json_option("one JSON object: deleted and kept, both numbers")
@db_option()
@click.pass_context
def prune(
    context: click.Context,
    /,
    *,
    older_than: timedelta | None,
    is_for_all: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Delete the records of tasks that have ended.

    Their errors and tags go with them, after a question.

    What an active task still needs is kept: its parent, what it depends on, and what somebody
    waits for. The scheduler's own retention deletes without being asked.
    """
    chosen = Filters(**filters)
    if chosen.is_empty and older_than is None and not is_for_all:
        raise click.UsageError("which tasks? Say --older-than, filters, or --all.")
    selection = selection_of(chosen, TERMINAL)
    if not selection.statuses <= TERMINAL:
        raise click.UsageError("only tasks that have ended are deleted; `cancel` ends others")
    before = None if older_than is None else SystemClock().now() - older_than

    async def find(client: Client) -> list[TaskId]:
        return await _ended_before(client, selection, before)

    async def delete(client: Client) -> int:
        deleted = 0
        for start in range(0, len(ids), CHUNK):
            part = attrs.evolve(selection, ids=frozenset(ids[start : start + CHUNK]))
            deleted += await client.control.delete(part)
        return deleted

    path = database_of(context)
    ids = ask(path, find)
    tasks = plural(len(ids), "ended task")
    if ids and not confirm(f"Delete the records of {tasks}?", is_sure=yes):
        raise Told("nothing was deleted")
    deleted = ask(path, delete) if ids else 0
    kept = len(ids) - deleted
    if as_json:
        click.echo(dumped({"deleted": deleted, "kept": kept}))
    elif not ids:
        click.echo("no ended task matches" if not is_for_all else "no ended task")
    else:
        held = f"; {kept:,} still needed" if kept else ""
        click.echo(f"deleted {plural(deleted, 'task')}{held}")


async def _ended_before(
    client: Client, selection: Selection, before: datetime | None
) -> list[TaskId]:
    if before is None:
        return list(await client.queries.ids_of(selection))
    if selection.created_before is None or selection.created_before > before:
        selection = attrs.evolve(selection, created_before=before)
    ids: list[TaskId] = []
    after: Cursor | None = None
    while True:
        page: Page[TaskRecord] = await client.queries.ended_page(
            selection, limit=CHUNK, after=after
        )
        ids += [r.id for r in page if r.finished_at is not None and r.finished_at < before]
        after = page.next
        if after is None:
            return ids
