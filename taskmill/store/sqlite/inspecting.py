"""What is read of a database file by somebody who only looks at it, and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId
from taskmill.store.sqlite.connection import Port

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
    port = await _open(path)
    try:
        yield port
    finally:
        await port.close()


async def types_of(path: Path) -> list[str]:
    """The types of all tasks that the file holds, in order."""
    async with inspecting(path) as port:
        return await port.run(lambda db: [str(name) for (name,) in db.execute(INSPECTION["types"])])


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
