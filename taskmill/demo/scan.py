"""Which files there are: a task lists a few directories, and their subdirectories are its children.

When those have ended, its finalize adds their sums to its own.
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, TypeVar

import attrs

from taskmill import Context, Domain, DomainKey, Task, TaskRecord, TaskStatus
from taskmill.demo.catalogue import Catalogue
from taskmill.demo.paths import inside, label, reason
from taskmill.demo.tally import Stage, Tally
from taskmill.demo.values import Listing, Problem, Run, SeenFile, Subtree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Set

T = TypeVar("T")

CHUNK = 1_000
"""Tasks submitted in one transaction, or read at once."""

DIRECTORIES = 8
"""How many directories a task lists."""

ENDED = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.DEAD)

# O_NOFOLLOW: a directory that was swapped for a symlink since it was listed is not entered.
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@attrs.frozen
class ScanConfig:
    """``ignored``: absolute paths that are passed over as if they were not there."""

    ignored: Set[bytes] = frozenset()


class Scanning(DomainKey, name="scan"):
    """Listing directories."""


class ListDirectories(Task[Scanning, Subtree], name="directories", fail_fast=False):
    """List some directories and all below them. A path is bytes: a file name need not be text."""

    run: int
    paths: tuple[bytes, ...]

    def task_label(self) -> str:
        return label(self.paths[0])


def scan_domain(config: ScanConfig) -> Domain[Scanning]:
    """The domain. It needs `Catalogue`, `Run` and `Tally` as state of the scheduler."""
    return Domain(Scanning, handlers=[list_directories], state=[config])


async def record_directories(task: ListDirectories, ctx: Context[Scanning]) -> Subtree:
    """Record what the directories hold, then spawn their subdirectories; return what they hold.

    Whatever is done twice after a failure is the same the second time.
    """
    subdirectories, own = await ctx.run_in_thread(_record, task, ctx)
    children = [
        ListDirectories(run=task.run, paths=tuple(paths))
        for paths in chunks(subdirectories, DIRECTORIES)
    ]
    ctx.state(Tally).expect(Stage.SCAN, len(children))
    for some in chunks(children, CHUNK):
        await ctx.spawn_many(some)
    ctx.state(Tally).ended(Stage.SCAN)
    return own


async def sum_up(task: ListDirectories, own: Subtree, ctx: Context[Scanning]) -> Subtree:
    """Add what the children found; with the root's sums, the listing is whole."""
    run = ctx.state(Run)
    whole = await _with_children(own, ctx) if own.directories else own
    if task.paths == (run.root,):
        await ctx.run_in_thread(ctx.state(Catalogue).end_listing, run, whole)
    return whole


list_directories = ListDirectories.handler(record_directories, finalize=sum_up)


def read_directory(path: bytes, ignored: Set[bytes] = frozenset()) -> Listing:
    """What is in the directory ``path``. What cannot be read is among the listing's problems."""
    contents = _Contents(path)
    try:
        descriptor = os.open(path, OPEN_DIRECTORY)
    except OSError as error:
        return Listing(problems=[Problem(path, reason(error))])
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                entry_path = inside(path) + os.fsencode(entry.name)
                if entry_path not in ignored:
                    contents.add(entry_path, entry)
    except OSError as error:
        contents.problems.append(Problem(path, reason(error)))
    finally:
        os.close(descriptor)
    return contents.listing()


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """``items`` in lists of ``size``, the last one shorter."""
    chunk: list[T] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


async def _with_children(own: Subtree, ctx: Context[Scanning]) -> Subtree:
    """Page by page, as there may be very many; each once, though a retry spawned it again."""
    scans, after = ctx.domain(Scanning), None
    found: dict[str, Subtree] = {}
    while True:
        page = await scans.tasks(parent=ctx.id, status=ENDED, limit=CHUNK, after=after)
        found.update((child.payload, _subtree(child)) for child in page)
        if page.next is None:
            return sum(found.values(), start=own)
        after = page.next


def _subtree(child: TaskRecord) -> Subtree:
    return Subtree(failed=1) if child.result is None else Subtree(**json.loads(child.result))


def _record(task: ListDirectories, ctx: Context[Scanning]) -> tuple[list[bytes], Subtree]:
    run, catalogue, tally = ctx.state(Run), ctx.state(Catalogue), ctx.state(Tally)
    subdirectories: list[bytes] = []
    own = Subtree()
    for path in task.paths:
        ctx.check()
        listing = read_directory(path, ctx.state(ScanConfig).ignored)
        catalogue.record_listing(run, listing)
        tally.saw(len(listing.files), sum(file.size for file in listing.files))
        tally.failed(len(listing.problems))
        subdirectories += listing.subdirectories
        own += Subtree(
            directories=len(listing.subdirectories),
            symlinks=listing.symlinks,
            specials=listing.specials,
        )
    return subdirectories, own


class _Contents:
    """A listing while it is read."""

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.files: list[SeenFile] = []
        self.subdirectories: list[bytes] = []
        self.problems: list[Problem] = []
        self.symlinks = self.specials = 0

    def add(self, path: bytes, entry: os.DirEntry[str]) -> None:
        """Put an entry where it belongs; symlinks are never followed."""
        try:
            if entry.is_symlink():
                self.symlinks += 1
            elif entry.is_dir(follow_symlinks=False):
                self.subdirectories.append(path)
            else:
                self._add_file(path, entry.stat(follow_symlinks=False))
        except OSError as error:
            self.problems.append(Problem(path, reason(error)))

    def _add_file(self, path: bytes, found: os.stat_result) -> None:
        if stat.S_ISREG(found.st_mode):
            inode = f"{found.st_dev}:{found.st_ino}"
            self.files.append(SeenFile(path, found.st_size, found.st_mtime_ns, inode))
        else:
            self.specials += 1

    def listing(self) -> Listing:
        """All of it."""
        return Listing(
            files=self.files,
            subdirectories=self.subdirectories,
            problems=self.problems,
            symlinks=self.symlinks,
            specials=self.specials,
        )
