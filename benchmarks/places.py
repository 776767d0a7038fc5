"""What a task costs on each executor: no-op tasks in the event loop, in threads, in processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import attrs

from benchmarks.floors import Floor
from benchmarks.setting import Sample, Setting, Unit
from benchmarks.work import drain_timed, ended, find_rerun
from taskmill import Context, Domain, DomainKey, ProcessExecutor, Scheduler, Task

WORKERS = 2


class Places(DomainKey, name="places"):
    """Tasks that do nothing, each type somewhere else."""


class Inline(Task[Places, int], name="inline", executor="inline"):
    """Returns its number, in the event loop."""

    number: int


class Threaded(Task[Places, int], name="threaded", executor="thread"):
    """Returns its number, in a thread."""

    number: int


class Processed(Task[Places, int], name="processed", executor="process"):
    """Returns its number, in a worker process."""

    number: int


Kind: TypeAlias = type[Inline] | type[Threaded] | type[Processed]


@Inline.handler
async def return_inline(task: Inline, _: Context[Places]) -> int:
    return task.number


@Threaded.handler
def return_threaded(task: Threaded, _: Context[Places]) -> int:
    return task.number


@Processed.handler
def return_processed(task: Processed, _: Context[Places]) -> int:
    return task.number


async def in_processes(setting: Setting) -> Sample:
    """Drain tasks that run in worker processes; milliseconds for each."""
    return await _drain(Processed, setting)


async def _in_threads(setting: Setting) -> Sample:
    return await _drain(Threaded, setting)


async def _in_the_loop(setting: Setting) -> Sample:
    return await _drain(Inline, setting)


async def _in_memory(measure: Callable[[Setting], Awaitable[Sample]], setting: Setting) -> Sample:
    return await measure(attrs.evolve(setting, in_memory=True))


async def _drain(kind: Kind, setting: Setting) -> Sample:
    domain = Domain(Places, handlers=[return_inline, return_threaded, return_processed])
    async with Scheduler(
        setting.database,
        domains=[domain],
        executors={"process": ProcessExecutor(WORKERS)},
        max_concurrency=setting.concurrency,
        durability=setting.durability,
    ) as opened:
        await drain_timed(opened, [kind(number=-number) for number in range(1, WORKERS + 1)])
        taken = await drain_timed(opened, [kind(number=number) for number in range(setting.n)])
        records = await ended(opened, Places)
    problem = find_rerun(records, WORKERS + setting.n)
    if {record.result for record in records} != set(map(str, range(-WORKERS, setting.n))):
        problem = "the tasks did not return their numbers"
    return Sample(n=setting.n, value=taken * 1e3 / setting.n, problem=problem)


INLINE = Floor(
    name="inline",
    description="the same tasks in the event loop",
    unit=Unit.MS,
    measure=_in_the_loop,
)
THREAD = Floor(
    name="thread",
    description="the same tasks in threads",
    unit=Unit.MS,
    measure=_in_threads,
)
INLINE_IN_MEMORY = Floor(
    name="inline in memory",
    description="the same tasks in the event loop, on a database in memory",
    unit=Unit.MS,
    measure=partial(_in_memory, _in_the_loop),
)
THREAD_IN_MEMORY = Floor(
    name="thread in memory",
    description="the same tasks in threads, on a database in memory",
    unit=Unit.MS,
    measure=partial(_in_memory, _in_threads),
)
PROCESS_IN_MEMORY = Floor(
    name="process in memory",
    description="the same tasks in two worker processes, on a database in memory",
    unit=Unit.MS,
    measure=partial(_in_memory, in_processes),
)
