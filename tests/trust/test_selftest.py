"""``taskmill selftest`` passes here, and each of its checks fails where its promise is broken."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner

from taskmill import ProcessExecutor, Scheduler
from taskmill.cli import selftest as command
from taskmill.cli.commands import taskmill
from taskmill.engine.runs.watchdog import Watchdog
from taskmill.executors.base import Outcome as Returned
from taskmill.executors.base import Work
from taskmill.executors.inline import InlineExecutor
from taskmill.executors.process.worker import Worker
from taskmill.selftest import crashes, disk, dispatching, files, machine, stalling
from taskmill.selftest import place as places
from taskmill.selftest.checks import all_checks
from taskmill.selftest.ledger import Ledger, read, story_of
from taskmill.selftest.place import PREFIX, Place, scratch
from taskmill.selftest.processes import Child, started
from taskmill.selftest.report import document, holds, opening, summary
from taskmill.selftest.session import outcome
from taskmill.selftest.values import Absent, Broken, Check, Outcome, Shown, Verdict
from taskmill.store.sqlite import batch
from taskmill.store.sqlite import files as store_files
from taskmill.store.sqlite.statements import SQL
from taskmill.testing import FakeClock
from tests.processes import ROOT

pytestmark = pytest.mark.anyio

COMMAND = (sys.executable, "-m", "taskmill", "selftest")


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    with scratch(tmp_path / "app.db") as found:
        yield found


async def made(
    place: Place, look: Callable[[Place], Awaitable[Shown]], *, limit: float = 60
) -> Outcome:
    return await outcome(place, Check(name="it", promise="It holds", look=look), limit=limit)


async def failed(
    place: Place, look: Callable[[Place], Awaitable[Shown]], *, limit: float = 60
) -> str:
    """What a check says that has failed."""
    found = await made(place, look, limit=limit)
    assert found.verdict is Verdict.FAILED, found
    return found.text


async def held(place: Place, look: Callable[[Place], Awaitable[Shown]]) -> Outcome:
    found = await made(place, look)
    assert found.verdict is Verdict.OK, found
    return found


# --- it passes here ---


def test_every_promise_holds_here_and_nothing_is_left_behind(tmp_path: Path) -> None:
    run = subprocess.run(
        [*COMMAND, "--db", str(tmp_path / "app.db"), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout
    said = json.loads(run.stdout)
    assert said["holds"] is True
    assert said["database"] == str(tmp_path / "app.db")
    assert [check["name"] for check in said["checks"]] == [check.name for check in all_checks()]
    assert [check["text"] for check in said["checks"] if check["verdict"] != "ok"] == []
    assert list(tmp_path.iterdir()) == []


def test_every_check_has_a_name_and_a_sentence_of_its_own() -> None:
    checks = all_checks()
    assert len({check.name for check in checks}) == len(checks) == 14
    assert all(check.promise[0].isupper() and check.promise[-1] != "." for check in checks)


# --- each check fails where its promise is broken ---


async def test_it_sees_that_accepted_work_is_gone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill = Child.kill

    async def killed_and_forgotten(self: Child) -> list[str]:
        lines = await kill(self)
        (place.folder / f"{crashes.DATABASE}-wal").unlink()  # what a disk that lies would lose
        return lines

    monkeypatch.setattr(Child, "kill", killed_and_forgotten)
    said = await failed(place, partial(crashes.accepted_is_kept, rounds=1))
    assert "that submit had accepted are gone after a kill" in said


async def test_it_sees_that_interrupted_work_does_not_run_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(place, partial(crashes.accepted_is_kept, rounds=1))
    monkeypatch.setitem(SQL, "recover_running", "UPDATE taskmill_tasks SET id = id WHERE 0")
    assert "did not end" in await failed(place, crashes.interrupted_runs_again)


async def test_it_sees_that_a_run_begins_twice(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InlineExecutor, "run", run_twice)
    await held(place, partial(crashes.accepted_is_kept, rounds=1))
    assert "began more than once" in await failed(place, crashes.interrupted_runs_again)


def do_nothing(_: object) -> None: ...


async def run_twice(_: InlineExecutor, work: Work) -> Returned:
    await work.call()
    outcome: Returned = await work.call()
    return outcome


def test_a_ledger_tells_what_was_cut_off_and_what_overlapped() -> None:
    story = story_of(
        [
            "accepted 1",
            "accepted 4",
            "start 1 1 77",
            "start 2 1 77",
            "end 2 1",
            "start 3 1 77",
            "start 3 2 77",
            "end 3 1",
            "end 3 2",
            "killed 77",
            "start 1 2 78",
            "end 1 2",
            "start 5 1 78",
            "start 5 1 78",
        ]
    )
    assert story.cut_off == {(1, 1)}
    assert story.overlaps == {3, 5}
    assert story.repeated() == [(5, 1)]
    assert story.lost() == [4, 5]


def test_a_ledger_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    one, other = Ledger(path), Ledger(path)
    one.accepted(1)
    one.started(1, 1)
    other.ended(1, 1)
    other.started(2, 1)
    one.killed(os.getpid())
    one.close()
    other.close()
    story = read(path)
    assert (story.accepted, story.completed, story.cut_off) == ({1}, {1}, {(2, 1)})


async def test_it_sees_that_two_processes_dispatch_from_one_file(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_files, "_lock", do_nothing)
    said = await failed(place, files.second_is_refused)
    assert "two processes dispatched from one file" in said


async def test_it_sees_that_the_refusal_names_nobody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Child, "pid", property(lambda _: -1))
    assert "names another holder" in await failed(place, files.second_is_refused)


async def test_it_sees_that_a_commit_does_not_wait_for_the_disk(place: Place) -> None:
    slow = partial(disk.commit_waits, fsync=lambda _: time.sleep(0.02))
    assert "does not wait until its commit is on the disk" in await failed(place, slow)


def test_an_fsync_that_costs_nothing_is_a_warning_with_what_it_means() -> None:
    shown = disk.judged(fsync=0.000_003, power=0.000_4, process=0.000_3, is_memory=False)
    assert "written to no disk" in shown.warnings[0]
    shown = disk.judged(fsync=0.000_003, power=0.000_4, process=0.000_3, is_memory=True)
    assert "memory" in shown.warnings[0]
    with pytest.raises(Broken, match="does not wait"):
        disk.judged(fsync=0.004, power=0.001, process=0.001, is_memory=False)


async def test_it_sees_that_a_full_database_takes_more(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "limit_growth", unlimited)
    assert "that there was no room for" in await failed(place, disk.full_goes_on)


async def unlimited(*_: object, **__: object) -> None: ...


async def test_it_sees_that_a_full_database_does_not_go_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = disk.limit_growth

    async def stay_full(store: Any, *, pages: int | None) -> None:
        if pages is not None:
            await limit(store, pages=pages)

    monkeypatch.setattr(disk, "limit_growth", stay_full)
    monkeypatch.setattr("taskmill.engine.writer.LAST_TRIES", 0.0)
    said = await failed(place, disk.full_goes_on, limit=1.0)
    assert "outcomes that could not be written" in said


async def test_it_sees_that_a_cap_is_passed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatching, "Scheduler", partial(with_slots, dispatching.CAP + 1))
    said = await failed(place, partial(dispatching.caps_hold, tasks=50))
    assert said == "17 tasks ran at once under a cap of 16"


def with_slots(slots: int, *arguments: Any, **options: Any) -> Scheduler:
    return Scheduler(*arguments, **{**options, "max_concurrency": slots})


async def test_it_sees_that_a_task_ran_twice(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InlineExecutor, "run", run_twice)
    said = await failed(place, partial(dispatching.caps_hold, tasks=50))
    assert said == "50 tasks of 50 ran more than once"


async def test_it_sees_an_event_before_its_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def committed_later(db: sqlite3.Connection) -> Generator[None]:
        if db.in_transaction:
            db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        yield

    monkeypatch.setattr(batch, "transaction", committed_later)
    said = await failed(place, dispatching.events_follow_commits)
    assert said in (  # whichever is looked at first, while the commit is on its way
        "Enqueued came of a task that was not on record",
        "Dispatched told of run 1 before it was on record",
        "Completed came of a task that was on record as running",
    )


async def test_it_sees_that_a_foreign_file_is_taken_for_a_database(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(files.FOREIGN, "empty.txt", b"")  # of which SQLite does make a database
    said = await failed(place, files.foreign_is_left_alone)
    assert said == "a file of 0 bytes was taken for a database"


async def test_it_sees_that_a_foreign_file_was_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touched(path: Path) -> None:
        with path.open("ab") as file:
            file.write(b"!")

    monkeypatch.setattr(store_files, "_create", touched)
    said = await failed(place, files.foreign_is_left_alone)
    assert "was refused, and changed" in said


async def test_it_sees_that_nobody_names_what_blocks_the_loop(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watchdog, "start", do_nothing)
    monkeypatch.setattr(stalling, "PATIENCE", 0.2)
    assert "no task was named" in await failed(place, stalling.blocking_is_named)


async def test_it_sees_that_nobody_kills_a_stuck_worker(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    kill, stop, is_over = Worker.kill, ProcessExecutor.stop, False

    def killed_in_the_end(self: Worker) -> None:
        if is_over:
            kill(self)

    async def stopped_in_the_end(self: ProcessExecutor) -> None:
        nonlocal is_over
        is_over = True
        await stop(self)

    monkeypatch.setattr(Worker, "kill", killed_in_the_end)
    monkeypatch.setattr(ProcessExecutor, "stop", stopped_in_the_end)
    monkeypatch.setattr(stalling, "PATIENCE", 1.0)
    monkeypatch.setattr(stalling, "LONGEST", 2.5)
    said = await failed(place, stalling.stuck_worker_is_killed)
    assert said == "a worker process was stuck, and nobody killed it"


async def test_it_sees_that_a_zone_is_wrong(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def midnight(*_: object) -> Iterator[int]:
        return iter([0, 0])

    monkeypatch.setattr(machine, "times_after", midnight)
    said = await failed(place, machine.zones_are_there)
    assert said.startswith("half past nine in Europe/Berlin is 00:00 and 00:00 UTC")


async def test_without_zones_they_are_not_here(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "available_timezones", set[str])
    found = await made(place, machine.zones_are_there)
    assert (found.verdict, "install tzdata" in found.text) == (Verdict.NOT_HERE, True)


class BackwardClock(FakeClock):
    """Goes back at each reading."""

    def monotonic(self) -> float:
        self.pass_seconds(-0.5)
        return super().monotonic()


async def test_it_sees_that_a_clock_goes_back_stands_still_or_was_never_set(place: Place) -> None:
    said = await failed(place, machine.Watch(BackwardClock()).clocks_go_on)
    assert said == "the steady clock went back by 0.5 s"
    still = machine.Watch(FakeClock())
    assert await failed(place, still.clocks_go_on) == "the steady clock stands still"
    unset = machine.Watch(FakeClock(datetime(1970, 1, 1, tzinfo=UTC)))
    assert "the wall clock says 1970-01-01" in await failed(place, unset.clocks_go_on)


async def test_a_clock_that_was_set_is_a_warning(place: Place) -> None:
    clock = FakeClock()
    watch = machine.Watch(clock)
    clock.advance(timedelta(seconds=3))
    clock.jump(timedelta(hours=-1))
    found = await held(place, watch.clocks_go_on)
    assert "was set back by 1 h during this run" in found.warnings[0]


async def test_it_sees_that_sqlite_is_too_old(place: Place) -> None:
    old = partial(machine.sqlite_is_fit, version=(3, 39, 4))
    assert "3.39.4, and 3.40.0 is the oldest" in await failed(place, old)
    new = await held(place, partial(machine.sqlite_is_fit, version=(3, 52, 0)))
    assert new.warnings == ()


async def test_it_sees_that_a_database_is_damaged(place: Place) -> None:
    await held(place, partial(dispatching.caps_hold, tasks=500))
    path = place.folder / "caps.db"
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8192] = os.urandom(8192)
    path.write_bytes(content)
    assert "caps.db: integrity:" in await failed(place, machine.databases_are_sound)


# --- how a check ends ---


async def test_what_a_check_cannot_try_or_raises_is_told_in_a_line(place: Place) -> None:
    async def absent(_: Place) -> Shown:
        raise Absent("no such thing here")

    async def raises(_: Place) -> Shown:
        async with anyio.create_task_group():
            raise OSError("the disk is gone")
        raise AssertionError("a task group does not keep an error to itself")

    async def hangs(_: Place) -> Shown:
        await anyio.sleep(60)
        return Shown(figure="")

    assert (await made(place, absent)).verdict is Verdict.NOT_HERE
    assert await failed(place, raises) == "it could not be checked: OSError: the disk is gone"
    said = await failed(place, hangs, limit=0.01)
    assert said.startswith("it was not over after 0.01 s: ")


async def test_a_process_that_ends_by_itself_is_told_with_its_last_words(place: Place) -> None:
    async with started(place.folder, "hold", place.folder / "nowhere" / "app.db") as child:
        with pytest.raises(Broken, match=r"ended by itself: .*nowhere does not exist"):
            await child.line()


# --- where, and what is said ---


def test_the_place_is_beside_the_database_and_gone_afterwards(tmp_path: Path) -> None:
    database = tmp_path / "app.db"
    database.write_bytes(b"mine")
    with scratch(database) as place:
        assert place.folder.parent == tmp_path
        assert place.folder.name.startswith(PREFIX)
        (place.folder / "something").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["app.db"]
    assert database.read_bytes() == b"mine"


def test_the_place_is_where_a_link_to_the_database_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "disk" / "app.db")
    with scratch(tmp_path / "link.db") as place:
        assert place.folder.parent == tmp_path / "disk"


def test_memory_and_the_temporary_folder_are_called_what_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def tmpfs(_: object) -> str:
        return "tmpfs"

    monkeypatch.setattr(places, "filesystem_of", tmpfs)
    with scratch(None) as place:
        assert place.is_memory
        first, *notes = opening(place)
        assert "(tmpfs)" in first
        assert [note for note in notes if "another disk" in note]
        assert [note for note in notes if "tmpfs is memory" in note]


def told(*verdicts: Verdict) -> list[Outcome]:
    return [
        Outcome(name="n", promise="P", verdict=verdict, text="t", warnings=("w",), seconds=0.5)
        for verdict in verdicts
    ]


def test_a_failure_is_in_the_summary_and_what_is_not_here_is_no_failure(place: Place) -> None:
    some = told(Verdict.OK, Verdict.NOT_HERE)
    assert holds(some)
    assert summary(some) == "1 promise holds, 1 could not be tried here, 2 warnings; 1 s"
    bad = told(Verdict.OK, Verdict.FAILED)
    assert not holds(bad)
    assert summary(bad).startswith("1 FAILED, 1 promise holds")
    assert document(place, bad)["holds"] is False


@pytest.mark.parametrize(
    ("database", "words"),
    [
        ("nowhere/app.db", "nowhere does not exist; name the place of a database"),
        ("/proc/1/app.db", "no folder can be made in /proc/1"),
    ],
)
def test_a_place_where_nothing_can_be_made_is_one_line(
    tmp_path: Path, database: str, words: str
) -> None:
    run = CliRunner().invoke(taskmill, ["--db", str(tmp_path / database), "selftest"])
    assert (run.exit_code, run.stdout) == (1, "")
    assert words in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.nightly)]
)
def test_a_signal_ends_it_and_nothing_is_left_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [*COMMAND, "--db", str(tmp_path / "app.db")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        assert first.startswith("taskmill selftest in ")
        while not list(tmp_path.glob(f"{PREFIX}*/{crashes.LEDGER}")):
            assert process.poll() is None
        process.send_signal(number)
        said = process.stderr.read()
        assert process.wait() == 130
    assert said == "taskmill: interrupted after 0 of 14 checks; nothing is left behind\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_terminal_there_is_no_escape_code_and_each_promise_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fine(_: Place) -> Shown:
        return Shown(figure="as it should be\x1b[2J", warnings=("look out",))

    async def broken(_: Place) -> Shown:
        raise Broken("it is not so")

    checks = [
        Check(name="one", promise="One holds", look=fine),
        Check(name="two", promise="Two holds", look=broken),
    ]
    monkeypatch.setattr(command, "all_checks", lambda: checks)
    run = CliRunner().invoke(taskmill, ["--db", str(tmp_path / "app.db"), "selftest"])
    assert run.exit_code == 1
    assert run.stdout.splitlines()[1:-1] == [
        "ok        One holds",
        r"          as it should be\x1b[2J",
        "warning   look out",
        "FAILED    Two holds",
        "          it is not so",
        "",
    ]
    assert run.stdout.splitlines()[-1].startswith("1 FAILED, 1 promise holds, 1 warning; ")
