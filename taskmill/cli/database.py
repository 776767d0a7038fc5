"""How a command reaches the database it is about, whoever dispatches from it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import click

from taskmill.client.client import Client
from taskmill.client.opening import visiting
from taskmill.model.errors import StoreError
from taskmill.store.sqlite.files import MAGIC

T = TypeVar("T")


@asynccontextmanager
async def database(path: Path) -> AsyncGenerator[Client]:
    """The database at ``path``, for as long as the block; StoreError where there is none."""
    await anyio.to_thread.run_sync(check_is_database, path)
    async with visiting(path) as client:
        yield client


def check_is_database(path: Path) -> None:
    """Raise StoreError for what is no database: a command never makes one by accident."""
    try:
        if not path.exists():
            raise StoreError(f"{path} does not exist; name the file that the scheduler was given")
        if not path.is_file():
            raise StoreError(f"{path} is no regular file; name the database")
        with path.open("rb") as file:
            start = file.read(len(MAGIC))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    if start != MAGIC:
        what = "is no SQLite database" if start else "is empty, and so no database yet"
        raise StoreError(f"{path} {what}; name the file that the scheduler was given")


def ask(path: Path, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """The answer of the database at ``path`` to one question."""

    async def asking() -> T:
        async with database(path) as client:
            return await question(client)

    return anyio.run(asking)


def database_of(context: click.Context) -> Path:
    """Which database a command was told to use; a usage error where none was."""
    place: Place = context.ensure_object(Place)
    if place.path is None:
        raise click.UsageError(
            "which database? Name its file with --db, or in the variable TASKMILL_DB.", context
        )
    return place.path


class Place:
    """Where the database is, as the command line has said so far."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self.is_told = False
        """Whether the command line says it, rather than the environment."""
