"""Who dispatches from a SQLite file: one store at a time, and what is left when it is killed."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskmill.model.changes import Submit
from taskmill.model.errors import StoreError, StoreInUse
from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus
from taskmill.store.sqlite.files import lock_of

from .conformance import NOW, claim, new_task, record_of, sqlite_store, submit, submit_one

pytestmark = pytest.mark.anyio

HOLD = """
import sys
from datetime import datetime, timezone
import anyio
from taskmill.model.changes import CancelTask, Claim, Submit
from taskmill.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(now=datetime(2030, 1, 1, tzinfo=timezone.utc))
    await store.apply([Claim(1, 0), Claim(2, 0)])
    await store.apply([CancelTask(id=2, domain=None, reason=None, now_ms=0)])
    print("holding", flush=True)
    sys.stdin.read()
    await store.close()

anyio.run(main)
"""

TRY = """
import sys
from datetime import datetime, timezone
import anyio
from taskmill.model.errors import StoreError, StoreInUse
from taskmill.store.sqlite import SqliteStore

async def main():
    try:
        await SqliteStore(sys.argv[1]).open(now=datetime.now(timezone.utc))
    except StoreInUse as error:
        print(error)

anyio.run(main)
"""

FORK = """
import os
import sys
from datetime import datetime, timezone
import anyio
from taskmill.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open(now=datetime(2030, 1, 1, tzinfo=timezone.utc))
    told, tell = os.pipe()
    if os.fork() == 0:
        os.write(tell, b"!")
        os.read(0, 1)
        os._exit(0)
    os.read(told, 1)
    if sys.argv[2] == "close":
        await store.close()
    print("forked", flush=True)
    os.wait()

anyio.run(main)
"""


@contextmanager
def holding(path: Path) -> Generator[subprocess.Popen[str]]:
    """Another process that holds ``path`` open, with task 1 running and task 2 to stop."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "holding\n"
            yield process
        finally:
            process.kill()


LOOK = """
import sqlite3
import sys

database = sqlite3.connect(sys.argv[1])
print(database.execute("SELECT count(*) FROM taskmill_tasks").fetchone()[0])
database.close()
"""


