"""How paths are carried and shown: as the bytes the kernel gave, and as text that is safe to print.

A file name is any bytes but ``/`` and NUL. It need not be UTF-8 and may hold newlines or terminal
escapes, so text made from it is for reading only and is never turned back into a path.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from pathlib import Path

DATABASE_SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")

LABEL = 200
"""Characters of a path that a label shows."""

TAG_VALUE = 256
"""Bytes that the value of a tag may have."""


@attrs.frozen
class OwnFiles:
    """The files a run keeps beside its task database."""

    database: Path

    @property
    def catalogue(self) -> Path:
        """What is known about files, from all runs."""
        return self._beside("-files.db")

    @property
    def json(self) -> Path:
        """The answer of the last run, for programs."""
        return self._beside("-duplicates.json")

    @property
    def table(self) -> Path:
        """The answer of the last run, for people."""
        return self._beside("-duplicates.txt")

    def paths(self) -> frozenset[bytes]:
        """All paths a run writes, absolute and without symlinks.

        They must not be read as part of a tree: closing *any* descriptor of a database file drops
        the locks SQLite holds on it in this process (https://sqlite.org/howtocorrupt.html, 2.2).
        """
        folder = self.database.parent.resolve()
        databases = (self.database, self.catalogue)
        names = [path.name + suffix for path in databases for suffix in DATABASE_SUFFIXES]
        for path in (self.json, self.table):
            names += [path.name, unfinished(path).name]
        return frozenset(bytes(folder / name) for name in names)

    def _beside(self, ending: str) -> Path:
        return self.database.with_name(self.database.stem + ending)


def unfinished(path: Path) -> Path:
    """Where ``path`` is written until it is whole."""
    return path.with_name(path.name + ".part")


def inside(root: bytes) -> bytes:
    """What every path below ``root`` starts with."""
    return root if root.endswith(b"/") else root + b"/"


def top_directory(path: bytes, root: bytes) -> str:
    """The first component of ``path`` below ``root``; ``"."`` for a file in ``root`` itself."""
    first, slash, _ = path.removeprefix(inside(root)).partition(b"/")
    return printable(first) if slash else "."


def as_text(path: bytes) -> str:
    r"""``path`` as valid Unicode: exact where it is UTF-8, each other byte as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")


def printable(path: bytes) -> str:
    r"""``path`` as text without control characters: those are shown as ``\n`` or ``\u202e``."""
    text = as_text(path)
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def label(path: bytes) -> str:
    """``path`` as a task's label, which is bounded: the end of a path says most."""
    text = printable(path)
    return text if len(text) <= LABEL else "…" + text[1 - LABEL :]


def tag_value(path: bytes) -> str:
    """``path`` as the value of a tag: as it reads, or its SHA-256 where that is no bounded text."""
    text = as_text(path)
    is_exact = text.isprintable() and text.encode() == path and len(path) <= TAG_VALUE
    return text if is_exact else hashlib.sha256(path).hexdigest()


def reason(error: OSError) -> str:
    """What went wrong with one file, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "vanished before it was read"
    return (error.strerror or type(error).__name__).lower()


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
