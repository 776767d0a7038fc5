"""Files that cannot be written for a while, or for good: callers are told, and nothing is lost."""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from taskmill import Scheduler, SqliteStore, StoreError, TaskRecord, TaskStatus
from taskmill.testing import virtual_time
from tests.life.app import Diary, Nap, domains
from tests.processes import running
from tests.trust import patient
from tests.trust.ledger import Ledger, check, entries

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def set_patience(store: SqliteStore, milliseconds: int) -> None:
    """Have the writing connection wait so long for others, in place of five seconds."""
    assert store._writer is not None
    await store._writer.run(lambda db: db.execute(f"PRAGMA busy_timeout = {milliseconds}").close())


@pytest.mark.parametrize("held", [10, 600])
async def test_a_writer_that_holds_on_delays_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, held: int
) -> None:
    path = tmp_path / "app.db"
    store, diary = SqliteStore(path), Diary()
    async with virtual_time() as clock:
        scheduler = Scheduler(
            store=store, domains=domains(diary), clock=clock, loop_limit=None, poll_interval=HOUR
        )
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            async with scheduler:
                await set_patience(store, 0)
                running = await scheduler.submit(Nap(name="running", seconds=1))
                waiting = await scheduler.submit(Nap(name="waiting"), delay=timedelta(seconds=5))
                await anyio.sleep(0.5)
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="another process has been writing for over"):
                    await scheduler.submit(Nap(name="refused"))
                await anyio.sleep(held)
                assert (await scheduler.get(running.id)).status is TaskStatus.RUNNING
                assert diary.lines == ["nap running"]
                other.execute("ROLLBACK")
                assert await scheduler.result(running, timeout=timedelta(minutes=1)) == "running"
                assert await scheduler.result(waiting, timeout=timedelta(minutes=1)) == "waiting"
                await scheduler.idle()
                ended = await scheduler.tasks(status=list(TaskStatus))
    assert [(record.status, record.run) for record in ended] == [(TaskStatus.COMPLETED, 1)] * 2
    assert diary.lines == ["nap running", "nap waiting"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "writing failed, nothing new starts until it works again",
        "writing works again",
    ]


# --- a disk that fails ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sick_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that has the system calls of a process fail; see its source."""
    compiler, library = shutil.which("cc"), tmp_path_factory.mktemp("sick") / "sick_disk.so"
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("a failing disk needs Linux and a C compiler, cc")
    source = Path(__file__).with_name("sick_disk.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


FAULTS = {
    "writes": (f"{errno.EIO} w", "the disk cannot be read or written"),
    "syncs": (f"{errno.EIO} s", "the disk cannot be read or written"),
    "no room": (f"{errno.ENOSPC} w", "the disk is full; free some space"),
    "everything": (f"{errno.EIO} wsr", "the disk cannot be read"),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_disk_that_fails_for_a_while_costs_refusals_and_nothing_else(
    tmp_path: Path, sick_disk: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path, ledger, log, sick = (tmp_path / name for name in ("app.db", "ledger", "log", "sick"))
    fault, advice = FAULTS[kind]
    monkeypatch.setenv("LD_PRELOAD", str(sick_disk))
    monkeypatch.setenv("SICK", str(sick))
    with running("tests.trust.patient", path, ledger, log=log) as process:
        monkeypatch.undo()
        process.read_until("accepted 20")
        for _ in range(2):
            note = sick.with_name("note")
            note.write_text(fault)
            note.rename(sick)
            for _ in range(3):
                line = process.read_until("refused")
                assert advice in line
            sick.unlink()
            for _ in range(20):
                process.read_until("accepted")
        process.process.terminate()
        process.read_all()
        assert process.process.wait() == 0
    said = log.read_text().splitlines()
    assert {line.split(":")[0] for line in said} == {
        "writing failed, nothing new starts until it works again",
        "writing works again",
    }
    assert len(said) <= 8
    found = entries(ledger)
    check(found, {})
    again = Ledger(ledger)
    async with patient.service(str(path), again) as scheduler:
        await scheduler.idle()
        ended = {record.id: record async for record in all_of(scheduler)}
    again.close()
    assert {entry.task for entry in found if entry.word == "accept"} <= ended.keys()
    for record in ended.values():
        assert (record.status, record.run) == (TaskStatus.COMPLETED, 1)
        assert record.result == f'"{json.loads(record.payload)["name"]}"'
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def all_of(scheduler: Scheduler) -> AsyncGenerator[TaskRecord]:
    """Every task there is."""
    after = None
    while True:
        page = await scheduler.tasks(status=list(TaskStatus), limit=1000, after=after)
        for record in page:
            yield record
        after = page.next
        if after is None:
            return
