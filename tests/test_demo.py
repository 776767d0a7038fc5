"""The demo as a whole: the right answer, whatever the tree holds and however often it is killed."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import signal
import sqlite3
import stat
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from time import sleep
from typing import Any

import anyio
import pytest

import taskmill.cli
from taskmill import (
    Completed,
    Domain,
    DomainKey,
    Scheduler,
    TaskCancelled,
    TaskRecord,
    TaskStatus,
)
from taskmill.demo.app import Found, Settings, find_duplicates, scheduler_of, submit_graph
from taskmill.demo.catalogue import Catalogue
from taskmill.demo.digest import DigestFiles, Digesting
from taskmill.demo.paths import OwnFiles, as_text
from taskmill.demo.report import Reporting
from taskmill.demo.scan import Scanning
from taskmill.demo.tally import Figures, Stage, Tally
from taskmill.demo.values import Run

COMMAND = (sys.executable, "-m", "taskmill", "demo")
PLAIN = {**os.environ, "TERM": "dumb", "PYTHONWARNINGS": "error"}
SIZE = 512
FILES = 3_000
FOLDERS = 30


class Elsewhere(DomainKey, name="elsewhere"):
    """A domain of another program."""


def plain_walk(root: Path) -> dict[str, list[str]]:
    """The right answer, found the simplest way: digest to sorted paths."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size:
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                found[digest].append(as_text(bytes(path)))
    return {digest: sorted(paths) for digest, paths in found.items() if len(paths) > 1}


def answer(found: Found) -> dict[str, list[str]]:
    return {g.sha256: sorted(map(as_text, g.paths)) for g in found.answer.groups}


def settings_of(root: Path, db: Path) -> Settings:
    return Settings(root=bytes(root), own=OwnFiles(db), concurrency=16)


def run_here(root: Path, db: Path) -> tuple[Found, Figures]:
    """Run the demo in this process and see what it counted."""
    settings, tally = settings_of(root, db), Tally()

    async def run() -> Found:
        with Catalogue(settings.own.catalogue) as catalogue:
            return await find_duplicates(settings, catalogue, tally)

    found = anyio.run(run)
    assert found.failed_tasks == 0
    return found, tally.figures()


def ended_tasks(db: Path) -> list[TaskRecord]:
    """All that runs have left in the task database, by id; nothing may be active."""
    domains: list[Domain[Any]] = [Domain(Scanning), Domain(Digesting), Domain(Reporting)]

    async def read() -> list[TaskRecord]:
        async with Scheduler(db, domains=domains) as scheduler:
            assert await scheduler.count() == 0
            return sorted(await scheduler.history(limit=10_000), key=lambda task: task.id)

    return anyio.run(read)


def run_command(*args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args], capture_output=True, text=True, timeout=60, env=PLAIN | env, check=False
    )


