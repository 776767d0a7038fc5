"""``cancel``, ``retry`` and ``reprioritise``: what people do about tasks that are not done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import anyio
import attrs
import click

from taskmill.cli.chosen import Filters, filter_options, selection_of
from taskmill.cli.database import ask, database, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.ending import FAILED, Told, confirm
from taskmill.cli.harmless import one_line
from taskmill.cli.options import db_option, json_option, yes_option
from taskmill.client.client import Client
from taskmill.model.errors import TaskmillError
from taskmill.model.policies import Priority
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE, TaskStatus
from taskmill.model.wording import plural

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
    _do(
        context,
        doing,
        task_ids,
        Filters(**filters),
        is_for_all=is_for_all,
        yes=yes,
        as_json=as_json,
    )


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
        unchanged="cannot be revived",
        default=frozenset({TaskStatus.DEAD}),
        what="dead letter",
        to_one=to_one,
        to_many=to_many,
    )
    _do(
        context,
        doing,
        task_ids,
        Filters(**filters),
        is_for_all=is_for_all,
        yes=yes,
        as_json=as_json,
    )


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
    *,
    is_for_all: bool,
    yes: bool,
    as_json: bool,
) -> None:
    if task_ids and not (filters.is_empty and not is_for_all):
        raise click.UsageError("ids and filters exclude each other; --id is a filter")
    if not task_ids and filters.is_empty and not is_for_all:
        raise click.UsageError(f"which tasks? Name ids or filters, or --all to {doing.verb} all.")
    if is_for_all and not filters.is_any:
        raise click.UsageError("--all and filters exclude each other")
    if not task_ids:
        found, done = _do_where(context, doing, filters, is_sure=yes)
        if as_json:
            click.echo(dumped({"done": done, "failed": {}}))
        else:
            click.echo(_outcome(doing, found, done))
        return
    done, failed = _do_each(context, doing, task_ids)
    if as_json:
        click.echo(dumped({"done": done, "failed": as_document(failed)}))
    else:
        for task in done:
            click.echo(f"task {task}: {doing.done}")
        for reason in failed.values():
            click.echo(f"taskmill: {one_line(reason)}", err=True)
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
    *,
    is_sure: bool,
) -> tuple[int, list[TaskId]]:
    """Do it to all that the filters choose: how many they are, and to which it was done."""
    selection = selection_of(filters, doing.default)
    path = database_of(context)

    async def count(client: Client) -> int:
        return await client.queries.count_of(selection)

    async def change(client: Client) -> list[TaskId]:
        return list(await doing.to_many(client, selection))

    found = ask(path, count)
    if not found:
        return 0, []
    what = "task" if filters.statuses else doing.what
    if not confirm(f"{doing.verb.capitalize()} {plural(found, what)}?", is_sure=is_sure):
        raise Told("nothing was changed")
    return found, ask(path, change)


def _outcome(doing: Doing, found: int, done: list[TaskId]) -> str:
    if not found:
        return f"no {doing.what} matches"
    left = found - len(done)
    rest = f"; {left:,} {doing.unchanged}" if left > 0 else ""
    return f"{plural(len(done), 'task')} {doing.done}{rest}"
