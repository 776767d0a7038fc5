"""``cancel``, ``retry``, ``reprioritise`` and ``prune``: what people do about tasks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import anyio
import attrs
import click

from taskmill.cli.chosen import Filters, filter_options, selection_of
from taskmill.cli.database import ask, database, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.ending import FAILED, Told, confirm
from taskmill.cli.harmless import one_line
from taskmill.cli.parts import db_option, json_option, length, yes_option
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.errors import TaskmillError
from taskmill.model.page import Cursor, Page
from taskmill.model.policies import Priority
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TERMINAL, TaskStatus
from taskmill.model.wording import plural

CHUNK = 1000
"""How many tasks are deleted in one transaction, so that nobody waits for long."""

_ids = click.argument("task_ids", metavar="[ID]...", nargs=-1, type=click.IntRange(1))


class Verb(Protocol):
    """What is done to one task; the answer says whether it changed anything."""

    async def __call__(self, client: Client, task: TaskId) -> bool: ...


class VerbForMany(Protocol):
    """What is done to all that are meant; the answer says to which."""

    async def __call__(self, client: Client, selection: Selection) -> Sequence[TaskId]: ...


@attrs.frozen(kw_only=True)
class Doing:
    """One thing to do to tasks, with its words."""

    verb: str
    done: str
    unchanged: str
    """What is said of a task to which there was nothing to do."""
    default: frozenset[TaskStatus]
    what: str
    """What it is done to where no filter says otherwise."""
    to_one: Verb
    to_many: VerbForMany


@click.command()
@_ids
@click.option("--all", "is_for_all", is_flag=True, help="Cancel every active task there is.")
@filter_options
@yes_option()
@json_option("one JSON object: done, the ids, and failed, reasons by id")
@db_option()
@click.pass_context
def cancel(
    context: click.Context,
    /,
    *,
    task_ids: tuple[int, ...],
    is_for_all: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Cancel tasks with their subtrees, by id or by filters.

    Filters choose among active tasks.

    A task that runs is told to stop, and ends as cancelled whatever it returns. By filters all
    are cancelled in one transaction, after a question.
    """

    async def to_one(client: Client, task: TaskId) -> bool:
        return bool(await client.control.cancel(task, domain=None))

    async def to_many(client: Client, selection: Selection) -> Sequence[TaskId]:
        return list(await client.control.cancel_where(selection))

    doing = Doing(
        verb="cancel",
        done="cancelled",
        unchanged="had ended already",
        default=ACTIVE,
        what="active task",
        to_one=to_one,
        to_many=to_many,
    )
    _do(context, doing, task_ids, Filters(**filters), is_for_all, yes, as_json)


