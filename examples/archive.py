"""A domain for work that keeps a core busy: it compresses files in worker processes.

``python -m examples.archive TARGET`` compresses the modules of the standard library into TARGET.
"""

import lzma
import os
import sysconfig
from argparse import ArgumentParser
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from time import perf_counter

import anyio
import attrs

from taskmill import (
    Context,
    Domain,
    DomainKey,
    Permanent,
    Priority,
    ProcessExecutor,
    RetryPolicy,
    Scheduler,
    Submitted,
    Task,
)

BLOCK = 1 << 16
"""Bytes read between two looks at whether to stop."""


class Archive(DomainKey, name="archive"):
    """Compressing files."""


@attrs.frozen(kw_only=True)
class Squeezed:
    """The size of a file."""

    before: int
    after: int


@attrs.frozen(kw_only=True)
class ArchiveConfig:
    """What an application decides."""

    preset: int
    """From 0 (fast) to 9 (small), as `lzma` has it."""


class Squeeze(Task[Archive, Squeezed], name="squeeze", executor="process"):
    """Compress one file into another; the result is the size of each."""

    source: Path
    target: Path

    def task_label(self) -> str | None:
        return self.source.name


def squeeze(task: Squeeze, ctx: Context[Archive]) -> Squeezed:
    """Write beside the target, and rename: the target is whole, or as it was before.

    A run that comes after a killed one writes to the same place, so nothing of that is left.
    """
    if not task.source.is_file():
        raise Permanent(f"there is no file {task.source}")
    part = part_of(task, ctx)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        squeezed = write(task.source, part, ctx)
        part.replace(task.target)
    finally:
        part.unlink(missing_ok=True)
    return squeezed


def clean(task: Squeeze, ctx: Context[Archive]) -> None:
    """Remove what a killed run has left of a task that was cancelled."""
    part_of(task, ctx).unlink(missing_ok=True)


squeeze_file = Squeeze.handler(squeeze, on_cancel=clean)


def part_of(task: Squeeze, ctx: Context[Archive]) -> Path:
    """Where a task writes before it is done: for all its runs the same."""
    return task.target.with_name(f"{task.target.name}.{ctx.id}.part")


def write(source: Path, part: Path, ctx: Context[Archive]) -> Squeezed:
    """Compress a file block by block, unless it is to stop."""
    compressor = lzma.LZMACompressor(preset=ctx.state(ArchiveConfig).preset)
    with source.open("rb") as reading, part.open("wb") as writing:
        size, done = os.fstat(reading.fileno()).st_size, 0
        while block := reading.read(BLOCK):
            ctx.check()
            ctx.io(read=len(block), written=writing.write(compressor.compress(block)))
            done += len(block)
            ctx.bytes(done, size)
        ctx.io(written=writing.write(compressor.flush()))
        writing.flush()
        os.fsync(writing.fileno())  # before the rename, or a power cut could leave an empty target
        return Squeezed(before=done, after=writing.tell())


def archive_domain(
    *,
    preset: int = 6,
    timeout: timedelta | None = timedelta(minutes=10),
    retry: RetryPolicy | None = None,
    priority: int = Priority.BACKGROUND,
) -> Domain[Archive]:
    """The domain. How many cores it may take is said by the scheduler's ``process`` executor."""
    return Domain(
        Archive,
        handlers=[squeeze_file],
        state=[ArchiveConfig(preset=preset)],
        timeout=timeout,
        retry=retry or RetryPolicy.constant(2, timedelta(seconds=5), retry_on=OSError),
        priority=priority,
    )


# --- an application ---


def squeezes(source: Path, pattern: str, target: Path) -> list[Squeeze]:
    """Tasks for the files below a folder, which lie in ``target`` as they do there."""
    files = sorted(path for path in source.glob(pattern) if path.is_file())
    return [
        Squeeze(source=path, target=target / f"{path.relative_to(source)}.xz") for path in files
    ]


async def run(tasks: Iterable[Squeeze], database: Path, workers: int) -> list[Squeezed]:
    """Run tasks until all are done, beside those that a killed run of this program has left."""
    async with Scheduler(
        database,
        domains=[archive_domain()],
        executors={"process": ProcessExecutor(workers)},
        max_concurrency=workers,
    ) as scheduler:
        archive = scheduler.domain(Archive)
        submitted: list[Submitted[Squeezed]] = await archive.submit_many(tasks)
        return [await archive.result(each) for each in submitted]


def main() -> None:
    """Compress a folder, and say in one line what came of it."""
    parser = ArgumentParser("python -m examples.archive", description=__doc__)
    add = parser.add_argument
    add("target", type=Path, help="the folder to write to, with the database of its tasks")
    add("source", type=Path, nargs="?", default=sysconfig.get_path("stdlib"))
    add("--pattern", default="*.py", help="which files of it (default: %(default)s)")
    add("--workers", type=int, default=os.cpu_count() or 1, help="default: one for each core")
    asked = parser.parse_args()
    asked.target.mkdir(parents=True, exist_ok=True)
    tasks = squeezes(Path(asked.source).resolve(), asked.pattern, asked.target.resolve())
    start = perf_counter()
    done = anyio.run(run, tasks, asked.target / "archive.db", asked.workers)
    seconds = perf_counter() - start
    before, after = sum(each.before for each in done), sum(each.after for each in done)
    print(
        f"{len(done):,} files, {before:,} bytes before and {after:,} after, "
        f"in {seconds:.1f} s; workers: {asked.workers}"
    )


if __name__ == "__main__":
    main()
