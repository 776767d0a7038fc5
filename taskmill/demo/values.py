"""What the parts of the demo tell each other: runs, listings and groups of duplicates."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

import attrs

from taskmill.demo.paths import tag_value

if TYPE_CHECKING:
    from collections.abc import Sequence


TAG = "demo"
"""What every task of a run is tagged with; the value names the tree."""


@attrs.frozen
class Run:
    """One run over one tree. ``root`` is absolute and without symlinks."""

    root: bytes
    id: int = attrs.field(factory=lambda: secrets.randbits(48))
    """Drawn, not counted: a deleted catalogue must not give an old run's id to a new one."""

    @property
    def tags(self) -> dict[str, str]:
        """The tag of all tasks of the runs over this tree."""
        return {TAG: tag_value(self.root)}


class SeenFile(NamedTuple):
    """A regular file as it was when it was listed."""

    path: bytes
    size: int
    mtime_ns: int
    inode: str


class Problem(NamedTuple):
    """A file or directory that could not be read."""

    path: bytes
    problem: str


@attrs.frozen(kw_only=True)
class Listing:
    """What is in one directory."""

    files: Sequence[SeenFile] = ()
    subdirectories: Sequence[bytes] = ()
    problems: Sequence[Problem] = ()
    symlinks: int = 0
    specials: int = 0
    """Pipes, sockets, devices: never opened."""


@attrs.frozen(kw_only=True)
class Subtree:
    """How much is below some directories, without their files."""

    directories: int = 0
    symlinks: int = 0
    specials: int = 0
    failed: int = 0
    """Tasks that failed, for a fault that is not their directories'."""

    def __add__(self, other: Subtree) -> Subtree:
        return Subtree(
            directories=self.directories + other.directories,
            symlinks=self.symlinks + other.symlinks,
            specials=self.specials + other.specials,
            failed=self.failed + other.failed,
        )


@attrs.frozen(kw_only=True)
class DuplicateGroup:
    """Files with the same content."""

    sha256: str
    size: int
    paths: Sequence[bytes]
    """Sorted."""
    inodes: int
    """Fewer than the paths where some of them are hard links to one file."""

    @property
    def wasted(self) -> int:
        """The bytes that deleting all copies but one would free."""
        return self.size * (self.inodes - 1)


@attrs.frozen(kw_only=True)
class Counts:
    """How much a run has seen."""

    files: int
    bytes: int
    hard_links: int
    """Files that are a further name of one already counted."""
    directories: int
    symlinks: int
    specials: int
