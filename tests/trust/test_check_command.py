"""``taskmill check`` finds, before a deploy, what the new code could not read."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest

from taskmill import Every, Scheduler
from taskmill.testing import virtual_time
from tests.cli.live import called
from tests.trust.test_deploys import Mail, Other, Send, scheduler_of

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)
ALL = "8 tasks and 1 schedule"
APP = """
from taskmill import Context, Domain, DomainKey, Scheduler, Task

class Mail(DomainKey, name="mail"): ...
class Send(Task[Mail, str], name="send"):
    to: {to}
    copies: int = 1
class Other(Task[Mail, str], name="{other}"):
    text: str = "x"

async def say(task, ctx: Context[Mail]) -> str: return ""

domain = Domain(Mail, handlers=[Send.handler(say), Other.handler(say)])
scheduler = Scheduler(":memory:", domains=[domain])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    (tmp_path / "same_app.py").write_text(APP.format(to="str", other="other"), encoding="utf-8")
    (tmp_path / "new_app.py").write_text(APP.format(to="int", other="renamed"), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("same_app", "new_app"):
        sys.modules.pop(name, None)


async def fill(scheduler: Scheduler) -> None:
    await scheduler.pause()
    await scheduler.submit_many([Send(to=f"user {n}") for n in range(7)])
    await scheduler.submit(Other())
    await scheduler.domain(Mail).schedule(Send(to="boss"), Every(DAY), name="daily")


async def test_code_that_reads_everything_has_code_0(folder: Path) -> None:
    path = folder / "app.db"
    async with virtual_time() as clock, scheduler_of(path, clock, Send) as scheduler:
        await fill(scheduler)
    result = await called(path, "check", "same_app:scheduler")
    assert (result.exit_code, result.stdout) == (0, "all can be read: 8 tasks and 1 schedule\n")


async def test_what_the_new_code_cannot_read_is_listed_by_type_and_reason(folder: Path) -> None:
    path = folder / "app.db"
    async with virtual_time() as clock, scheduler_of(path, clock, Send) as scheduler:
        await fill(scheduler)
        before = path.read_bytes()
        with clock.hold():  # or the schedule comes due
            result = await called(path, "check", "new_app:scheduler")  # while it is in use
        assert path.read_bytes() == before
    assert result.exit_code == 1
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "type tasks schedules why such as",
        "mail::send 7 1 Send.to: expects int, got str 1, 2, 3, 4, 5, daily, ...",
        "mail::other 1 0 no domain here has a handler for 'mail::other' 8",
        "mail::send: Send.to: expects int, got 'boss' (str)",
        f"of {ALL}, {ALL} cannot be read by this code, and would be held",
    ]
    document = json.loads((await called(path, "check", "new_app:scheduler", "--json")).stdout)
    assert (document["tasks"], document["schedules"]) == (8, 1)
    assert [(each["tasks"], each["ids"]) for each in document["misfits"]] == [
        (7, [1, 2, 3, 4, 5]),
        (1, [8]),
    ]


async def test_what_has_ended_is_nobodys_concern_any_more(folder: Path) -> None:
    path = folder / "app.db"
    async with virtual_time() as clock, scheduler_of(path, clock, Send) as scheduler:
        await scheduler.result(await scheduler.submit(Send(to="a")))
    assert (await called(path, "check", "new_app:scheduler")).exit_code == 0


async def test_a_row_that_holds_no_json_is_a_finding_too(folder: Path) -> None:
    path = folder / "app.db"
    async with virtual_time() as clock, scheduler_of(path, clock, Send) as scheduler:
        await fill(scheduler)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE taskmill_tasks SET payload = '{' WHERE id = 1")
        db.execute("UPDATE taskmill_schedules SET template = '[]'")
    db.close()
    result = await called(path, "check", "same_app:scheduler")
    assert result.exit_code == 1
    assert "what is stored is not JSON" in result.stdout
    assert "mail::?" in result.stdout


@pytest.mark.parametrize(
    ("reference", "code", "says"),
    [
        ("same_app:nothing", 2, "has no 'nothing'"),
        ("gone:scheduler", 2, "there is no module 'gone'"),
        ("same_app", 2, "MODULE:NAME"),
    ],
)
async def test_code_that_cannot_be_found_is_one_line(
    folder: Path, reference: str, code: int, says: str
) -> None:
    path = folder / "app.db"
    async with virtual_time() as clock, scheduler_of(path, clock, Send):
        pass
    result = await called(path, "check", reference)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert says in result.stderr


async def test_a_database_without_tables_has_nothing_to_read(folder: Path) -> None:
    with sqlite3.connect(folder / "other.db") as db:
        db.execute("CREATE TABLE mine (x)")
    db.close()
    result = await called(folder / "other.db", "check", "same_app:scheduler")
    assert (result.exit_code, result.stdout) == (0, "all can be read: 0 tasks and 0 schedules\n")
    result = await called(folder / "gone.db", "check", "same_app:scheduler")
    assert result.exit_code == 1