@click.command()
@_ids
@click.option("--all", "is_for_all", is_flag=True, help="Revive every dead letter there is.")
@filter_options
@yes_option()
@json_option("one JSON object: done, the ids, and failed, reasons by id")
@db_option()
@click.pass_context
def retry(
    context: click.Context,
    /,
    *,
    task_ids: tuple[int, ...],
    is_for_all: bool,
    yes: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Make tasks that failed pending again, by id or by filters.

    Their attempts begin anew, their errors are kept. A task that a failed dependency holds runs
    anyway. Filters choose among dead letters; with --status failed, cancelled or
    dependency_failed among those.
    """

    async def to_one(client: Client, task: TaskId) -> bool:
        await client.control.retry(task, domain=None)
        return True

    async def to_many(client: Client, selection: Selection) -> Sequence[TaskId]:
        return list(await client.control.retry_where(selection))

    doing = Doing(
        verb="retry",
        done="pending again",
        unchanged="unchanged",
        default=frozenset({TaskStatus.DEAD}),
        what="dead letter",
        to_one=to_one,
        to_many=to_many,
    )
    _do(context, doing, task_ids, Filters(**filters), is_for_all, yes, as_json)


@click.command()
@click.argument("task_id", metavar="ID", type=click.IntRange(1))
@click.argument("priority", metavar="PRIORITY")
@json_option()
@db_option()
@click.pass_context
def reprioritise(context: click.Context, /, *, task_id: int, priority: str, as_json: bool) -> None:
    """Give an active task another priority.

    It is a number from 0 (most urgent) to 255, or a name: realtime (0), high (64), normal (128),
    background (192) or idle (255).
    """
    number = priority_of(priority)

    async def change(client: Client) -> None:
        await client.control.reprioritise(TaskId(task_id), number, domain=None)

    ask(database_of(context), change)
    if as_json:
        click.echo(dumped({"id": task_id, "priority": number}))
    else:
        click.echo(f"task {task_id} has priority {number}")


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


def priority_of(text: str) -> int:
    """A priority that a person wrote; a usage error for what is none."""
    try:
        number = Priority[text.upper()].value if text.isalpha() else int(text)
    except (KeyError, ValueError):
        number = -1
    if not 0 <= number <= 255:
        names = ", ".join(member.name.lower() for member in Priority)
        raise click.UsageError(f"a priority is 0 to 255, or one of {names}, not {text!r}")
    return number


def _do(
    context: click.Context,
    doing: Doing,
    task_ids: tuple[int, ...],
    filters: Filters,
    is_for_all: bool,  # noqa: FBT001 - a private part of two commands
    yes: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    if task_ids and not (filters.is_empty and not is_for_all):
        raise click.UsageError("ids and filters exclude each other; --id is a filter")
    if not task_ids and filters.is_empty and not is_for_all:
        raise click.UsageError(f"which tasks? Name ids or filters, or --all to {doing.verb} all.")
    if is_for_all and not filters.is_any:
        raise click.UsageError("--all and filters exclude each other")
    if task_ids:
        done, failed = _do_each(context, doing, task_ids)
    else:
        done, failed = _do_where(context, doing, filters, yes), {}
    if as_json:
        click.echo(dumped({"done": done, "failed": as_document(failed)}))
    else:
        _tell(doing, done, failed, task_ids)
    if failed:
        raise click.exceptions.Exit(FAILED)


def _do_each(
    context: click.Context, doing: Doing, task_ids: tuple[int, ...]
) -> tuple[list[TaskId], dict[int, str]]:
    """Do it to each task by its own; one that cannot be done does not keep the others from it."""
    done: list[TaskId] = []
    failed: dict[int, str] = {}

    async def each() -> None:
        async with database(database_of(context)) as client:
            for task in map(TaskId, dict.fromkeys(task_ids)):
                try:
                    changed = await doing.to_one(client, task)
                except TaskmillError as error:
                    failed[task] = str(error)
                    continue
                if changed:
                    done.append(task)
                else:
                    failed[task] = f"task {task} {doing.unchanged}"

    anyio.run(each)
    return done, failed


def _do_where(
    context: click.Context,
    doing: Doing,
    filters: Filters,
    yes: bool,  # noqa: FBT001
) -> list[TaskId]:
    selection = selection_of(filters, doing.default)
    path = database_of(context)

    async def count(client: Client) -> int:
        return int(await client.queries.count_of(selection))

    async def change(client: Client) -> list[TaskId]:
        return list(await doing.to_many(client, selection))

    found = ask(path, count)
    if not found:
        return []
    what = "task" if filters.statuses else doing.what
    if not confirm(f"{doing.verb.capitalize()} {plural(found, what)}?", is_sure=yes):
        raise Told("nothing was changed")
    return ask(path, change)


def _tell(
    doing: Doing, done: list[TaskId], failed: dict[int, str], task_ids: tuple[int, ...]
) -> None:
    if task_ids:
        for task in done:
            click.echo(f"task {task}: {doing.done}")
        for reason in failed.values():
            click.echo(f"taskmill: {one_line(reason)}", err=True)
    elif done:
        click.echo(f"{plural(len(done), 'task')} {doing.done}")
    else:
        click.echo(f"no {doing.what} matches")


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