async def populate(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit(store, new_task("a"), new_task("b"), new_task("c"))
    await store.close()


def assert_names(message: str, path: Path, pid: int) -> None:
    assert f"{path} is in use" in message
    assert f"process {pid} on {platform.node()}" in message
    assert "2030-01-01T00:00:00+00:00" in message


async def test_a_second_store_in_the_same_process_is_told_who_holds_the_file(path: Path) -> None:
    first, second = sqlite_store(path), sqlite_store(path)
    await first.open(now=NOW)
    with pytest.raises(StoreInUse) as caught:
        await second.open(now=NOW)
    assert_names(str(caught.value), path, os.getpid())
    await second.close()
    with pytest.raises(StoreInUse):
        await second.open(now=NOW)
    assert (await claim(first, await submit_one(first, new_task("a")))).run == 1
    await first.close()
    assert (await second.open(now=NOW)).recovered == 1
    await second.close()


async def test_another_process_is_told_who_holds_the_file(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    command = [sys.executable, "-c", TRY, str(path)]
    other = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: ASYNC221 - nothing else runs
    assert_names(other.stdout, path, os.getpid())
    assert other.stderr == ""
    assert (await claim(store, await submit_one(store, new_task("a")))).run == 1
    await store.close()


def looked_at(path: Path) -> int:
    """How many tasks a process finds that opens the file, reads and closes it."""
    command = [sys.executable, "-c", LOOK, str(path)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.parametrize("second", ["visits", "is refused"])
async def test_a_second_store_in_a_process_does_not_drop_the_locks_of_the_first(
    path: Path, second: str
) -> None:
    """Without them another process that closes the file removes the log under our feet."""
    store, other = sqlite_store(path), sqlite_store(path)
    await store.open(now=NOW)
    await submit(store, new_task("a"))
    if second == "visits":
        await other.visit()
    else:
        with pytest.raises(StoreInUse):
            await other.open(now=NOW)
    await other.close()
    assert looked_at(path) == 1
    await submit(store, new_task("b"))
    assert looked_at(path) == 2
    await store.close()


async def test_a_file_held_by_another_process_is_free_when_it_has_closed_it(path: Path) -> None:
    await populate(path)
    with holding(path) as process:
        store = sqlite_store(path)
        with pytest.raises(StoreInUse) as caught:
            await store.open(now=NOW)
        assert_names(str(caught.value), path, process.pid)
        process.communicate()
        assert process.returncode == 0
        assert (await store.open(now=NOW)).recovered == 1
    await store.close()


async def test_a_killed_process_leaves_the_file_free_and_its_runs_are_recovered(
    path: Path,
) -> None:
    await populate(path)
    with holding(path) as process:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    store = sqlite_store(path)
    opening = await store.open(now=NOW)
    assert (opening.recovered, opening.epoch) == (1, 3)
    interrupted, stopped, untouched = [await record_of(store, TaskId(n)) for n in (1, 2, 3)]
    assert (interrupted.status, interrupted.run, interrupted.attempt) == (TaskStatus.PENDING, 1, 0)
    assert (stopped.status, stopped.run) == (TaskStatus.CANCELLED, 1)
    assert (untouched.status, untouched.run) == (TaskStatus.PENDING, 0)
    assert (await claim(store, TaskId(1))).run == 2
    await store.close()


async def test_the_lock_file_stays_so_that_nobody_locks_another_one(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    lock = path.with_name("app.db.lock")
    before = lock.stat().st_ino
    await store.close()
    await store.open(now=NOW)
    assert lock.stat().st_ino == before
    await store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize("end", ["close", "kill"])
async def test_a_forked_child_does_not_keep_the_file_when_its_parent_has_let_go(
    path: Path, end: str
) -> None:
    with subprocess.Popen(  # noqa: ASYNC220 - nothing else runs
        [sys.executable, "-W", "ignore", "-c", FORK, str(path), end],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"forked\n"
        if end == "kill":
            parent.kill()
            parent.wait()
        store = sqlite_store(path)
        await store.open(now=NOW)
        await store.close()
        parent.stdin.close()


BORROW = """
import sys
from pathlib import Path
from taskmill.store.sqlite.files import lock_of

lock = lock_of(Path(sys.argv[1]))
assert lock.borrow()
print("borrowed", flush=True)
sys.stdin.readline()
"""


async def test_who_opens_waits_for_a_borrowed_lock_as_long_as_it_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Settling for a process that does not dispatch may take longer than any short wait."""
    store = sqlite_store(path)
    command = [sys.executable, "-c", BORROW, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as borrower:  # noqa: ASYNC220 - nothing else runs
        assert borrower.stdin is not None
        assert borrower.stdout is not None
        assert borrower.stdout.readline() == b"borrowed\n"
        waits = 0

        def pause(_: float) -> None:
            nonlocal waits
            waits += 1
            if waits == 1000:
                borrower.kill()  # while its note stays
                borrower.wait()

        monkeypatch.setattr("taskmill.store.sqlite.files.sleep", pause)
        await store.open(now=NOW)
    assert waits >= 1000
    await store.close()


async def test_a_borrower_is_not_taken_for_the_killed_dispatcher_before_it(path: Path) -> None:
    """What the dispatcher noted in the lock's file stays until a borrower has noted otherwise."""
    await populate(path)
    with holding(path) as process:
        process.kill()
        process.wait()
    lock, borrower = lock_of(path), lock_of(path)
    assert lock.is_kept()
    assert borrower.borrow()
    assert not lock.is_kept()
    assert not lock.borrow()
    assert lock.is_free()
    borrower.release()
    assert lock.acquire()
    assert lock.is_kept()
    assert not borrower.is_free()
    assert not borrower.acquire()
    lock.release()


async def test_who_was_replaced_as_the_dispatcher_writes_nothing_more(path: Path) -> None:
    """As when somebody removes the file of the lock, for it looks like one that was left."""
    first, second = sqlite_store(path), sqlite_store(path)
    await first.open(now=NOW)
    task = await submit_one(first, new_task("a"))
    lock_of(path).path.unlink()
    await second.open(now=NOW)
    with pytest.raises(StoreInUse, match="file of the lock was removed"):
        await claim(first, task)
    assert (await claim(second, task)).run == 1
    await first.close()
    await second.close()


@pytest.mark.parametrize("is_replaced", [False, True], ids=["removed", "replaced"])
async def test_nothing_is_accepted_into_a_file_that_is_gone(
    path: Path, *, is_replaced: bool
) -> None:
    store, visitor = sqlite_store(path), sqlite_store(path)
    await store.open(now=NOW)
    await visitor.visit()
    away = path.with_name("away.db")
    path.rename(away)
    if is_replaced:
        path.touch()
    with pytest.raises(StoreError, match="removed or replaced"):
        await submit(store, new_task("a"))
    with pytest.raises(StoreError, match="removed or replaced"):
        await visitor.request([Submit((new_task("a"),))], now=NOW)
    away.rename(path)
    await submit(store, new_task("a"))
    await visitor.close()
    await store.close()
