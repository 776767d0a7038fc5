"""What is in the files: a task for each file that may have a twin, hashed in a thread.

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
    from collections.abc import Callable

BLOCK = 1 << 20
"""Bytes read between two looks at whether to stop."""

CHUNK = 1_000
"""Tasks submitted in one transaction."""

FAILED = (TaskStatus.FAILED, TaskStatus.DEAD)

# O_NONBLOCK: a file that was swapped for a pipe since it was looked at must not block the open.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@attrs.frozen
class DigestConfig:
    """``large``: the size in bytes from which on a file's progress is reported."""

    large: int = 64 << 20


class Digesting(DomainKey, name="digest"):
    """Reading files."""


class DigestFile(Task[Digesting], name="file"):
    """Read one version of one file; ``top`` is the directory below the root that holds it."""

    run: int
    top: str
    path: bytes
    size: int
    mtime_ns: int

    def task_group(self) -> str:
        return self.top

    def task_label(self) -> str:
        return label(self.path)


class FileChangedError(Exception):
    """The file is not the version that was to be read."""


class DigestTwins(Task[Digesting, int], name="twins", fail_fast=False):
    """Read all files of a run that may have a twin; the result is how many tasks failed."""

    run: int


def digest_domain(config: DigestConfig) -> Domain[Digesting]:
    """The domain. It needs `Catalogue`, `Run` and `Tally` as state of the scheduler."""
    return Domain(
        Digesting,
        handlers=[digest_twins, digest_file],
        state=[config],
        priority=Priority.BACKGROUND,
    )


async def spawn_digests(task: DigestTwins, ctx: Context[Digesting]) -> None:
    """Spawn a task for each file whose size another one has, and whose digest is not known."""
    run, tally = Run(ctx.state(Run).root, task.run), ctx.state(Tally)
    tally.enter(Stage.DIGEST)
    with closing(ctx.state(Catalogue).candidates(run, CHUNK)) as candidates:
        while files := await ctx.run_in_thread(next, candidates, None):
            tally.expect(Stage.DIGEST, len(files), sum(file.size for file in files))
            await ctx.spawn_many([_digest(run, file) for file in files])


async def count_failed(_: DigestTwins, __: None, ctx: Context[Digesting]) -> int:
    """Say how many files could not be digested for a fault that is not theirs."""
    return await ctx.domain(Digesting).count(parent=ctx.id, status=FAILED)


digest_twins = DigestTwins.handler(spawn_digests, finalize=count_failed)


@DigestFile.handler
def digest_file(task: DigestFile, ctx: Context[Digesting]) -> None:
    """Note the file's digest, or why there is none.

    One that an earlier run over this tree left in the queue is still worth doing. But where it
    fails it says nothing: this run may not even meet the file, and if it does it asks again.
    """
    run, catalogue, tally = ctx.state(Run), ctx.state(Catalogue), ctx.state(Tally)
    version = (task.path, task.size, task.mtime_ns)
    if not catalogue.has_digest(*version):
        try:
            catalogue.save_digest(*version, sha256(*version, _watcher(task, ctx)))
        except (OSError, FileChangedError) as error:
            if task.run == run.id:
                problem = reason(error) if isinstance(error, OSError) else str(error)
                catalogue.record_problem(run, Problem(task.path, problem))
                tally.failed(1)
    tally.ended(Stage.DIGEST)


def sha256(path: bytes, size: int, mtime_ns: int, on_read: Callable[[int, int], None]) -> bytes:
    """The SHA-256 of the file, if it is this version before and after it is read.

    ``on_read`` gets the size of each chunk and the sum so far. Raises FileChangedError and OSError.
    """
    _check_version(os.lstat(path), size, mtime_ns)  # before the open: opening a device can act
    digest = hashlib.sha256()
    descriptor = os.open(path, OPEN_FILE)
    try:
        _check_version(os.fstat(descriptor), size, mtime_ns)
        done = 0
        while done < size and (chunk := os.read(descriptor, min(BLOCK, size - done))):
            digest.update(chunk)
            done += len(chunk)
            on_read(len(chunk), done)
        if done != size:
            raise FileChangedError("shorter than it says")
        _check_version(os.fstat(descriptor), size, mtime_ns)
    finally:
        os.close(descriptor)
    return digest.digest()


def _digest(run: Run, file: SeenFile) -> DigestFile:
    return DigestFile(
        run=run.id,
        top=top_directory(file.path, run.root),
        path=file.path,
        size=file.size,
        mtime_ns=file.mtime_ns,
    )


def _check_version(found: os.stat_result, size: int, mtime_ns: int) -> None:
    version = (stat.S_ISREG(found.st_mode), found.st_size, found.st_mtime_ns)
    if version != (True, size, mtime_ns):
        raise FileChangedError("changed during the run")


def _watcher(task: DigestFile, ctx: Context[Digesting]) -> Callable[[int, int], None]:
    tally, large = ctx.state(Tally), task.size >= ctx.state(DigestConfig).large

    def on_read(count: int, done: int) -> None:
        ctx.check()
        tally.read(count)
        if large:
            ctx.progress_of(done, task.size)

    return on_read
