"""Real processes at one file: web workers that submit, one that dispatches, and signals."""

from __future__ import annotations

import random
import signal
import subprocess
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from taskmill import Context, Domain, Scheduler, TaskStatus
from tests.client.service import Job, Shop
from tests.processes import Process, running

pytestmark = pytest.mark.anyio


def service(role: str, path: Path, *numbers: int) -> AbstractContextManager[Process]:
    log = path.with_name(f"{role}.log")
    return running("tests.client.service", role, path, path.parent, *numbers, log=log)


def accepted_by(web: Process) -> set[int]:
    return {int(line.split()[1]) for line in web.lines if line.startswith("accepted")}


@Job.handler
async def finish(task: Job, ctx: Context[Shop]) -> None: ...


def reopened(path: Path) -> Scheduler:
    return Scheduler(path, domains=[Domain(Shop, handlers=[finish])])


@pytest.mark.parametrize("jobs", [400, pytest.param(10_000, marks=pytest.mark.nightly)])
async def test_web_workers_and_the_dispatcher_are_killed_and_nothing_is_lost(
    tmp_path: Path, jobs: int
) -> None:
    path, rng = tmp_path / "app.db", random.Random(jobs)  # noqa: S311 - which process dies when
    accepted: set[int] = set()
    rounds = 4
    for number in range(rounds):
        first, last = number * jobs // rounds, (number + 1) * jobs // rounds
        missing = min(set(range(last)) - accepted)
        with (
            service("dispatch", path) as dispatcher,
            service("web", path, missing, last) as web,
        ):
            dispatcher.read_until("open")
            for _ in range(rng.randrange(first // 10, jobs // rounds)):
                web.read_until("accepted")
            first_to_die, second = rng.sample([web, dispatcher], 2)
            first_to_die.kill()
            second.kill()
            web.read_all()
            accepted |= accepted_by(web)
    first = min(set(range(jobs)) - accepted, default=jobs)
    with service("dispatch", path) as dispatcher:
        dispatcher.read_until("open")
        with service("web", path, first, jobs) as web:
            web.read_until("closed")
            accepted |= accepted_by(web)
        async with Scheduler(path, domains=[Domain(Shop, tasks=[Job])], dispatch=False) as client:
            await client.idle()
            assert await client.count() == 0
            ended = await client.count(status=list(TaskStatus))
            assert await client.count(status=TaskStatus.COMPLETED) == ended
        dispatcher.process.send_signal(signal.SIGTERM)
        dispatcher.read_all()
        assert dispatcher.process.wait() == 0
    assert accepted == set(range(jobs))
    check_ledger(tmp_path, jobs)


def check_ledger(folder: Path, jobs: int) -> None:
    lines = [line.split() for line in (folder / "ledger").read_text().splitlines()]
    starts = Counter((task, fence) for what, _, task, fence in lines if what == "start")
    assert set(starts.values()) == {1}
    ends = {int(number) for what, number, *_ in lines if what == "end"}
    assert ends == set(range(jobs))
    assert "Overlap" not in (folder / "dispatch.log").read_text()
    assert not list(folder.glob("running-*"))


async def test_sigterm_under_load_puts_back_what_does_not_end_and_leaves_nothing_to_recover(
    tmp_path: Path,
) -> None:
    path = tmp_path / "app.db"
    async with Scheduler(path, domains=[Domain(Shop, tasks=[Job])], dispatch=False) as client:
        await client.submit_many([Job(number=n, seconds=0.05) for n in range(2000)])
        await client.submit_many([Job(number=n, seconds=60) for n in range(2000, 2004)], priority=1)
    with service("dispatch", path) as dispatcher:
        dispatcher.read_until("open")
        wait_for(tmp_path / "ledger", "end 20 ")
        dispatcher.process.send_signal(signal.SIGTERM)
        assert dispatcher.read_all()[-1] == "closed"
        assert dispatcher.process.wait() == 0
    async with Scheduler(path, domains=[Domain(Shop, tasks=[Job])], dispatch=False) as client:
        assert await client.count(status=TaskStatus.RUNNING) == 0
        long = [
            record
            for record in await client.tasks(limit=10_000)
            if '"seconds":60' in record.payload
        ]
        assert [(each.status, each.attempt, each.run) for each in long] == [
            (TaskStatus.PENDING, 0, 1)
        ] * 4
        left = await client.count()
    assert 4 < left < 2000
    with service("dispatch", path) as again:
        again.read_until("open")
        again.kill()
    assert "back in the queue" not in (tmp_path / "dispatch.log").read_text()


async def test_a_standby_takes_over_from_a_killed_dispatcher(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with service("dispatch", path) as first:
        first.read_until("open")
        with service("standby", path) as second:
            wait_for(tmp_path / "standby.log", "standing by: ")
            first.kill()
            second.read_until("open")
            await check_works(path)
            second.process.send_signal(signal.SIGTERM)
            second.read_until("closed")
            assert second.process.wait() == 0


async def check_works(path: Path) -> None:
    async with Scheduler(path, domains=[Domain(Shop, tasks=[Job])], dispatch=False) as client:
        submitted = await client.submit(Job(number=1))
        assert (await client.wait(submitted.id)).status is TaskStatus.COMPLETED


async def test_a_standby_that_is_told_to_stop_goes_quietly(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    with service("dispatch", path) as first:
        first.read_until("open")
        with service("standby", path) as second:
            wait_for(tmp_path / "standby.log", "standing by: ")
            second.process.send_signal(signal.SIGTERM)
            second.read_all()
            assert second.process.wait() == 0
            assert second.lines == ["closed"]


def wait_for(log: Path, words: str) -> None:
    """Follow a log until it says so."""
    follower = subprocess.Popen(
        ["tail", "-n", "+1", "-F", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with follower:
        assert follower.stdout is not None
        for line in follower.stdout:
            if words in line:
                break
        follower.kill()
