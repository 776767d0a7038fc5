"""The command line as a process: signals, closed pipes, and an application that is served."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.live import COMMAND, ENVIRONMENT

APP = """
from datetime import timedelta
import anyio
from taskmill import Context, Domain, DomainKey, Drain, Every, Schedule, Scheduler, Task

class Service(DomainKey, name="service"): ...
class Job(Task[Service], name="job"):
    n: int

@Job.handler
async def job(task: Job, ctx: Context[Service]) -> None:
    print("start", flush=True)
    await anyio.sleep(task.n)
    print("end", flush=True)

class Tick(Task[Service], name="tick"): ...

@Tick.handler
async def tick(task: Tick, ctx: Context[Service]) -> None: ...

often = Schedule("often", Tick(), Every(timedelta(seconds=0.1)))

async def fill(handle):
    await handle.submit(Job(n=1))

scheduler = Scheduler(
    "app.db",
    domains=[Domain(Service, handlers=[job, tick], on_start=fill, schedules=[often])],
    shutdown=Drain(timedelta(seconds=30)),
)

async def broken(handle):
    raise ValueError("no luck")

failing = Scheduler("app.db", domains=[Domain(Service, handlers=[job], on_start=broken)])
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "served_app.py").write_text(APP, encoding="utf-8")
    return tmp_path


@contextmanager
def started(folder: Path, *arguments: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finished(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_run_serves_an_application_and_drains_on_sigterm(folder: Path) -> None:
    with started(folder, "run", "served_app:scheduler") as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "start\n"
        second = finished(folder, "run", "served_app:scheduler")
        assert second.returncode == 1
        last = second.stderr.splitlines()[-1]
        assert last.startswith("taskmill: ")
        assert f"process {service.pid}" in last
        assert "Traceback" not in second.stderr
        service.send_signal(signal.SIGTERM)
        out, log = service.communicate(timeout=60)
        assert (out, service.returncode) == ("end\n", 0)
        assert "INFO taskmill" in log
        assert log.rstrip().endswith("shut down")


def test_run_logs_from_the_level_that_is_asked_for(folder: Path) -> None:
    with started(folder, "run", "served_app:scheduler", "--log-level", "error") as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "start\n"
        service.send_signal(signal.SIGINT)
        _, log = service.communicate(timeout=60)
        assert (log, service.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("served_app", 2, "taskmill: a scheduler is named as MODULE:NAME"),
        ("gone:scheduler", 2, "taskmill: there is no module 'gone'"),
        (
            "served_app:failing",
            1,
            "taskmill: on_start of domain 'service' failed: ValueError('no luck')",
        ),
    ],
)
def test_run_says_why_it_cannot_serve(folder: Path, reference: str, code: int, words: str) -> None:
    ended = finished(folder, "run", reference)
    assert ended.returncode == code
    assert words in ended.stderr


def test_a_reader_that_goes_away_ends_a_command_silently(folder: Path) -> None:
    with started(folder, "run", "served_app:scheduler") as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "start\n"
        for arguments in (("list",), ("doctor", "--json"), ("top", "--once"), ("show", "1")):
            with started(folder, *arguments, "--db", "app.db") as process:
                assert process.stdout is not None
                process.stdout.close()
                assert process.stderr is not None
                assert process.stderr.read() == ""
                assert process.wait(60) == 141, arguments


def test_ctrl_c_ends_a_command_without_a_traceback(folder: Path) -> None:
    with started(folder, "run", "served_app:scheduler") as service:
        assert service.stdout is not None
        assert service.stdout.readline() == "start\n"
        with started(folder, "events", "--follow", "--db", "app.db") as process:
            assert process.stdout is not None
            assert "service::tick" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
            assert (process.returncode, told) == (130, "")
