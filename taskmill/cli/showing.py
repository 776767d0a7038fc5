"""``taskmill show`` and ``taskmill explain``: everything about one task, and why it waits."""

from __future__ import annotations

from pathlib import Path

import click

from taskmill.cli.database import ask, database_of
from taskmill.cli.documents import as_document, dumped, task_document
from taskmill.cli.harmless import lines
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import trimmed
from taskmill.cli.sheet import Sheet, Whole, print_sheet
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.explanation import Explanation
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.store.sqlite.inspecting import dependents_of

RELATED = 20
"""How many tasks of each kind of relation are shown."""

_task_id = click.argument("task_id", metavar="ID", type=click.IntRange(1))


@click.command()
@_task_id
@click.option("--full", is_flag=True, help="Whole payloads, results and tracebacks.")
@json_option("one JSON object: task, children, depends_on, dependents, explanation")
@db_option()
@click.pass_context
def show(context: click.Context, /, *, task_id: int, full: bool, as_json: bool) -> None:
    """Show everything about one task.

    Its times, attempts and errors, its parent and children, what it depends on and what depends
    on it, its tags, payload and result, and why it is not running.
    """
    path = database_of(context)

    async def look(client: Client) -> Sheet:
        return await sheet_of(client, path, TaskId(task_id))

    sheet = ask(path, look)
    if as_json:
        click.echo(dumped(_document(sheet)))
        return
    extent = Whole.ALL if full else Whole.SHORT
    with trimmed() as out:
        print_sheet(sheet, out, extent, SystemClock().now())


@click.command()
@_task_id
@json_option()
@db_option()
@click.pass_context
def explain(context: click.Context, /, *, task_id: int, as_json: bool) -> None:
    """Say why a task is not running, or what happened to it.

    Every gate that holds it is named, in the order in which they are asked.
    """

    async def look(client: Client) -> Explanation:
        return await client.queries.explain(TaskId(task_id), domain=None)

    explanation = ask(database_of(context), look)
    if as_json:
        click.echo(dumped(as_document(explanation)))
    else:
        click.echo(lines(str(explanation)))


async def sheet_of(client: Client, path: Path, task: TaskId) -> Sheet:
    """What is known of a task and of those around it; UnknownTaskError where there is none."""
    record: TaskRecord = await client.queries.get(task, domain=None)
    if record.status is TaskStatus.RUNNING:  # only its dispatcher knows how far it is
        running = (await client.snapshots.of_all()).running
        record = next((r for r in running if r.id == task and r.run == record.run), record)
    children = Selection(parent=task, statuses=ACTIVE | TERMINAL)
    dependents = await dependents_of(path, task, limit=RELATED + 1)
    return Sheet(
        record=record,
        parent=() if record.parent is None else await _all(client, [record.parent]),
        children=(await client.queries.page(children, limit=RELATED, after=None)).items,
        child_count=await client.queries.count_of(children),
        depends_on=await _all(client, record.depends_on[:RELATED]),
        dependents=await _all(client, dependents[:RELATED]),
        has_more_dependents=len(dependents) > RELATED,
        explanation=await client.queries.explain(task, domain=None),
    )


async def _all(client: Client, ids: tuple[TaskId, ...] | list[TaskId]) -> tuple[TaskRecord, ...]:
    """The tasks with some ids that are still on record."""
    if not ids:
        return ()
    selection = Selection(ids=frozenset(ids), statuses=ACTIVE | TERMINAL)
    found: tuple[TaskRecord, ...] = (
        await client.queries.page(selection, limit=len(ids), after=None)
    ).items
    return found


def _document(sheet: Sheet) -> dict[str, object]:
    relatives = ("children", "depends_on", "dependents")
    return {
        "task": task_document(sheet.record),
        "child_count": sheet.child_count,
        **{name: [_brief(record) for record in getattr(sheet, name)] for name in relatives},
        "explanation": as_document(sheet.explanation),
    }


def _brief(record: TaskRecord) -> dict[str, object]:
    return {
        "id": record.id,
        "type": record.type,
        "status": record.status.value,
        "label": record.label,
    }
