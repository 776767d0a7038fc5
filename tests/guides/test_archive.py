"""The archive on real files, and what worker processes promise: in real processes and real time."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from examples.archive import Archive, Squeeze, Squeezed, archive_domain
from taskmill import (
    AnyTaskEvent,
    Completed,
    DomainHandle,
    Event,
    EventStream,
    InterruptCause,
    Interrupted,
    IoTotals,
    ProcessExecutor,
    Progress,
    Scheduler,
    Submitted,
    TaskCancelled,
    TaskFailed,
    TaskStatus,
    ThreadExecutor,
)
from tests.guides.cores import Backtrack, Cores, Meet, Whereabouts, cores_domain

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
LIBRARY = Path(sysconfig.get_path("stdlib"))
MODULES = [LIBRARY / f"{name}.py" for name in ("argparse", "ast", "difflib", "inspect", "typing")]
BOUND = 30
"""Seconds after which a test is given up."""


@attrs.frozen
class App:
    """The archive, and tasks that show where they run, with worker processes for both."""

    scheduler: Scheduler
    archive: DomainHandle[Archive]
    cores: DomainHandle[Cores]
    processes: ProcessExecutor


@asynccontextmanager
async def open_app(
    *,
    workers: int,
    kill_after: timedelta = timedelta(milliseconds=50),
) -> AsyncGenerator[App]:
    processes = ProcessExecutor(workers, kill_after=kill_after)
    async with Scheduler(
        ":memory:",
        domains=[archive_domain(), cores_domain()],
        executors={"process": processes},
    ) as scheduler:
        with anyio.fail_after(BOUND):
            yield App(scheduler, scheduler.domain(Archive), scheduler.domain(Cores), processes)


async def until(
    events: EventStream[Event], kind: type[AnyTaskEvent], of: Submitted[Any]
) -> list[Event]:
    """What is heard up to the next event of a kind about a task, and that one."""
    heard: list[Event] = []
    async for event in events:
        heard.append(event)
        if isinstance(event, kind) and event.id == of.id:
            break
    return heard


def squeeze_of(source: Path, folder: Path) -> Squeeze:
    return Squeeze(source=source, target=folder / f"{source.name}.xz")


def large(folder: Path) -> Squeeze:
    """A file that takes some tenths of a second."""
    path = folder / "large.py"
    path.write_bytes(b"".join(module.read_bytes() for module in MODULES) * 3)
    return squeeze_of(path, folder / "squeezed")


def is_squeezed(task: Squeeze) -> bool:
    return lzma.decompress(task.target.read_bytes()) == task.source.read_bytes()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- files ---


async def test_a_file_is_squeezed_in_a_worker_which_says_how_far_it_is(tmp_path: Path) -> None:
    task = squeeze_of(LIBRARY / "typing.py", tmp_path / "a" / "b")
    async with open_app(workers=1) as app, app.scheduler.events() as events:
        submitted = await app.archive.submit(task)
        squeezed = await app.archive.result(submitted)
        record = await app.archive.get(submitted.id)
        heard = await until(events, Completed, submitted)
    before, after = task.source.stat().st_size, task.target.stat().st_size
    assert squeezed == Squeezed(before=before, after=after)
    assert (record.io, record.label) == (IoTotals(read=before, written=after), "typing.py")
    progress = [event for event in heard if isinstance(event, Progress)]
    assert [event.fraction for event in progress] == [65536 / before, 1]
    assert [event.task for event in progress] == [task, task]
    assert is_squeezed(task)
    assert names_in(task.target.parent) == ["typing.py.xz"]


async def test_a_file_that_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    executors = {"process": ThreadExecutor()}
    async with Scheduler(":memory:", domains=[archive_domain()], executors=executors) as scheduler:
        submitted = await scheduler.submit(squeeze_of(tmp_path / "no.py", tmp_path))
        record = await scheduler.wait(submitted.id)
    assert (record.status, record.run) == (TaskStatus.FAILED, 1)
    assert record.reason == f"there is no file {tmp_path / 'no.py'}"
    assert names_in(tmp_path) == []


async def test_a_file_that_is_cancelled_is_left_as_it_was(tmp_path: Path) -> None:
    task = large(tmp_path)
    task.target.parent.mkdir()
    task.target.write_bytes(b"from before")
    kill_after = timedelta(seconds=BOUND)
    async with open_app(workers=1, kill_after=kill_after) as app, app.scheduler.events() as events:
        submitted = await app.archive.submit(task)
        await until(events, Progress, submitted)
        workers = app.processes.pids()
        await app.archive.cancel(submitted.id)
        with pytest.raises(TaskCancelled):
            await app.archive.result(submitted)
        assert app.processes.pids() == workers
    assert task.target.read_bytes() == b"from before"
    assert names_in(task.target.parent) == ["large.py.xz"]


def test_the_program_squeezes_a_folder_and_says_what_came_of_it(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    shutil.copytree(LIBRARY / "json", source / "json", ignore=shutil.ignore_patterns("*.pyc"))
    files = sorted(path.relative_to(source) for path in source.rglob("*.py"))
    options = ["--pattern", "**/*.py", "--workers", "1"]
    run = subprocess.run(
        [sys.executable, "-m", "examples.archive", target, source, *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=True,
    )
    tasks = [Squeeze(source=source / path, target=target / f"{path}.xz") for path in files]
    assert all(map(is_squeezed, tasks))
    before = sum(task.source.stat().st_size for task in tasks)
    after = sum(task.target.stat().st_size for task in tasks)
    assert re.fullmatch(
        rf"{len(files)} files, {before:,} bytes before and {after:,} after, "
        r"in \d+\.\d s; workers: 1\n",
        run.stdout,
    )


# --- workers ---


async def test_two_workers_run_at_the_same_time(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with open_app(workers=2) as app:
        ends = [Meet(pipe=pipe, flags=flags) for flags in (os.O_RDONLY, os.O_WRONLY)]
        submitted = await app.cores.submit_many(ends)
        met = [await app.cores.result(each) for each in submitted]
        assert sorted(met) == app.processes.pids()
    assert len({os.getpid(), *met}) == 3


async def test_a_worker_that_is_killed_interrupts_its_own_task_alone(tmp_path: Path) -> None:
    first = large(tmp_path)
    others = [squeeze_of(module, tmp_path) for module in sorted(LIBRARY.glob("t*.py"))]
    async with open_app(workers=2) as app, app.scheduler.events() as events:
        struck = await app.archive.submit(first)
        heard = await until(events, Progress, struck)
        [worker] = app.processes.pids()
        os.kill(worker, signal.SIGSTOP)  # it cannot end before it is killed
        beside = await app.archive.submit_many(others)
        heard += await until(events, Completed, beside[0])
        os.kill(worker, signal.SIGKILL)
        await app.scheduler.idle()
        heard += await until(events, Completed, struck)
        records = [await app.archive.get(each.id) for each in (struck, *beside)]
        assert worker not in app.processes.pids()
    interrupted = [event for event in heard if isinstance(event, Interrupted)]
    assert [(event.id, event.cause) for event in interrupted] == [(struck.id, InterruptCause.CRASH)]
    assert {record.status for record in records} == {TaskStatus.COMPLETED}
    assert [record.interruptions for record in records] == [1] + [0] * len(beside)
    assert [record.run for record in records] == [2] + [1] * len(beside)
    assert all(map(is_squeezed, [first, *others]))
    assert names_in(first.target.parent) == ["large.py.xz"]


async def test_a_worker_that_is_frozen_is_killed_and_what_it_left_is_cleaned_up(
    tmp_path: Path,
) -> None:
    task = large(tmp_path)
    async with open_app(workers=1) as app, app.scheduler.events() as events:
        submitted = await app.archive.submit(task)
        await until(events, Progress, submitted)
        [worker] = app.processes.pids()
        os.kill(worker, signal.SIGSTOP)
        left = names_in(task.target.parent)
        await app.archive.cancel(submitted.id)
        with pytest.raises(TaskCancelled):
            await app.archive.result(submitted)
        assert worker not in app.processes.pids()
    assert left == [f"large.py.xz.{submitted.id}.part"]
    assert names_in(task.target.parent) == []


async def test_a_handler_stuck_in_c_is_ended_and_the_next_task_has_a_fresh_worker() -> None:
    async with open_app(workers=1) as app, app.scheduler.events() as events:
        first = await app.cores.result(await app.cores.submit(Whereabouts()))
        half = timedelta(milliseconds=500)
        late = await app.cores.submit(Backtrack(), timeout=half, max_retries=0)
        await until(events, Progress, late)
        waiting = await app.cores.submit(Whereabouts())
        with pytest.raises(TaskFailed, match=f"TimeoutError: ran for longer .* {half}"):
            await app.cores.result(late)
        assert (await app.cores.get(late.id)).interruptions == 0
        second = await app.cores.result(waiting)
        assert app.processes.pids() == [second]

        unwanted = await app.cores.submit(Backtrack())
        await until(events, Progress, unwanted)
        await app.cores.cancel(unwanted.id)
        with pytest.raises(TaskCancelled):
            await app.cores.result(unwanted)
        third = await app.cores.result(await app.cores.submit(Whereabouts()))
        assert app.processes.pids() == [third]
    assert len({first, second, third}) == 3
