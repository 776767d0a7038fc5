"""What a second worker process gives: real files compressed by one, by two, and without taskmill.

The files are the largest modules of the standard library, the largest first.
"""

from __future__ import annotations

import lzma
import os
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from time import perf_counter

import anyio.to_thread

from benchmarks.floors import Floor, pool_of_two
from benchmarks.setting import Sample, Setting, Unit, rate
from benchmarks.work import drain_timed, ended, find_rerun
from examples.archive import Archive, Squeeze, archive_domain
from taskmill import ProcessExecutor, Scheduler

FILES = 200
"""How many there are to compress at most: with one worker, some seconds of work."""
PRESET = 6


async def by_two_workers(setting: Setting) -> Sample:
    """Compress the files with two workers."""
    return await _by_workers(setting, 2)


async def _by_one_worker(setting: Setting) -> Sample:
    return await _by_workers(setting, 1)


async def _by_workers(setting: Setting, workers: int) -> Sample:
    tasks, processes = _tasks(setting), ProcessExecutor(workers)
    async with Scheduler(
        setting.database,
        domains=[archive_domain(preset=PRESET)],
        executors={"process": processes},
        max_concurrency=setting.concurrency,
        durability=setting.durability,
    ) as opened:
        for_each = [
            Squeeze(source=modules()[-1], target=setting.folder / f"{n}.first")
            for n in range(workers)
        ]
        await drain_timed(opened, for_each)
        pids = processes.pids()
        taken = await drain_timed(opened, tasks)
        problem = find_rerun(await ended(opened, Archive), len(for_each) + len(tasks))
    if len(pids) != workers:
        problem = f"{len(pids)} workers were up, not {workers}"
    return _sample(tasks, taken, problem)


async def _by_two_processes(setting: Setting) -> Sample:
    tasks = _tasks(setting)
    with pool_of_two() as pool:
        start = perf_counter()
        await anyio.to_thread.run_sync(list, pool.map(_squeeze, tasks))
        taken = perf_counter() - start
    return _sample(tasks, taken, None)


def _squeeze(task: Squeeze) -> None:
    """What the handler of `Squeeze` does, at once and without a word."""
    part = task.target.with_suffix(".part")
    with part.open("wb") as writing:
        writing.write(lzma.compress(task.source.read_bytes(), preset=PRESET))
        writing.flush()
        os.fsync(writing.fileno())
    part.replace(task.target)


@cache
def modules() -> Sequence[Path]:
    """The largest modules of the standard library, with its tests."""
    library = Path(sysconfig.get_path("stdlib"))
    own = [path for path in library.rglob("*.py") if "site-packages" not in path.parts]
    return sorted(own, key=lambda path: (-path.stat().st_size, path))[:FILES]


def _tasks(setting: Setting) -> list[Squeeze]:
    """For the smaller ones where there are to be few: then it is to be quick."""
    sources = modules()[-setting.n :]
    return [
        Squeeze(source=source, target=setting.folder / f"{n}.xz")
        for n, source in enumerate(sources)
    ]


def _sample(tasks: Sequence[Squeeze], taken: float, problem: str | None) -> Sample:
    unlike = [task.source for task in tasks if not is_squeezed(task)]
    if unlike:
        problem = f"{len(unlike)} files are not what their sources are, such as {unlike[0]}"
    return Sample(n=len(tasks), value=rate(len(tasks), taken), problem=problem)


def is_squeezed(task: Squeeze) -> bool:
    """Whether the target of a task holds its source."""
    try:
        return lzma.decompress(task.target.read_bytes()) == task.source.read_bytes()
    except (OSError, lzma.LZMAError):
        return False


ONE_WORKER = Floor(
    name="one worker",
    description="the same files, by one worker process",
    unit=Unit.RATE,
    measure=_by_one_worker,
)
TWO_PROCESSES = Floor(
    name="two processes",
    description="the same files, by a ProcessPoolExecutor of two, without a scheduler",
    unit=Unit.RATE,
    measure=_by_two_processes,
)
