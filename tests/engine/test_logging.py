"""What is logged about a task says which one, in fields, and shows nothing of its payload."""

from __future__ import annotations

import ast
import sqlite3
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

import taskmill
from taskmill import Context, Domain, Scheduler, Task, TaskStatus
from taskmill.engine.events.announce import _result_of  # pyright: ignore[reportPrivateUsage]
from taskmill.testing import scheduler_in_memory, virtual_time
from tests.engine.app import Board, Nap, Work, domains

pytestmark = pytest.mark.anyio

PACKAGE = Path(taskmill.__file__).parent


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Every call of a module's logger with a literal message: where, the call, the message."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="log")),
                    args=[ast.Constant(value=str(text)), *_],
                ):
                    yield f"{path.name}:{node.lineno}", node, text
                case _:
                    pass


def test_every_line_about_a_task_has_its_fields() -> None:
    found = list(calls())
    about = [(where, call) for where, call, text in found if "task %" in text]
    assert len(about) >= 5
    assert [w for w, call in about if not any(k.arg == "extra" for k in call.keywords)] == []


def test_no_line_is_put_together_from_what_it_is_about() -> None:
    """Literal messages alone: handlers of logging can group them, and arguments can be reviewed."""
    payloads = {"payload", "result", "memo", "task_key"}
    for where, call, _ in calls():
        named = {node.attr for node in ast.walk(call) if isinstance(node, ast.Attribute)}
        assert not named & payloads, where


async def test_a_handler_that_does_not_stop_is_named_in_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Hold(Task[Work], name="hold"):
        word: str

    @Hold.handler
    async def hold(task: Hold, ctx: Context[Work]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(10)

    async with scheduler_in_memory(Domain(Work, handlers=[hold])) as scheduler:
        task = await scheduler.submit(Hold(word="secret"), stop_grace=timedelta(seconds=1))
        await anyio.sleep(1)
        await scheduler.cancel(task.id)
        await scheduler.wait(task.id)
    [line] = [each for each in caplog.records if "told to stop" in each.getMessage()]
    fields: Any = line
    assert (fields.task_id, fields.task_type, fields.attempt) == (task.id, "work::hold", 1)
    assert "secret" not in caplog.text


async def test_a_result_that_fits_no_more_is_not_shown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "app.db"
    async with virtual_time() as clock:
        async with Scheduler(str(path), domains=domains(Board()), clock=clock) as scheduler:
            task = await scheduler.submit(Nap(name="a"))
            await scheduler.wait(task.id)
        with sqlite3.connect(path) as db:
            db.execute("UPDATE taskmill_tasks SET result = '[\"secret\"]'")
        async with Scheduler(str(path), domains=domains(Board()), clock=clock) as scheduler:
            record = await scheduler.get(task.id)
            assert record.status is TaskStatus.COMPLETED
            registry = scheduler._registry
            assert _result_of(registry, record) is None
    [line] = caplog.records
    fields: Any = line
    assert (fields.task_id, fields.task_type, fields.attempt) == (task.id, "work::nap", 1)
    assert "secret" not in caplog.text
