"""What is found out about a database file: sound, damaged, foreign, full, stopped or in use."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest

from taskmill.model.changes import Claim, Submit
from taskmill.model.errors import StoreError
from taskmill.model.record import TaskId
from taskmill.model.selection import Selection
from taskmill.model.status import ACTIVE
from taskmill.store.sqlite import surroundings
from taskmill.store.sqlite.backup import back_up
from taskmill.store.sqlite.doctor import examine, is_in_order
from taskmill.store.sqlite.findings import Finding, Severity
from taskmill.store.sqlite.inspecting import INSPECTION, dependents_of, types_of
from taskmill.store.sqlite.opening import PAGE
from taskmill.store.sqlite.statements import MIGRATIONS

from .conformance import NOW, T0, apply_one, new_task, sqlite_store, submit, submit_one

pytestmark = pytest.mark.anyio

SOUND = (3, 51, 3)
NOBODY = 65534
ANY_ACTIVE = Selection(statuses=ACTIVE)


async def found(path: Path) -> dict[str, Finding]:
    """The worst finding on each subject."""
    order = list(Severity)
    worst: dict[str, Finding] = {}
    for finding in await examine(path, version=SOUND):
        other = worst.get(finding.subject)
        if other is None or order.index(finding.severity) > order.index(other.severity):
            worst[finding.subject] = finding
    return worst


def bad(findings: dict[str, Finding]) -> dict[str, Severity]:
    return {s: f.severity for s, f in findings.items() if f.severity is not Severity.OK}


async def stopped(path: Path, *, count: int = 3) -> Path:
    """A database with some tasks, that nobody dispatches from."""
    store = sqlite_store(path)
    await store.open(now=NOW)
    for number in range(count):
        await submit_one(store, new_task(f"task {number}"))
    await store.close()
    return path


def write(path: Path, *statements: str | tuple[str, tuple[object, ...]]) -> None:
    """Do to a file what another program might."""
    with closing(sqlite3.connect(path)) as db, db:
        for statement in statements:
            if isinstance(statement, str):
                db.execute(statement)
            else:
                db.execute(*statement)


# --- sound ---------------------------------------------------------------------------------------


async def test_a_stopped_database_in_order_has_nothing_to_report(path: Path) -> None:
    findings = await found(await stopped(path))
    assert bad(findings) == {}
    assert findings["tasks"].sentence == "3 tasks on record: pending 3"
    assert findings["lock"].sentence.startswith("nobody dispatches; the last one was process")
    assert all(finding.advice is None for finding in findings.values())


async def test_one_in_use_is_examined_without_disturbing_its_dispatcher(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    one = await submit_one(store, new_task("a"))
    await apply_one(store, Claim(id=one, now_ms=T0))
    findings = await found(path)
    assert bad(findings) == {}
    assert findings["lock"].sentence.startswith(f"process {os.getpid()} on ")
    assert findings["running"].sentence == "1 task on record as running"
    await submit_one(store, new_task("b"))
    await store.close()


async def test_examining_changes_no_byte(path: Path) -> None:
    before = (await stopped(path)).read_bytes()
    await found(path)
    assert path.read_bytes() == before
    assert path.with_name("app.db-wal").stat().st_size == 0


async def test_an_old_library_is_a_warning_that_says_what_to_do(path: Path) -> None:
    await stopped(path)
    first = (await examine(path, version=(3, 51, 2)))[0]
    assert (first.subject, first.severity) == ("SQLite", Severity.WARNING)
    assert is_in_order([first])


# --- files ---------------------------------------------------------------------------------------


async def test_a_file_that_is_not_there_or_something_else_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database at all")
    for name in ("gone.db", "", "notes.txt"):
        findings = await found(tmp_path / name)
        assert bad(findings) == {"file": Severity.PROBLEM}
        assert not is_in_order(list(findings.values()))


async def test_an_empty_file_and_a_foreign_database_are_warnings(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch(0o600)
    assert bad(await found(tmp_path / "empty.db")) == {"file": Severity.WARNING}
    write(tmp_path / "other.db", "CREATE TABLE tasks (id INTEGER)")
    (tmp_path / "other.db").chmod(0o600)
    assert bad(await found(tmp_path / "other.db")) == {"schema": Severity.WARNING}


async def test_a_file_for_all_to_read_is_a_warning(path: Path) -> None:
    (await stopped(path)).chmod(0o644)
    findings = await found(path)
    assert bad(findings) == {"permissions": Severity.WARNING}
    assert findings["permissions"].advice == "chmod 600 app.db, unless that is meant"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
async def test_a_log_of_another_user_is_a_problem(path: Path) -> None:
    os.chown((await stopped(path)).with_name("app.db.lock"), 1234, -1)
    assert bad(await found(path)) == {"permissions": Severity.PROBLEM}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
async def test_a_user_who_may_not_write_can_examine_it() -> None:
    """Where no index of the log can be made."""
    with TemporaryDirectory() as folder:
        path = await stopped(Path(folder) / "app.db")
        path.chmod(0o644)
        Path(folder).chmod(0o755)
        said = await by_nobody(
            "print(*(f.sentence for f in anyio.run(examine, path)), sep='\\n')", path
        )
        copy = Path(folder) / "copy"
        copy.mkdir()
        os.chown(copy, NOBODY, -1)
        await by_nobody("anyio.run(back_up, path, path.with_name('copy') / 'copy.db')", path)
        assert (copy / "copy.db").stat().st_uid == NOBODY
    assert "every page and index is sound" in said
    assert "this user may not write to app.db or to its directory" in said


async def by_nobody(code: str, path: Path) -> str:
    """What a program prints that runs as a user with no rights."""
    program = (
        "import os, sys, anyio; from pathlib import Path; "
        "from taskmill.store.sqlite.backup import back_up; "
        "from taskmill.store.sqlite.doctor import examine; "
        f"os.setuid({NOBODY}); path = Path(sys.argv[1]); {code}"
    )
    run = await anyio.run_process([sys.executable, "-c", program, str(path)])
    return run.stdout.decode()


async def test_a_full_disk_is_a_problem_and_a_log_that_grows_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stopped(path)
    monkeypatch.setattr(surroundings, "NO_SPACE", 1 << 62)
    assert bad(await found(path)) == {"disk": Severity.PROBLEM}
    monkeypatch.setattr(surroundings, "NO_SPACE", 0)
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit_one(store, new_task("a"))
    monkeypatch.setattr(surroundings, "LONG_LOG", 1)
    assert bad(await found(path)) == {"log": Severity.WARNING}
    await store.close()


# --- pages ---------------------------------------------------------------------------------------


async def test_damaged_pages_are_a_problem_without_a_traceback(path: Path) -> None:
    await stopped(path, count=300)
    content = bytearray(path.read_bytes())
    for start in range(8 * PAGE, len(content) - PAGE, PAGE):
        content[start + 100 : start + 900] = b"\xff" * 800
    path.write_bytes(content)
    findings = await found(path)
    assert findings["integrity"].severity is Severity.PROBLEM
    assert "backup" in (findings["integrity"].advice or "")
    assert "\n" not in findings["integrity"].sentence


async def test_whichever_page_is_damaged_is_told_without_a_traceback(
    path: Path, tmp_path: Path
) -> None:
    """A page of the schema, too: SQLite believes what it says of the length of a row."""
    await stopped(path, count=50)
    content = path.read_bytes()
    told, lost = 0, 0
    places = [*range(PAGE, len(content), PAGE), *range(PAGE + 100, len(content), PAGE)]
    for start in places:
        damaged = bytearray(content)
        damaged[start : start + 800] = b"\xff" * 800
        path.write_bytes(damaged)
        told += (await found(path))["integrity"].severity is Severity.PROBLEM
        try:
            await back_up(path, tmp_path / f"{start}.db")
        except StoreError:
            lost += 1
    assert told > len(places) / 2, "in some the place holds nothing"
    assert lost, "where it is a page of an index, the copy is sound"


async def test_a_torn_first_page_and_a_cut_file_are_problems(path: Path) -> None:
    await stopped(path, count=300)
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\0" * 3000 + content[3100:])
    assert Severity.PROBLEM in bad(await found(path)).values()
    path.write_bytes(content[: len(content) // 2])
    assert Severity.PROBLEM in bad(await found(path)).values()
    path.write_bytes(content[:50])
    assert Severity.PROBLEM in bad(await found(path)).values()


async def test_a_schema_of_another_version_is_told(path: Path) -> None:
    await stopped(path)
    for stored, severity in (
        (str(len(MIGRATIONS) + 1), Severity.PROBLEM),
        ("0", Severity.WARNING),
        ("x", Severity.PROBLEM),
    ):
        write(path, ("UPDATE taskmill_meta SET value = ? WHERE name = 'version'", (stored,)))
        assert (await found(path))["schema"].severity is severity


async def test_another_journal_mode_is_a_warning(path: Path) -> None:
    await stopped(path)
    write(path, "PRAGMA journal_mode = DELETE")
    assert bad(await found(path)) == {"journal": Severity.WARNING}


# --- rows ----------------------------------------------------------------------------------------


async def test_rows_of_tasks_that_are_gone_are_a_problem(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    one = await submit_one(store, new_task("a", tags={"k": "v"}))
    await submit_one(store, new_task("b", depends_on=(one,)))
    await store.close()
    write(
        path,
        "PRAGMA foreign_keys = OFF",
        "DELETE FROM taskmill_tasks",
        "INSERT INTO taskmill_errors VALUES (9, 1, 0, 't', 'm', '')",
    )
    orphans = (await found(path))["orphans"]
    assert orphans.severity is Severity.PROBLEM
    assert orphans.sentence.endswith("1 tags, 1 errors, 1 edges")


async def test_what_a_killed_process_left_is_a_warning(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    one = await submit_one(store, new_task("a"))
    await apply_one(store, Claim(id=one, now_ms=T0))
    await store.close()
    write(path, "INSERT INTO taskmill_inbox (body) VALUES ('{}')")
    assert bad(await found(path)) == {"running": Severity.WARNING, "inbox": Severity.WARNING}


async def test_tasks_that_nothing_will_move_are_named(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    first = await submit_one(store, new_task("a"))
    await apply_one(store, Submit((new_task("b", depends_on=(first,)),)))
    assert bad(await found(path)) == {}
    await store.close()
    write(path, "UPDATE taskmill_edges SET is_met = 1")
    stuck = (await found(path))["stuck"]
    assert (stuck.severity, stuck.sentence) == (
        Severity.PROBLEM,
        f"blocked by nothing that could end: {first + 1}",
    )


async def test_a_lock_whose_recorded_process_is_gone_is_a_warning(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    gone = await anyio.run_process([sys.executable, "-c", "import os; print(os.getpid())"])
    pid = int(gone.stdout)
    change = (
        "UPDATE taskmill_meta SET value = json_set(value, '$.pid', ?) WHERE name = 'dispatcher'"
    )
    write(path, (change, (pid,)))
    assert bad(await found(path)) == {"lock": Severity.WARNING}
    await store.close()


def test_every_statement_of_an_examination_is_one_under_a_comment() -> None:
    for name, text in INSPECTION.items():
        assert text.startswith("-- "), name
        assert sqlite3.complete_statement(text + ";")


async def test_types_and_dependents_are_read_without_a_dispatcher(path: Path) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    one = await submit_one(store, new_task("a"))
    two = await submit_one(store, new_task("b", depends_on=(one,)))
    three = await submit_one(store, new_task("c", depends_on=(one, two)))
    assert await types_of(path) == [new_task("a").type]
    assert await dependents_of(path, one, limit=10) == [two, three]
    assert await dependents_of(path, one, limit=1) == [two]
    assert await dependents_of(path, TaskId(99), limit=1) == []
    await store.close()


# --- backups -------------------------------------------------------------------------------------


async def test_a_backup_of_a_database_in_use_is_whole_and_its_owners_alone(
    path: Path, tmp_path: Path
) -> None:
    store = sqlite_store(path)
    await store.open(now=NOW)
    await submit(store, *(new_task(f"task {number}") for number in range(50)))
    copy = tmp_path / "it's a copy.db"
    before = os.umask(0)
    try:
        size = await back_up(path, copy)
    finally:
        os.umask(before)
    await submit_one(store, new_task("later"))
    await store.close()
    assert (size, copy.stat().st_mode & 0o777) == (copy.stat().st_size, 0o600)
    restored = sqlite_store(copy)
    await restored.open(now=NOW)
    assert len(await restored.ids(ANY_ACTIVE)) == 50
    await restored.close()


async def test_a_backup_overwrites_nothing(path: Path, tmp_path: Path) -> None:
    await stopped(path)
    for name in ("empty", "full"):
        (tmp_path / name).write_text("" if name == "empty" else "mine")
        with pytest.raises(StoreError, match="exists, and is not overwritten"):
            await back_up(path, tmp_path / name)
    assert (tmp_path / "full").read_text() == "mine"
    with pytest.raises(StoreError, match="No such file or directory"):
        await back_up(path, tmp_path / "nowhere" / "copy.db")
    with pytest.raises(StoreError):
        await back_up(path, path)


async def test_nothing_is_left_of_a_backup_that_failed(path: Path, tmp_path: Path) -> None:
    await stopped(path, count=300)
    content = bytearray(path.read_bytes())
    for start in range(8 * PAGE, len(content) - PAGE, PAGE):
        content[start + 100 : start + 900] = b"\xff" * 800
    path.write_bytes(content)
    with pytest.raises(StoreError):
        await back_up(path, tmp_path / "copy.db")
    with pytest.raises(StoreError):
        await back_up(tmp_path / "gone.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


async def test_a_backup_that_the_disk_has_no_room_for_leaves_nothing(
    path: Path, tmp_path: Path
) -> None:
    await stopped(path, count=300)
    program = (
        "import resource, sys, anyio; from pathlib import Path; "
        "from taskmill.store.sqlite.backup import back_up; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "anyio.run(back_up, *map(Path, sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, str(path), str(tmp_path / "copy.db")]
    run = await anyio.run_process(command, check=False)
    assert run.returncode == 1
    assert b"taskmill.model.errors.StoreError" in run.stderr
    assert not (tmp_path / "copy.db").exists()


async def test_a_backup_can_be_interrupted_and_leaves_nothing(path: Path, tmp_path: Path) -> None:
    await stopped(path, count=300)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await back_up(path, tmp_path / "copy.db")
    assert scope.cancelled_caught
    assert not (tmp_path / "copy.db").exists()
