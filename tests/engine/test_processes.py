"""Real processes: signals, crashes, and two of them at one file."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from taskmill import Context, Domain, Scheduler, StoreInUse, TaskId, TaskStatus
from tests.engine.service import Job, Service
from tests.processes import Process, running


def service(path: Path, *names: str) -> AbstractContextManager[Process]:
    return running("tests.engine.service", path, *names)


@Job.handler
async def finish(task: Job, ctx: Context[Service]) -> None: ...


def reopened(path: Path) -> Scheduler:
    return Scheduler(path, domains=[Domain(Service, handlers=[finish])])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.anyio
async def test_a_signal_drains_and_puts_back_what_did_not_end(
    tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "app.db"
    with service(path, "short", "long") as running:
        running.read_until("start long")
        running.process.send_signal(number)
        lines = running.read_all()
        assert running.process.wait() == 0
    assert lines[-2:] == ["end long", "closed"]
    async with reopened(path) as scheduler:
        await scheduler.idle()
        records = [await scheduler.get(TaskId(number)) for number in (1, 2)]
    assert [record.status for record in records] == [TaskStatus.COMPLETED] * 2
    assert sorted(record.run for record in records) == [1, 2]
    assert [record.attempt for record in records] == [1, 1]


@pytest.mark.anyio
async def test_a_handler_that_never_stops_is_left_behind_and_its_task_taken_up_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    with service(path, "stubborn", "long") as running:
        running.read_until("start stubborn")
        running.read_until("start long")
        running.process.send_signal(signal.SIGTERM)
        lines = running.read_all()
        assert running.process.wait() == 1
    assert any("leaving task 1 (service::job) behind" in line for line in lines)
    async with reopened(path) as scheduler:
        await scheduler.idle()
        assert await scheduler.count(status=TaskStatus.COMPLETED) == 2
        assert (await scheduler.get(TaskId(1))).run == 2


@pytest.mark.anyio
async def test_a_second_process_is_refused_and_told_who_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with service(path) as running:
        running.read_until("open")
        with pytest.raises(StoreInUse, match=rf"process {running.process.pid} on .*stop that one"):
            async with reopened(path):
                pass
        running.process.kill()
        running.process.wait()
    async with reopened(path) as scheduler:
        assert await scheduler.count() == 0
