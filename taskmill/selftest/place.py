"""Where the checks work: a fresh folder beside the database that is meant, gone at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import attrs

from taskmill.model.errors import StoreError
from taskmill.store.sqlite.files import NETWORK_FILESYSTEMS, filesystem_of

PREFIX = ".taskmill-selftest-"
"""How the name of a scratch folder begins; one that a killed process left may be deleted."""

IN_MEMORY = frozenset({"tmpfs", "ramfs"})
"""Filesystems that are gone with the power."""


@attrs.frozen(kw_only=True)
class Place:
    """A folder of the checks' own."""

    folder: Path
    beside: Path | None
    """The database that was named; None for the system's temporary folder."""
    filesystem: str | None
    """Its type; None where the system does not say."""

    @property
    def is_memory(self) -> bool:
        """Whether what is written here never reaches a disk."""
        return self.filesystem in IN_MEMORY

    def notes(self) -> list[str]:
        """What this place says, and does not say, about the application's."""
        notes: list[str] = []
        if self.beside is None:
            notes.append(
                "this may be another disk than your application's; name its database with --db"
            )
        if self.is_memory:
            notes.append(
                f"{self.filesystem} is memory, not a disk: nothing here survives a power cut"
            )
        return notes


@contextmanager
def scratch(database: Path | None) -> Generator[Place]:
    """A place for as long as the block, on the filesystem of ``database``, which is left alone.

    StoreError where no folder can be made there, or where no database may be.
    """
    # SQLite and the lock follow a link to the database, so the folder is where it leads.
    parent = Path(tempfile.gettempdir()) if database is None else database.resolve().parent
    if not parent.is_dir():
        raise StoreError(f"the directory {parent} does not exist; name the place of a database")
    filesystem = filesystem_of(parent)
    if filesystem in NETWORK_FILESYSTEMS:
        raise StoreError(
            f"{parent} is on a network filesystem ({filesystem}), where SQLite's locks do not "
            "hold; a scheduler refuses it; use a local disk"
        )
    try:
        made = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise StoreError(f"no folder can be made in {parent}: {error.strerror}") from error
    with made as folder:
        yield Place(folder=Path(os.path.realpath(folder)), beside=database, filesystem=filesystem)
