"""``taskmill check``: which stored work the code that is to be deployed cannot read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import attrs
import click

from taskmill.cli.database import check_is_database, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.ending import FAILED
from taskmill.cli.grid import Column
from taskmill.cli.harmless import one_line, shortened
from taskmill.cli.loading import load_scheduler
from taskmill.cli.options import db_option, json_option
from taskmill.cli.printing import print_table
from taskmill.model.errors import PayloadError
from taskmill.model.storedwork import StoredSchedule, StoredWork
from taskmill.model.wording import plural
from taskmill.scheduler import Scheduler
from taskmill.store.sqlite.inspecting import show_work

EXAMPLES = 5
"""How many tasks and schedules of each kind are named."""


@attrs.define(kw_only=True)
class Misfits:
    """What cannot be read for one reason, of one type."""

    type: str
    reason: str
    """Without the values, which differ."""
    tasks: int = 0
    schedules: int = 0
    ids: list[int] = attrs.field(factory=list[int])
    """Some of the tasks."""
    names: list[str] = attrs.field(factory=list[str])
    """Some of the schedules."""
    example: str
    """What is said of the first of them, with its value."""

    def add(self, stored: StoredWork) -> None:
        """One more."""
        if isinstance(stored, StoredSchedule):
            self.schedules += 1
            self.names += [stored.name] if len(self.names) < EXAMPLES else []
        else:
            self.tasks += 1
            self.ids += [stored.id] if len(self.ids) < EXAMPLES else []


@attrs.define
class Review:
    """What was looked at, and what could not be read of it."""

    scheduler: Scheduler
    tasks: int = 0
    schedules: int = 0
    misfits: dict[tuple[str, str], Misfits] = attrs.field(factory=dict[tuple[str, str], Misfits])

    def look_at(self, stored: StoredWork) -> None:
        """See whether the scheduler can read it."""
        if isinstance(stored, StoredSchedule):
            self.schedules += 1
        else:
            self.tasks += 1
        error = self.scheduler.misfit(stored)
        if error is not None:
            self._of(stored, error).add(stored)

    def _of(self, stored: StoredWork, error: PayloadError) -> Misfits:
        reason = error.gist or str(error)
        key = (stored.type, reason)
        if key not in self.misfits:
            self.misfits[key] = Misfits(type=stored.type, reason=reason, example=str(error))
        return self.misfits[key]

    def found(self) -> Sequence[Misfits]:
        """What could not be read, most of it first."""
        return sorted(self.misfits.values(), key=lambda each: -each.tasks - each.schedules)


@click.command()
@click.argument("reference", metavar="MODULE:SCHEDULER")
@json_option("one JSON object: tasks and schedules looked at, and misfits by type and reason")
@db_option()
@click.pass_context
def check(context: click.Context, /, *, reference: str, as_json: bool) -> None:
    """List stored work that the code here cannot read, before it is deployed.

    MODULE:SCHEDULER names the application's scheduler, or a function that makes it; it is not
    opened. The database is only read, also while a scheduler works on it.

    Looked at are all tasks that have not ended, and the schedules: whether their type has a
    handler, and whether what is stored fits its fields. The exit code is 1 where something does
    not: it would be held, not lost, until code that reads it opens the database.
    """
    path = database_of(context)
    check_is_database(path)
    review = anyio.run(reviewed, path.resolve(), load_scheduler(reference))
    found = review.found()
    if as_json:
        document = {"tasks": review.tasks, "schedules": review.schedules, "misfits": found}
        click.echo(dumped(as_document(document)))
    else:
        _print(review, found)
    if found:
        raise click.exceptions.Exit(FAILED)


async def reviewed(path: Path, scheduler: Scheduler) -> Review:
    """Look at everything in a file that has yet to run."""
    review = Review(scheduler)
    await show_work(path, review.look_at)
    return review


def _print(review: Review, found: Sequence[Misfits]) -> None:
    looked = f"{plural(review.tasks, 'task')} and {plural(review.schedules, 'schedule')}"
    if not found:
        click.echo(f"all can be read: {looked}")
        return
    columns = (
        Column(name="type", gives_way=True),
        Column(name="tasks", justify="right"),
        Column(name="schedules", justify="right", from_width=60),
        Column(name="why", gives_way=True),
        Column(name="such as", from_width=80, gives_way=True),
    )
    print_table(columns, [_row(each) for each in found])
    for each in found:
        if each.example != each.reason:
            click.echo(f"{one_line(each.type)}: {one_line(shortened(each.example, 400))}")
    tasks = sum(each.tasks for each in found)
    schedules = sum(each.schedules for each in found)
    unread = f"{plural(tasks, 'task')} and {plural(schedules, 'schedule')}"
    click.echo(f"of {looked}, {unread} cannot be read by this code, and would be held")


def _row(each: Misfits) -> Sequence[str]:
    examples = [*map(str, each.ids), *each.names]
    more = ", ..." if each.tasks + each.schedules > len(examples) else ""
    return (
        each.type,
        f"{each.tasks:,}",
        f"{each.schedules:,}",
        each.reason,
        ", ".join(examples) + more,
    )