def grow(root: Path, *, files: int, folders: int = FOLDERS) -> Path:
    """A tree of files of one size, a third of them copies."""
    for number in range(files):
        folder = root / f"top{number % 3}" / f"folder{number % folders}"
        folder.mkdir(parents=True, exist_ok=True)
        content = str(number % (files * 2 // 3)).encode()
        (folder / f"file{number}").write_bytes(content.ljust(SIZE, b"."))
    return root


def digests_in(db: Path) -> int:
    with sqlite3.connect(f"file:{OwnFiles(db).catalogue}?mode=ro", uri=True) as connection:
        query = "SELECT count(*) FROM files WHERE digest IS NOT NULL"
        [count] = connection.execute(query).fetchone()
    connection.close()
    return int(count)


def end_when_read(root: Path, db: Path, digests: int, how: signal.Signals) -> tuple[int, str]:
    """Start the demo and signal it once ``digests`` are known; its exit code and error output."""
    with subprocess.Popen(
        [*COMMAND, root, "--db", db], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        while process.poll() is None:
            if OwnFiles(db).catalogue.exists():
                try:
                    if digests_in(db) >= digests:
                        process.send_signal(how)
                        break
                except sqlite3.OperationalError:  # the table is not there yet
                    pass
            sleep(0.005)
        _, errors = process.communicate(timeout=30)
    return process.returncode, errors


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grow(tmp_path_factory.mktemp("tree"), files=FILES)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "demo.db"


# --- the right answer ---


@pytest.fixture
def odd_tree(tmp_path: Path) -> Path:
    """Everything that is unusual about files, in one directory."""
    root = tmp_path / "odd"
    root.mkdir()
    for name in (b"\xff\xfe", b"new\nline", b"\x1b[31m", b"[red]", "ü✓".encode(), b"back\\x2d"):
        (root / os.fsdecode(name)).write_bytes(b"twin")
    (root / os.fsdecode(b"\xc3")).mkdir()
    (root / os.fsdecode(b"\xc3") / "inside").write_bytes(b"twin")
    (root / "empty1").touch()
    (root / "empty2").touch()
    (root / "linked").write_bytes(b"hard link")
    os.link(root / "linked", root / "link")
    far = root / "far"
    far.write_bytes(b"twin")
    os.utime(far, (12_000_000_000, 12_000_000_000))  # the year 2350
    (root / "loop").symlink_to(root)
    (root / "dangling").symlink_to("nowhere")
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "pipe2")
    deep = root
    for _ in range(30):
        deep = deep / "deep"
        deep.mkdir()
        (deep / "file").write_bytes(b"twin")
    return root


def test_odd_files_are_found_counted_or_passed_over(odd_tree: Path, db: Path) -> None:
    found, _ = run_here(odd_tree, db)
    assert answer(found) == plain_walk(odd_tree)
    counts = found.answer.counts
    assert (counts.symlinks, counts.specials, counts.hard_links) == (2, 2, 1)
    assert found.answer.problems == []


def test_paths_too_long_for_the_system_are_errors_and_no_more(tmp_path: Path, db: Path) -> None:
    root = tmp_path / "long"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(24):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir("d" * 200, dir_fd=here)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    found, _ = run_here(root, db)
    [problem] = found.answer.problems
    assert len(problem.path) >= os.pathconf(root, "PC_PATH_MAX")  # which counts the zero at its end
    assert problem.problem == "file name too long"
    assert found.answer.counts.files >= 20


def test_with_json_standard_output_is_one_object_and_nothing_else(odd_tree: Path, db: Path) -> None:
    done = run_command(odd_tree, "--db", db, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    document = json.loads(done.stdout)
    groups = document["duplicates"]
    assert {group["sha256"]: group["files"] for group in groups} == plain_walk(odd_tree)
    assert [group["wasted"] for group in groups] == [4 * 37, 0]
    assert document["totals"]["wasted_bytes"] == 4 * 37
    assert OwnFiles(db).json.read_text() == done.stdout


def test_the_summary_is_plain_text_where_there_is_no_terminal(odd_tree: Path, db: Path) -> None:
    done = run_command(odd_tree, "--db", db, TERM="xterm-256color", FORCE_COLOR="")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert "2 groups of duplicates, 148 B wasted" in done.stdout
    assert f"written: {OwnFiles(db).table}" in done.stdout


def test_the_database_may_lie_in_the_tree(tmp_path: Path) -> None:
    grow(tmp_path, files=30)
    first, _ = run_here(tmp_path, tmp_path / "demo.db")
    again, _ = run_here(tmp_path, tmp_path / "demo.db")
    assert again.answer == first.answer
    assert first.answer.counts.files == 30


# --- one graph ---


def test_a_run_is_one_graph_of_parents_children_and_dependencies(tree: Path, db: Path) -> None:
    run_here(tree, db)
    tasks = {task.id: task for task in ended_tasks(db)}
    scan, twins, report = (task for task in tasks.values() if task.parent is None)
    types = [task.type for task in (scan, twins, report)]
    assert types == ["scan::directories", "digest::twins", "report::write"]
    assert (twins.depends_on, report.depends_on) == ((scan.id,), (scan.id, twins.id))
    assert json.loads(scan.result or "")["directories"] == FOLDERS + 3
    parents = {"scan::directories": "scan::directories", "digest::files": "digest::twins"}
    for task in tasks.values():
        assert (task.status, task.tags) == (TaskStatus.COMPLETED, {"demo": str(tree)})
        if task.parent is not None:
            parent = tasks[task.parent]
            assert parent.type == parents[task.type]
            assert task.finished_at is not None
            assert parent.finished_at is not None
            assert task.finished_at <= parent.finished_at


def test_it_is_cancelled_as_a_whole_by_its_tag(tree: Path, db: Path) -> None:
    settings, run, tally = settings_of(tree, db), Run(bytes(tree)), Tally()

    async def cancelled() -> None:
        with Catalogue(settings.own.catalogue) as catalogue:
            async with (
                scheduler_of(settings, run, catalogue, tally) as scheduler,
                scheduler.events(DigestFiles) as events,
            ):
                graph = await submit_graph(scheduler, run, tally)
                async for event in events:
                    if isinstance(event, Completed):
                        break
                named = await scheduler.cancel_where(tags=run.tags)
                assert {graph.digests.id, graph.report.id} < set(named)
                with pytest.raises(TaskCancelled):
                    await scheduler.result(graph.report)
                await scheduler.idle()

    anyio.run(cancelled)
    ends = {(task.type, task.status) for task in ended_tasks(db)}
    assert ends == {
        ("scan::directories", TaskStatus.COMPLETED),
        ("digest::twins", TaskStatus.CANCELLED),
        ("digest::files", TaskStatus.COMPLETED),
        ("digest::files", TaskStatus.CANCELLED),
        ("report::write", TaskStatus.CANCELLED),
    }
    known = digests_in(db)
    found, figures = run_here(tree, db)
    assert answer(found) == plain_walk(tree)
    assert (figures.inherited, figures.bytes_read) == (0, (FILES - known) * SIZE)


def test_what_an_interrupted_run_left_can_be_cancelled(
    tree: Path, tmp_path: Path, db: Path
) -> None:
    assert run_command(tree, "--db", db, "--cancel").stderr == "taskmill: cancelled 0 tasks\n"
    assert not db.exists()
    end_when_read(tree, db, 10, signal.SIGINT)
    assert run_command(tmp_path, "--db", db, "--cancel").stderr == "taskmill: cancelled 0 tasks\n"
    done = run_command(tree, "--db", db, "--cancel")
    assert (done.returncode, done.stdout) == (0, "")
    number = done.stderr.removeprefix("taskmill: cancelled ").removesuffix(" tasks\n")
    assert int(number) > 2
    assert [task.status for task in ended_tasks(db)].count(TaskStatus.CANCELLED) == int(number)


# --- a second run ---


def test_a_second_run_reads_nothing_and_says_the_same(tmp_path: Path, db: Path) -> None:
    root = grow(tmp_path / "tree", files=60)
    first, _ = run_here(root, db)
    again, figures = run_here(root, db)
    assert (figures.bars[Stage.DIGEST].known, figures.bytes_read) == (0, 0)
    assert again.answer == first.answer


def test_a_second_run_reads_what_changed_and_forgets_what_vanished(
    tmp_path: Path, db: Path
) -> None:
    root = grow(tmp_path / "tree", files=60)
    run_here(root, db)
    changed, removed = root / "top0/folder0/file0", root / "top1/folder1/file1"
    changed.write_bytes(b"changed".ljust(SIZE, b"."))
    removed.unlink()
    found, figures = run_here(root, db)
    assert answer(found) == plain_walk(root)
    assert figures.bars[Stage.DIGEST].done == 1


def test_the_answer_is_about_the_directory_asked_for(tmp_path: Path, db: Path) -> None:
    root = grow(tmp_path / "tree", files=60)
    run_here(root, db)
    part, figures = run_here(root / "top0", db)
    assert figures.bytes_read == 0
    assert answer(part) == plain_walk(root / "top0")
    other, _ = run_here(grow(tmp_path / "other", files=6), db)
    assert answer(other) == plain_walk(tmp_path / "other")
    whole, figures = run_here(root, db)
    assert figures.bytes_read == 0
    assert answer(whole) == plain_walk(root)


# --- killed, interrupted, refused ---


def test_killed_three_times_it_gives_the_right_answer_and_reads_nothing_twice(
    tree: Path, db: Path
) -> None:
    for part in (1, 2, 3):
        end_when_read(tree, db, FILES * part // 4, signal.SIGKILL)
    known = digests_in(db)
    found, figures = run_here(tree, db)
    assert answer(found) == plain_walk(tree)
    assert figures.bytes_read == (FILES - known) * SIZE


DYING_WHILE_DIGESTS_ARE_SPAWNED = """
from taskmill import Context

async def spawn_many(self, tasks, spawn_many=Context.spawn_many):
    await spawn_many(self, tasks)
    if type(tasks[0]).__name__ == "DigestFiles":
        die()

Context.spawn_many = spawn_many
"""
DYING_AT_THE_END_OF_THE_LISTING = """
from taskmill.demo.catalogue import Catalogue

Catalogue.end_listing = lambda *_: die()
"""
DYING_AT_THE_END_OF_THE_DIGESTS = """
from taskmill import DomainHandle

count = DomainHandle.count
DomainHandle.count = lambda self, **where: die() if "parent" in where else count(self, **where)
"""


def run_and_die(root: Path, db: Path, dying: str) -> None:
    """Run the demo with a change to it that kills it with SIGKILL."""
    die = "import os\ndie = lambda: os.kill(os.getpid(), 9)\n"
    script = f"{die}{dying}\nfrom taskmill.cli import main\nmain()"
    killed = subprocess.run(
        [sys.executable, "-c", script, "demo", root, "--db", db], capture_output=True, check=False
    )
    assert killed.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("dying", "digests"),
    [(DYING_AT_THE_END_OF_THE_LISTING, 0), (DYING_AT_THE_END_OF_THE_DIGESTS, FILES)],
)
def test_killed_in_the_middle_of_finalizing_it_goes_on_and_reads_nothing_twice(
    tree: Path, db: Path, dying: str, digests: int
) -> None:
    run_and_die(tree, db, dying)
    assert digests_in(db) == digests
    found, figures = run_here(tree, db)
    assert answer(found) == plain_walk(tree)
    assert figures.bytes_read == (FILES - digests) * SIZE
    [first, second] = [task for task in ended_tasks(db) if task.type == "digest::twins"]
    if digests:
        assert (first.status, first.run) == (TaskStatus.COMPLETED, 3)
        assert first.id in second.depends_on
    else:
        assert (first.status, first.run) == (TaskStatus.DEPENDENCY_FAILED, 0)


def test_killed_while_digests_are_spawned_it_goes_on_and_reads_nothing_twice(
    tree: Path, db: Path
) -> None:
    run_and_die(tree, db, DYING_WHILE_DIGESTS_ARE_SPAWNED)
    known = digests_in(db)
    found, figures = run_here(tree, db)
    assert figures.inherited > 0
    assert answer(found) == plain_walk(tree)
    assert figures.bytes_read == (FILES - known) * SIZE


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(tree: Path, db: Path, how: signal.Signals) -> None:
    code, errors = end_when_read(tree, db, 10, how)
    assert code == 128 + how
    assert errors == f"taskmill: stopped by {how.name}; the next run goes on from here\n"


def test_what_a_killed_run_left_of_another_tree_is_not_read(
    tree: Path, tmp_path: Path, db: Path
) -> None:
    end_when_read(tree, db, 10, signal.SIGKILL)
    other = grow(tmp_path / "other", files=30)
    found, figures = run_here(other, db)
    assert answer(found) == plain_walk(other)
    assert figures.bytes_read == 30 * SIZE


def test_a_second_demo_on_the_same_database_is_refused(tmp_path: Path, db: Path) -> None:
    async def refused() -> subprocess.CompletedProcess[str]:
        async with Scheduler(db, domains=[Domain(Elsewhere)]):
            return await anyio.to_thread.run_sync(run_command, tmp_path, "--db", db)

    done = anyio.run(refused)
    assert done.returncode == 1
    assert done.stderr.startswith("taskmill: ")
    assert "in use" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("name", "code"), [("missing", 2), ("file", 2)])
def test_what_is_no_directory_is_refused(tmp_path: Path, db: Path, name: str, code: int) -> None:
    (tmp_path / "file").touch()
    done = run_command(tmp_path / name, "--db", db)
    assert done.returncode == code
    assert name in done.stderr


@pytest.mark.parametrize("name", ["demo.db", "demo-files.db"])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, db: Path, name: str) -> None:
    (tmp_path / name).write_text("not a database, but long enough to be one" * 100)
    done = run_command(tmp_path, "--db", db)
    assert done.returncode == 1
    assert name in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_leaves_no_traceback(tmp_path: Path, db: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, tmp_path, "--db", db], stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == b""


# --- the terminal and the command line ---


def in_terminal(*args: str | Path, **env: str) -> str:
    """What the demo writes to a terminal."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, *args], stdout=theirs, stderr=theirs, env=PLAIN | {"COLUMNS": "40"} | env
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 65536):
                written += chunk
        except OSError:  # how a terminal says that its other side was closed
            pass
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


def test_a_terminal_gets_bars_and_a_dumb_one_does_not(odd_tree: Path, db: Path) -> None:
    assert "\x1b" not in in_terminal(odd_tree, "--db", db, TERM="dumb")
    assert "\x1b[?25l" in in_terminal(odd_tree, "--db", db, TERM="xterm-256color")
    colourless = in_terminal(odd_tree, "--db", db, TERM="xterm-256color", NO_COLOR="1")
    assert "\x1b[38;" not in colourless


def test_without_its_extra_the_command_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(SystemExit) as ended:
        taskmill.cli.main()
    assert ended.value.code == 2
    assert "pip install 'taskmill[cli]'" in capsys.readouterr().err


def test_the_database_is_kept_in_the_cache_directory_by_default(tmp_path: Path) -> None:
    root = grow(tmp_path / "tree", files=6)
    done = run_command(root, "--json", XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert done.returncode == 0
    assert (tmp_path / "cache/taskmill/demo.db").exists()
