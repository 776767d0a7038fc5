"""What is read of a database file by somebody who only looks at it, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import quote

import anyio

from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId
from taskmill.model.stages import Stage
from taskmill.model.storedwork import StoredSchedule, StoredTask, StoredWork
from taskmill.store.sqlite.connection import Port
from taskmill.store.sqlite.opening import is_up_to_date
from taskmill.store.sqlite.texts import task_of

INSPECTION: Final = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((Path(__file__).parent / "inspection").glob("*.sql"))
}
"""The statements that only people ask for; unlike those of the scheduler they may scan a table."""


@asynccontextmanager
async def inspecting(path: Path) -> AsyncGenerator[Port]:
    """A connection that cannot write, to a file that may have a dispatcher or not.

    Closing it never brings the log in, as the last of other connections would.
    """
    with anyio.CancelScope(shield=True) as scope:  # a thread that is left behind would not end
        port = await _open(path)
        scope.shield = False
        try:
            yield port
        finally:
            scope.shield = True
            await port.close()


async def types_of(path: Path) -> list[str]:
    """The types of all tasks that the file holds, in order."""
    async with inspecting(path) as port:
        return await port.run(lambda db: [str(name) for (name,) in db.execute(INSPECTION["types"])])


async def show_work(path: Path, look: Callable[[StoredWork], None]) -> None:
    """Show everything in a file that has yet to run, one by one; nothing of it is decoded.

    StoreError for a file of another version than this one, or that no scheduler has opened.
    """
    async with inspecting(path) as port:
        for schedule in await port.run(_schedules):
            look(schedule)
        after = 0
        while tasks := await port.run(partial(_tasks, after)):
            after = tasks[-1].id
            for task in tasks:
                look(task)


def _schedules(db: sqlite3.Connection) -> list[StoredSchedule]:
    if not db.execute(INSPECTION["tables"]).fetchone()[0]:
        return []
    if not is_up_to_date(db):
        raise StoreError(
            "its tables are those of an older taskmill; the next scheduler that opens it brings "
            "them up to date, and then it can be checked"
        )
    found: list[StoredSchedule] = []
    for domain, name, template, is_declared in db.execute(INSPECTION["templates"]):
        try:
            task = task_of(template)
            kind, payload = task.type, task.payload
        except ValueError:
            kind, payload = f"{domain}::?", ""  # no code can read it
        found.append(
            StoredSchedule(
                domain=domain,
                name=name,
                type=kind,
                payload=payload,
                is_declared=bool(is_declared),
            )
        )
    return found


def _tasks(after: int, db: sqlite3.Connection) -> list[StoredTask]:
    if not db.execute(INSPECTION["tables"]).fetchone()[0]:
        return []
    values = {"after": after, "limit": _PAGE}
    return [
        StoredTask(id=TaskId(task), type=kind, payload=payload, memo=memo, stage=Stage(stage))
        for task, kind, payload, memo, stage in db.execute(INSPECTION["work"], values)
    ]


_PAGE = 2000
"""How many tasks are read at once; in between, whoever writes can bring in its log."""


async def dependents_of(path: Path, task: TaskId, *, limit: int) -> list[TaskId]:
    """Tasks that depend on a task, or did, by id."""
    values = {"id": task, "limit": limit}
    async with inspecting(path) as port:
        return await port.run(
            lambda db: [TaskId(other) for (other,) in db.execute(INSPECTION["dependents"], values)]
        )


async def _open(path: Path) -> Port:
    address = f"file:{quote(str(path))}?mode=ro"
    port = await Port.open(address, str(path), uri=True)
    try:
        await port.run(_look)
    except StoreError:
        await port.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # Where nobody may write, SQLite cannot make the index of a log that is not there.
        port = await Port.open(f"{address}&immutable=1", str(path), uri=True)
        try:
            await port.run(_look)
        except BaseException:
            await port.close()
            raise
    except BaseException:
        await port.close()
        raise
    return port


def _look(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA schema_version").fetchone()
