"""What is in the files that may have a twin: tasks for a few small ones or a large one each.

They are the children of one task, which counts at its end how many of them failed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import attrs

from taskmill import Context, Domain, DomainKey, Priority, Task, TaskStatus
from taskmill.demo.catalogue import Catalogue
from taskmill.demo.paths import label, reason, top_directory
from taskmill.demo.tally import Stage, Tally
from taskmill.demo.values import Problem, Run, SeenFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BLOCK = 1 << 20
"""Bytes read between two looks at whether to stop."""

CHUNK = 1_000
"""Files whose tasks are submitted in one transaction."""

FILES = 16
SIZE = 4 << 20
"""How many files, and bytes of them, a task has at most; a larger file has one of its own."""

FAILED = (TaskStatus.FAILED, TaskStatus.DEAD)

# O_NONBLOCK: a file that was swapped for a pipe since it was looked at must not block the open.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@attrs.frozen
class DigestConfig:
    """``large``: the size in bytes from which on a file's progress is reported."""

    large: int = 64 << 20


class Digesting(DomainKey, name="digest"):
    """Reading files."""


@attrs.frozen
class FileVersion:
    """A file as it was when it was listed."""

    path: bytes
    size: int
    mtime_ns: int


class DigestFiles(Task[Digesting], name="files"):
    """Read one version of some files; ``top`` is the directory below the root that holds them."""

    run: int
    top: str
    files: tuple[FileVersion, ...]

    def task_group(self) -> str:
        return self.top

    def task_label(self) -> str:
        return label(self.files[0].path)


class FileChangedError(Exception):
    """The file is not the version that was to be read."""


class DigestTwins(Task[Digesting, int], name="twins", fail_fast=False):
    """Read all files of a run that may have a twin; the result is how many tasks failed."""

    run: int


def digest_domain(config: DigestConfig) -> Domain[Digesting]:
    """The domain. It needs `Catalogue`, `Run` and `Tally` as state of the scheduler."""
    return Domain(
        Digesting,
        handlers=[digest_twins, digest_files],
        state=[config],
        priority=Priority.BACKGROUND,
    )


async def spawn_digests(task: DigestTwins, ctx: Context[Digesting]) -> None:
    """Have each file read whose size another one has, and whose digest is not known.

    What an earlier run had not come to spawn, this run finds itself: one task for each file.
    """
    run, tally = ctx.state(Run), ctx.state(Tally)
    if task.run != run.id:
        return
    tally.enter(Stage.DIGEST)
    with closing(ctx.state(Catalogue).candidates(run, CHUNK)) as candidates:
        while files := await ctx.run_in_thread(next, candidates, None):
            digests = list(batches(run, files))
            tally.expect(Stage.DIGEST, len(digests), sum(file.size for file in files))
            await ctx.spawn_many(digests)


async def count_failed(_: DigestTwins, __: None, ctx: Context[Digesting]) -> int:
    """Say how many tasks failed, for a fault that is not their files'."""
    return await ctx.domain(Digesting).count(parent=ctx.id, status=FAILED)


digest_twins = DigestTwins.handler(spawn_digests, finalize=count_failed)


@DigestFiles.handler
def digest_files(task: DigestFiles, ctx: Context[Digesting]) -> None:
    """Note the digest of each file, or why there is none.

    A task that an earlier run over this tree left in the queue is still worth doing. But where it
    fails it says nothing: this run may not even meet the file, and if it does it asks again.
    """
    run, catalogue, tally = ctx.state(Run), ctx.state(Catalogue), ctx.state(Tally)
    for file in task.files:
        if catalogue.has_digest(file.path, file.size, file.mtime_ns):
            continue
        try:
            digest = sha256(file, _watcher(file, ctx))
        except (OSError, FileChangedError) as error:
            if task.run == run.id:
                problem = reason(error) if isinstance(error, OSError) else str(error)
                catalogue.record_problem(run, Problem(file.path, problem))
                tally.failed(1)
        else:
            catalogue.save_digest(file.path, file.size, file.mtime_ns, digest)
    tally.ended(Stage.DIGEST)


def batches(run: Run, files: Iterable[SeenFile]) -> Iterator[DigestFiles]:
    """The tasks that read these files, in their order."""
    batch: list[FileVersion] = []
    top, size = "", 0
    for file in files:
        file_top = top_directory(file.path, run.root)
        if batch and (file_top != top or len(batch) == FILES or size + file.size > SIZE):
            yield DigestFiles(run=run.id, top=top, files=tuple(batch))
            batch, size = [], 0
        batch.append(FileVersion(file.path, file.size, file.mtime_ns))
        top, size = file_top, size + file.size
    if batch:
        yield DigestFiles(run=run.id, top=top, files=tuple(batch))


def sha256(file: FileVersion, on_read: Callable[[int, int], None]) -> bytes:
    """The SHA-256 of the file, if it is this version before and after it is read.

    ``on_read`` gets the size of each chunk and the sum so far. Raises FileChangedError and OSError.
    """
    _check_version(os.lstat(file.path), file)  # before the open: opening a device can act
    digest = hashlib.sha256()
    descriptor = os.open(file.path, OPEN_FILE)
    try:
        _check_version(os.fstat(descriptor), file)
        done = 0
        while done < file.size and (block := os.read(descriptor, min(BLOCK, file.size - done))):
            digest.update(block)
            done += len(block)
            on_read(len(block), done)
        if done != file.size:
            raise FileChangedError("shorter than it says")
        _check_version(os.fstat(descriptor), file)
    finally:
        os.close(descriptor)
    return digest.digest()


def _check_version(found: os.stat_result, file: FileVersion) -> None:
    version = (stat.S_ISREG(found.st_mode), found.st_size, found.st_mtime_ns)
    if version != (True, file.size, file.mtime_ns):
        raise FileChangedError("changed during the run")


def _watcher(file: FileVersion, ctx: Context[Digesting]) -> Callable[[int, int], None]:
    tally, large = ctx.state(Tally), file.size >= ctx.state(DigestConfig).large

    def on_read(count: int, done: int) -> None:
        ctx.check()
        tally.read(count)
        if large:
            ctx.progress_of(done, file.size)

    return on_read
