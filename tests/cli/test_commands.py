"""The commands, on a database that a scheduler works on and on one that nobody has open."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from taskmill import Every, Priority, RetryPolicy, TaskStatus
from taskmill.cli.commands import COMMANDS, taskmill
from tests.cli.live import COMMAND, ENVIRONMENT, Live, called, document, live, said
from tests.engine.app import Errand, Fail, Nap

pytestmark = pytest.mark.anyio

LONG = 1000
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


# --- which database ------------------------------------------------------------------------------


async def test_the_database_is_named_before_or_after_the_command_or_by_a_variable(
    path: Path,
) -> None:
    async with live(path):
        pass
    assert await said(path, "list") == "no active task"
    for arguments, env in (
        (("list", "--db", str(path)), {}),
        (("list",), {"TASKMILL_DB": str(path)}),
        (("schedules", "pause", "x", "--db", str(path)), {}),
    ):
        result = await called(None, *arguments, env=env)
        assert result.exit_code == (1 if "pause" in arguments else 0), result.output
    wins = await called(None, "list", "--db", str(path), env={"TASKMILL_DB": "/nowhere"})
    assert wins.exit_code == 0


async def test_without_a_database_a_command_says_how_to_name_one() -> None:
    result = await called(None, "list", env={"TASKMILL_DB": ""})
    assert result.exit_code == 2
    assert "Name its file with --db, or in the variable TASKMILL_DB" in result.stderr


@pytest.mark.parametrize("command", [("list",), ("show", "1"), ("top", "--once"), ("backup", "b")])
async def test_what_is_no_database_is_one_line_and_is_not_made(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "notes.txt").write_text("not a database")
    (tmp_path / "empty").touch()
    for name, words in (
        ("gone.db", "does not exist"),
        ("notes.txt", "is no SQLite database"),
        ("empty", "is empty"),
    ):
        result = await called(tmp_path / name, *command)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("taskmill: ")
        assert words in result.stderr
        assert result.stderr.count("\n") == 1
    assert {file.name for file in tmp_path.iterdir()} == {"notes.txt", "empty"}


async def test_a_command_without_a_database_takes_none(path: Path) -> None:
    result = await called(path, "routes", "x:y")
    assert result.exit_code == 2
    assert "routes takes no --db" in result.stderr


def test_every_command_is_where_it_is_said_to_be_and_takes_json() -> None:
    context = taskmill.make_context("taskmill", [], resilient_parsing=True)
    for name in COMMANDS:
        command = taskmill.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert command.help, name
        options = {option for p in command.params for option in p.opts}
        assert "--json" in options or name in ("run", "completion"), name


# --- looking -------------------------------------------------------------------------------------


async def test_list_shows_active_tasks_and_what_holds_them(path: Path) -> None:
    async with live(path, max_concurrency=1) as app:
        one = await app.start(Nap(name="a", seconds=LONG), label="first\x1b[2J")
        await app.work.submit(Nap(name="b"), delay=HOUR, group="s3", priority=Priority.HIGH)
        await app.work.submit(Nap(name="c"), depends_on=[one.id])
        await app.scheduler.submit(Errand())
        lines = (await said(path, "list")).splitlines()
        assert lines[0].split() == ["id", "status", "pri", "type", "group", "label"]
        assert lines[1].split()[:5] == ["1", "running", "128", "work::nap", r"first\x1b[2J"]
        assert lines[2].split()[:7] == ["2", "pending", "64", "work::nap", "s3", "due", "in"]
        assert lines[3].split()[:3] == ["3", "blocked", "128"]
        assert lines[4].split()[:4] == ["4", "pending", "128", "other::errand"]
        assert len((await said(path, "list", "--domain", "other")).splitlines()) == 2
        found = await document(path, "list", "--status", "pending", "--group", "s3")
        [task] = found["tasks"]
        assert found["next"] is None
        assert task["payload"] == {"name": "b", "seconds": 0}
        assert datetime.fromisoformat(task["created_at"]).tzinfo is UTC
        assert task["created_at"].endswith("Z")
        assert await said(path, "list", "--tag", "job=7") == "no active task matches"
        assert await said(path, "list", "--status", "dead") == "no task"


async def test_list_goes_from_page_to_page(path: Path) -> None:
    async with live(path, max_concurrency=1) as app:
        await app.work.submit_many([Nap(name=str(n), seconds=LONG) for n in range(5)])
        first = await called(path, "list", "--limit", "3")
        assert len(first.stdout.splitlines()) == 4
        assert first.stderr == "there are more: --after t3\n"
        second = await called(path, "list", "--limit", "3", "--after", "t3")
        assert [line.split()[0] for line in second.stdout.splitlines()[1:]] == ["4", "5"]
        assert second.stderr == ""
        wrong = await called(path, "list", "--after", "x")
        assert wrong.exit_code == 2
        assert wrong.stderr.startswith("taskmill: after takes the cursor of a page")


async def test_show_tells_everything_about_a_task(path: Path) -> None:
    retry = RetryPolicy.constant(1, timedelta(0))
    async with live(path) as app:
        bad = await app.work.submit(
            Fail(name="\x1b]0;x\x07"), retry=retry, tags={"job": "7"}, group="s3", key="k"
        )
        after = await app.work.submit(Nap(name="z"), depends_on=[bad.id])
        await app.work.wait(bad.id)
        shown = await said(path, "show", str(bad.id))
        explained = str(await app.work.explain(bad.id))
        sheet = await document(path, "show", str(bad.id))
        full = await said(path, "show", str(bad.id), "--full")
    assert "\x1b" not in shown + full
    for words in (
        "task 1  work::fail  dead",
        "group       s3",
        "tags        job=7",
        "key         k",
        "attempts    2 counted of 2 runs",
        r"\u001b]0;x\u0007",
        "errors (2)",
        "run 2, ",
        "ValueError: no luck in run 2",
        "depended on by\n  2  dependency_failed  work::nap",
        explained,
    ):
        assert words in shown
    assert "Traceback" in full
    assert "Traceback" not in shown
    assert [child["id"] for child in sheet["dependents"]] == [after.id]
    assert sheet["task"]["status"] == "dead"
    assert len(sheet["task"]["errors"]) == 2
    assert sheet["explanation"]["status"] == "dead"


async def test_show_has_the_progress_of_a_task_that_runs_and_shortens_what_is_long(
    path: Path,
) -> None:
    async with live(path) as app:
        name = "x" * 900
        task = await app.start(Nap(name=name, seconds=LONG))
        short = await said(path, "show", str(task.id))
        assert "characters; --full prints them all" in short
        assert "executor    inline" in short
        assert name in await said(path, "show", str(task.id), "--full")


async def test_explain_is_the_dispatchers_own_explanation(path: Path) -> None:
    async with live(path, max_concurrency=1) as app:
        await app.start(Nap(name="a", seconds=LONG))
        task = await app.work.submit(Nap(name="b"), group="g")
        await app.scheduler.pause_group("g")
        told = await said(path, "explain", str(task.id))
        assert "is paused" in told
        assert "\n- " in told
        explained = await document(path, "explain", str(task.id))
        assert explained["holds"][0]["gate"] == "group_pause"


@pytest.mark.parametrize("command", ["show", "explain", "cancel", "retry"])
async def test_a_task_that_is_not_there_is_a_line_and_code_1(path: Path, command: str) -> None:
    async with live(path):
        result = await called(path, command, "99")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "taskmill: there is no task 99 here\n"


async def test_stats_and_dead_letters(path: Path) -> None:
    retry = RetryPolicy.constant(0, timedelta(0))
    async with live(path) as app:
        assert await said(path, "stats") == "no task is on record"
        assert await said(path, "dead") == "no dead letter"
        done = await app.work.submit(Nap(name="a"))
        dead = await app.work.submit(Fail(name="b"), retry=retry)
        await app.work.wait(done.id)
        await app.work.wait(dead.id)
        lines = (await said(path, "stats")).splitlines()
        assert lines[1].split()[:5] == ["work::fail", "0", "0", "1", "0"]
        assert lines[2].split()[:5] == ["work::nap", "1", "0", "0", "0"]
        [nap] = await document(path, "stats", "work::nap")
        assert nap["counts"] == {"completed": 1}
        assert nap["failure_rate"] == 0
        lines = (await said(path, "dead")).splitlines()
        assert lines[1].split()[:2] == ["2", "work::fail"]
        assert lines[1].endswith("ValueError: no luck in run 1")
        assert await said(path, "dead", "--type", "work::nap") == "no dead letter matches"
        assert [t["id"] for t in (await document(path, "dead"))["tasks"]] == [dead.id]


# --- changing ------------------------------------------------------------------------------------


async def test_cancel_by_id_does_what_it_can_and_tells_what_it_could_not(path: Path) -> None:
    async with live(path) as app:
        one = await app.start(Nap(name="a", seconds=LONG))
        two = await app.work.submit(Nap(name="b"), delay=HOUR)
        done = await app.work.submit(Nap(name="c"))
        await app.work.wait(done.id)
        result = await called(path, "cancel", *map(str, (one.id, two.id, done.id, 99)))
        assert result.exit_code == 1
        assert result.stdout == "task 1: cancelled\ntask 2: cancelled\n"
        assert result.stderr == (
            "taskmill: task 3 had ended already\ntaskmill: there is no task 99 here\n"
        )
        assert (await app.work.wait(one.id)).status is TaskStatus.CANCELLED


async def test_cancel_by_filters_asks_unless_told_not_to(path: Path) -> None:
    async with live(path) as app:
        await app.work.submit_many([Nap(name=str(n)) for n in range(5)], delay=HOUR)
        await app.scheduler.submit(Errand(), delay=HOUR)
        asked = await called(path, "cancel", "--domain", "work")
        assert asked.exit_code == 2
        assert "Cancel 5 active tasks?" in asked.stderr
        assert "say --yes" in asked.stderr
        assert await said(path, "cancel", "--domain", "work", "--yes") == "5 tasks cancelled"
        assert await said(path, "cancel", "--domain", "work", "-y") == "no active task matches"
        assert await document(path, "cancel", "--all", "-y") == {"done": [6], "failed": {}}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel",), "which tasks?"),
        (("cancel", "1", "--domain", "work"), "exclude each other"),
        (("cancel", "1", "--all"), "exclude each other"),
        (("retry", "--all", "--group", "g"), "exclude each other"),
        (("cancel", "x"), "not a valid integer"),
        (("prune",), "which tasks?"),
        (("prune", "--all", "--status", "pending"), "only tasks that have ended"),
        (("pause", "--domain", "a", "--group", "b"), "exclude each other"),
        (("pause", "--for", "10m"), "go with --group"),
        (("pause", "--group", "g", "--for", "1h", "--until", "2999-01-01"), "exclude each other"),
        (("pause", "--group", "g", "--until", "2001-01-01"), "is over"),
        (("reprioritise", "1", "soon"), "a priority is 0 to 255"),
        (("list", "--limit", "0"), "range"),
        (("dead", "--status", "pending"), "a dead letter has ended"),
    ],
)
async def test_a_wrong_command_line_is_told_before_anything_is_done(
    path: Path, arguments: tuple[str, ...], words: str
) -> None:
    result = await called(path, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


async def test_retry_revives_dead_letters(path: Path) -> None:
    retry = RetryPolicy.constant(0, timedelta(0))
    async with live(path) as app:
        dead = [await app.work.submit(Fail(name=str(n), times=1), retry=retry) for n in range(3)]
        for each in dead:
            await app.work.wait(each.id)
        assert await said(path, "retry", str(dead[0].id)) == "task 1: pending again"
        assert await said(path, "retry", "--type", "work::fail", "-y") == "2 tasks pending again"
        for each in dead:
            assert (await app.work.wait(each.id)).status is TaskStatus.COMPLETED
        assert await said(path, "retry", "--all") == "no dead letter matches"
        told = await said(path, "retry", "--status", "completed", "-y")
        assert told == "0 tasks pending again; 3 cannot be revived"
        refused = await called(path, "retry", str(dead[0].id))
        assert refused.exit_code == 1
        assert "completed" in refused.stderr


async def test_reprioritise_takes_numbers_and_names(path: Path) -> None:
    async with live(path) as app:
        task = await app.work.submit(Nap(name="a"), delay=HOUR)
        assert await said(path, "reprioritise", "1", "high") == "task 1 has priority 64"
        assert (await app.work.get(task.id)).priority == 64
        assert await document(path, "reprioritise", "1", "7") == {"id": 1, "priority": 7}


async def test_pause_and_resume_reach_the_scheduler_a_domain_and_a_group(path: Path) -> None:
    async with live(path) as app:
        assert await said(path, "pause") == "the scheduler is paused"
        assert app.scheduler.is_paused
        assert await said(path, "pause", "--domain", "work") == "domain 'work' is paused"
        assert app.work.is_paused
        assert await said(path, "resume") == "the scheduler is not paused"
        assert await said(path, "resume", "--domain", "work") == "domain 'work' is not paused"
        assert not app.scheduler.is_paused
        assert not app.work.is_paused
        told = await said(path, "pause", "--group", "s3", "--for", "10m", "--no-interrupt")
        assert told.startswith("group 's3' is paused until ")
        groups = await app.scheduler.paused_groups()
        assert groups.keys() == {"s3"}
        assert groups["s3"] is not None
        assert await document(path, "resume", "--group", "s3") == {"resumed": "group", "name": "s3"}
        assert await app.scheduler.paused_groups() == {}


async def test_schedules_are_listed_paused_resumed_and_cancelled(path: Path) -> None:
    async with live(path) as app:
        assert await said(path, "schedules") == "no schedule"
        await app.work.schedule(Nap(name="a"), Every(HOUR), name="hourly")
        row = (await said(path, "schedules")).splitlines()[1].split()
        assert row[:6] == ["work", "hourly", "active", "every", "1", "h"]
        assert await said(path, "schedules", "pause", "hourly") == "schedule 'hourly' is paused"
        told = await said(path, "schedules", "resume", "hourly", "--domain", "work")
        assert told.startswith("schedule 'hourly' is active, next ")
        [record] = await document(path, "schedules")
        assert record["name"] == "hourly"
        assert record["payload"] == {"name": "a", "seconds": 0}
        ended = await document(path, "schedules", "cancel", "hourly")
        assert ended["status"] == "ended"
        gone = await called(path, "schedules", "pause", "daily")
        assert gone.exit_code == 1
        assert gone.stderr == "taskmill: no domain has a schedule 'daily'\n"


async def test_prune_deletes_what_ended_long_enough_ago(path: Path) -> None:
    async with live(path) as app:
        assert await said(path, "prune", "--all") == "no ended task"
        tasks = [await app.work.submit(Nap(name=str(n))) for n in range(3)]
        for task in tasks:
            await app.work.wait(task.id)
        assert await said(path, "prune", "--older-than", "1h") == "no ended task matches"
    with closing(sqlite3.connect(path)) as db, db:
        hour = 3_600_000
        db.execute(
            "UPDATE taskmill_tasks SET created_at_ms = created_at_ms - ?, "
            "finished_at_ms = finished_at_ms - ? WHERE id <> ?",
            (2 * hour, 2 * hour, tasks[0].id),
        )
    asked = await called(path, "prune", "--older-than", "1h")
    assert "Delete the records of 2 ended tasks?" in asked.stderr
    assert await said(path, "prune", "--older-than", "1h", "--yes") == "deleted 2 tasks"
    assert await document(path, "prune", "--all", "-y") == {"deleted": 1, "kept": 0}


# --- a database that nobody has open -------------------------------------------------------------


async def test_a_stopped_database_is_read_and_changed_all_the_same(path: Path) -> None:
    async with live(path, max_concurrency=1) as app:
        one = await app.work.submit(Nap(name="a"), delay=HOUR)
        two = await app.work.submit(Nap(name="b"), delay=HOUR)
        await app.work.schedule(Nap(name="c"), Every(HOUR), name="hourly")
        bad = await app.work.submit(Fail(permanent=True))
        await app.work.wait(bad.id)
    assert "pending" in await said(path, "list")
    assert "As stored: " in await said(path, "explain", str(one.id))
    assert await said(path, "cancel", str(one.id)) == "task 1: cancelled"
    assert await said(path, "retry", str(bad.id)) == "task 3: pending again"
    assert await said(path, "pause", "--domain", "work") == "domain 'work' is paused"
    assert "schedule 'hourly' is paused" in await said(path, "schedules", "pause", "hourly")
    assert "nobody dispatches; as stored" in await said(path, "top", "--once")
    nobody = await called(path, "events")
    assert nobody.exit_code == 1
    assert "nobody dispatches" in nobody.stderr
    async with live(path) as app:
        assert app.work.is_paused
        assert (await app.work.get(one.id)).status is TaskStatus.CANCELLED
        assert (await app.work.get(two.id)).status is TaskStatus.PAUSED


# --- keeping -------------------------------------------------------------------------------------


async def test_doctor_and_backup_on_a_database_in_use(path: Path, tmp_path: Path) -> None:
    async with live(path) as app:
        await app.work.submit(Nap(name="a"), delay=HOUR)
        told = await said(path, "doctor")
        assert "ok       integrity: every page and index is sound" in told
        assert "dispatches" in told
        found = await document(path, "doctor")
        assert found["is_in_order"] is True
        assert {"subject", "severity", "sentence", "advice"} == found["findings"][0].keys()
        copy = tmp_path / "copy.db"
        assert (await said(path, "backup", str(copy))).startswith(f"copied to {copy}: ")
        again = await called(path, "backup", str(copy))
        assert again.exit_code == 1
        assert "is not overwritten" in again.stderr
    assert "a  " not in await said(copy, "list", "--status", "ended")
    assert "pending" in await said(copy, "list")


async def test_a_problem_makes_doctor_fail(path: Path) -> None:
    result = await called(path, "doctor")
    assert result.exit_code == 1
    assert "problem  file: " in result.stdout
    assert json.loads((await called(path, "doctor", "--json")).stdout)["is_in_order"] is False


# --- following -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [(), ("--json", "--type", "work::nap", "--event", "Completed")]
)
async def test_events_are_printed_until_the_dispatcher_stops(
    path: Path, arguments: tuple[str, ...]
) -> None:
    async with live(path) as app:
        command = [*COMMAND, "events", "--db", str(path), *arguments]
        process = await anyio.open_process(command, env=ENVIRONMENT, stderr=None)
        assert process.stdout is not None
        heard = BufferedByteReceiveStream(process.stdout)
        lines: list[str] = []
        async with anyio.create_task_group() as group:
            group.start_soon(never_idle, app)
            while len(lines) < 20:
                lines.append((await heard.receive_until(b"\n", 10_000)).decode())
            group.cancel_scope.cancel()
    assert await process.wait() == 0
    assert not any("\x1b" in line for line in lines)
    if not arguments:
        assert {"Enqueued", "Dispatched", "Completed"} <= {line.split()[1] for line in lines}
        assert r"work::nap say \x1b[2J" in lines[0]
        return
    events = [json.loads(line) for line in lines]
    assert {event["event"] for event in events} == {"Completed"}
    assert {event["header"]["type"] for event in events} == {"work::nap"}


async def never_idle(app: Live) -> None:
    """Give whoever listens something to hear."""
    for number in count():
        task = await app.work.submit(Nap(name=str(number)), label="say \x1b[2J")
        await app.work.wait(task.id)


# --- the live view, once -------------------------------------------------------------------------


async def test_top_prints_one_frame_without_a_terminal(path: Path) -> None:
    async with live(path, max_concurrency=2) as app:
        await app.start(Nap(name="a", seconds=LONG))
        shown = await said(path, "top", "--once")
        assert "slots 1/2" in shown
        assert "work::nap" in shown
        assert "\x1b" not in shown
        found = await document(path, "top")
        assert found["snapshot"]["max_concurrency"] == 2
        assert [task["type"] for task in found["tasks"]] == ["work::nap"]
        await app.work.submit(Nap(name="b"), delay=HOUR)
        assert "due in" in await said(path, "top", "--once", "--view", "waiting")
    refused = await called(path, "top")
    assert refused.exit_code == 2
    assert "`taskmill top --once` prints one frame" in refused.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_completion_prints_a_script(shell: str) -> None:
    result = await called(None, "completion", shell)
    assert result.exit_code == 0
    assert "_TASKMILL_COMPLETE" in result.stdout
