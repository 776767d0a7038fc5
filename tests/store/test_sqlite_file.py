"""The SQLite store as a file: where it may be, what it looks like, how disks fail it."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from time import time  # noqa: TID251 - the times of files go by it
from typing import Any

import anyio
import pytest

from taskmill.model.changes import CancelTask, Submit
from taskmill.model.errors import ConfigurationError, StoreError, StoreInUse
from taskmill.model.record import TaskId
from taskmill.store.sqlite import SqliteStore, files
from taskmill.store.sqlite.opening import PAGE
from taskmill.store.sqlite.statements import MIGRATIONS

from .conformance import (
    ANY,
    NOW,
    T0,
    apply_one,
    new_task,
    record_of,
    sqlite_store,
    submit,
    submit_one,
)

pytestmark = pytest.mark.anyio

MEGABYTE = "x" * 1024 * 1024


# --- the file ------------------------------------------------------------------------------------


async def test_the_stamp_of_a_file_tells_each_write_once_it_would_be_another(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    assert store.stamp() is None, "what comes in the same moment would leave no trace"
    for at in (time() - 2.9, time() + 100):
        os.utime(f"{path}-wal", (at, at))
        assert store.stamp() is None
    os.utime(f"{path}-wal", (time() - 10, time() - 10))
    stamp = store.stamp()
    assert stamp is not None
    assert store.stamp() == stamp
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("CREATE TABLE theirs (a)")
    assert store.stamp() != stamp
    await store.close()
    assert store.stamp() is None
    assert SqliteStore(":memory:").stamp() is None


async def test_only_the_owner_can_read_the_files(path: Path) -> None:
    before = os.umask(0)
    try:
        store = sqlite_store(path)
        await store.open(now=NOW)
        await submit_one(store, new_task("a"))
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await store.close()
    finally:
        os.umask(before)
    assert modes.keys() == {"app.db", "app.db-wal", "app.db-shm", "app.db.lock"}
    assert set(modes.values()) == {0o600}


async def test_a_file_that_is_there_keeps_its_mode(path: Path) -> None:
    path.touch()
    path.chmod(0o640)
    store = sqlite_store(path)
    await store.open(now=NOW)
    await store.close()
    assert path.stat().st_mode & 0o777 == 0o640


async def test_a_path_may_have_any_character(tmp_path: Path) -> None:
    store = sqlite_store(tmp_path / "a b?c=d#é%20.db")
    await store.open(now=NOW)
    await store.close()
    assert (tmp_path / "a b?c=d#é%20.db").stat().st_size > 0


async def test_tables_live_beside_an_applications_own(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE tasks (id INTEGER, title TEXT)")
        db.execute("CREATE TABLE tags (id INTEGER)")
        db.execute("CREATE TABLE meta (id INTEGER)")
        db.execute("INSERT INTO tasks VALUES (1, 'water the plants')")
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit(store, new_task("a"), new_task("b"))
    await store.close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT * FROM tasks").fetchall() == [(1, "water the plants")]
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        ours = {n for n in names if not n.startswith("sqlite_")} - {"tasks", "tags", "meta"}
        assert {"taskmill_meta", "taskmill_tasks", "taskmill_errors"} <= ours
        assert all(name.startswith("taskmill_") for name in ours)


# --- places that are no good ---------------------------------------------------------------------


async def refusal(path: Path) -> str:
    """What the StoreError says that opening ``path`` raises; nothing is held afterwards."""
    store = sqlite_store(path)
    with pytest.raises(StoreError) as caught:
        await store.open(now=NOW)
    await store.close()
    return str(caught.value)


async def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    message = await refusal(tmp_path / "missing" / "app.db")
    assert f"the directory {tmp_path / 'missing'} does not exist" in message
    assert not (tmp_path / "missing").exists()


async def test_a_directory_is_no_database(tmp_path: Path) -> None:
    assert "is no regular file" in await refusal(tmp_path)


async def test_a_file_that_is_no_database_is_refused_and_left_as_it_was(path: Path) -> None:
    text = "this is a letter, not a database\n" * 100
    path.write_text(text)
    assert "is no SQLite database" in await refusal(path)
    assert path.read_text() == text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
async def test_a_place_where_no_file_can_be_made_is_refused() -> None:
    assert "cannot be opened for writing" in await refusal(Path("/proc/app.db"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mountinfo")
async def test_a_network_filesystem_is_refused_by_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = files.filesystem_of(path.parent)
    assert own is not None
    monkeypatch.setattr(files, "NETWORK_FILESYSTEMS", frozenset({own}))
    assert f"network filesystem ({own})" in await refusal(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/data", "ext4"),
        ("/data/share", "nfs4"),
        ("/data/share/deep/er", "nfs4"),
        ("/data/shared", "ext4"),
        ("/data/my share", "cifs"),
        ("/data/share/local", "tmpfs"),
    ],
)
def test_the_deepest_mount_last_mounted_decides(tmp_path: Path, folder: str, expected: str) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /data/share rw shared:2 master:3 - ext4 /dev/sdb1 rw\n"
        "31 22 0:41 / /data/share rw shared:2 - nfs4 server:/export rw,vers=4.2\n"
        "32 22 0:42 / /data/my\\040share rw - cifs //server/x rw\n"
        "33 31 0:43 / /data/share/local rw - tmpfs tmpfs rw\n"
    )
    assert files.filesystem_of(Path(folder), mounts) == expected


def test_where_the_system_does_not_list_mounts_nothing_is_known(tmp_path: Path) -> None:
    assert files.filesystem_of(tmp_path, tmp_path / "missing") is None


# --- damage and other versions -------------------------------------------------------------------


async def populate(path: Path, count: int = 200) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit(
        store, *(new_task(f"{n}", payload=f"<payload {n:04}>".ljust(1000)) for n in range(count))
    )
    await store.close()


def damage(path: Path, pages: range) -> None:
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(b"\xff" * PAGE)


async def test_a_file_damaged_throughout_is_refused_in_plain_words(path: Path) -> None:
    await populate(path)
    damage(path, range(1, path.stat().st_size // PAGE))
    assert "the file is damaged, or the disk cannot be read" in await refusal(path)


async def test_a_damaged_page_fails_what_needs_it_and_nothing_else(path: Path) -> None:
    await populate(path)
    store = sqlite_store(path)
    await store.open(now=NOW)
    await store.apply(
        [CancelTask(id=TaskId(n), domain=None, reason=None, now_ms=T0) for n in range(1, 201)]
    )
    await store.close()
    page = path.read_bytes().index(b"<payload 0100>") // PAGE
    damage(path, range(page, page + 1))
    await store.open(now=NOW)
    with pytest.raises(StoreError, match="the file is damaged"):
        await store.get(TaskId(101))
    assert await store.get(TaskId(1)) is not None
    added = await submit_one(store, new_task("a"))
    assert (await record_of(store, added)).payload == '{"name":"a"}'
    await store.close()


async def test_a_file_cut_short_is_refused(path: Path) -> None:
    await populate(path)
    os.truncate(path, 3 * PAGE)
    assert "damaged" in await refusal(path)


async def test_a_file_of_a_newer_version_is_refused_naming_both(path: Path) -> None:
    await populate(path, 1)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE taskmill_meta SET value = '99' WHERE name = 'version'")
    message = await refusal(path)
    assert f"schema version 99 and this taskmill knows {len(MIGRATIONS)}" in message
    with closing(sqlite3.connect(path)) as db, db:
        meta = dict(db.execute("SELECT name, value FROM taskmill_meta").fetchall())
        assert (meta["version"], meta["epoch"]) == ("99", "1")
        db.execute("UPDATE taskmill_meta SET value = '1' WHERE name = 'version'")
    store = sqlite_store(path)
    assert (await store.open(now=NOW)).epoch == 2
    await store.close()


# --- full and read-only disks ---------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A filesystem of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def mount(folder: Path, *arguments: str) -> None:
    """Mount something on ``folder``, or skip the test where that is not allowed."""
    try:
        done = subprocess.run(["mount", *arguments, folder], capture_output=True, check=False)
    except OSError as error:
        pytest.skip(f"mount cannot be run: {error}")
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.decode(errors='replace').strip()}")


async def test_a_full_disk_loses_nothing_and_heals(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"\0" * 1200 * 1024)
    store = sqlite_store(small_disk / "app.db")
    await store.open(now=NOW)
    accepted: list[TaskId] = []
    failure: StoreError | None = None
    while failure is None:
        change = Submit((new_task(f"{len(accepted)}", payload="x" * 20_000),))
        try:
            effect = await apply_one(store, change)
        except StoreError as error:
            effect = error
        if isinstance(effect, StoreError):
            failure = effect
        else:
            assert isinstance(effect, tuple)
            accepted.append(effect[0].id)
    assert "disk" in str(failure)
    assert len(accepted) > 3
    assert [(await record_of(store, task)).id for task in accepted] == accepted
    ballast.unlink()
    accepted.append(await submit_one(store, new_task("healed", payload="x" * 20_000)))
    await store.close()
    await store.open(now=NOW)
    assert [(await record_of(store, task)).id for task in accepted] == accepted
    assert await store.count(ANY) == len(accepted)
    await store.close()


async def test_a_disk_that_is_full_at_opening_is_named(small_disk: Path) -> None:
    with (small_disk / "ballast").open("wb", buffering=0) as file:
        with pytest.raises(OSError) as full:
            shutil.copyfileobj(io.BytesIO(bytes(4 * len(MEGABYTE))), file, 4096)
        assert full.value.errno == errno.ENOSPC
    assert "disk" in await refusal(small_disk / "app.db")
    (small_disk / "ballast").unlink()
    store = sqlite_store(small_disk / "app.db")
    await store.open(now=NOW)
    await store.close()


async def test_a_read_only_disk_is_refused(small_disk: Path) -> None:
    path = small_disk / "app.db"
    await populate(path, 1)
    mount(small_disk, "-o", "remount,ro")
    assert "cannot be opened for writing" in await refusal(path)
    mount(small_disk, "-o", "remount,rw")
    store = sqlite_store(path)
    assert (await store.open(now=NOW)).epoch == 2
    await store.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
async def test_a_read_only_file_is_refused(path: Path) -> None:
    await populate(path, 1)
    path.chmod(0o400)
    assert "cannot be opened for writing" in await refusal(path)


async def test_a_link_to_a_file_in_use_is_in_use(path: Path) -> None:
    store, link = sqlite_store(path), path.with_name("link.db")
    await store.open(now=NOW)
    link.symlink_to(path)
    with pytest.raises(StoreInUse):
        await sqlite_store(link).open(now=NOW)


async def test_a_cancelled_close_lets_go_of_the_file(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await store.close()
    await sqlite_store(path).open(now=NOW)


async def test_a_lock_file_that_cannot_be_made_is_a_store_error(path: Path) -> None:
    path.with_name("app.db.lock").mkdir()
    with pytest.raises(StoreError, match=r"app\.db\.lock cannot be opened"):
        await sqlite_store(path).open(now=NOW)


async def test_a_pipe_is_refused_and_not_opened(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(StoreError, match="no regular file"):
        await sqlite_store(path).open(now=NOW)


async def test_the_shortest_text_is_no_database_and_is_left_alone(path: Path) -> None:
    path.write_text("x")
    with pytest.raises(StoreError, match="no SQLite database"):
        await sqlite_store(path).open(now=NOW)
    assert path.read_text() == "x"


@pytest.mark.parametrize("path", ["", b"app.db", "a\0b", 5, None])
def test_what_is_no_path_is_refused_where_it_is_written(path: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"the path of a database is a str or a Path"):
        SqliteStore(path)


async def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    assert "too long" in await refusal(tmp_path / ("x" * 300))
