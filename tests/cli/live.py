"""A scheduler that works on a file in real time, and the command line as somebody calls it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import attrs
from click.testing import CliRunner, Result

from taskmill import Dispatched, DomainHandle, Scheduler, Stop, Submitted
from taskmill.cli.commands import taskmill
from tests.engine.app import Board, Nap, Work, domains

COMMAND = (sys.executable, "-m", "taskmill")
ENVIRONMENT = {**os.environ, "PYTHONWARNINGS": "error", "COLUMNS": "200"}


@attrs.frozen
class Live:
    """An open scheduler."""

    scheduler: Scheduler
    work: DomainHandle[Work]

    async def start(self, nap: Nap, **options: Any) -> Submitted[str]:
        """Submit a nap and wait until its handler runs."""
        async with self.work.events(Nap) as events:
            submitted = await self.work.submit(nap, **options)
            async for event in events:
                if isinstance(event, Dispatched) and event.header.id == submitted.id:
                    return submitted
        raise AssertionError("the scheduler has ended")


@asynccontextmanager
async def live(path: Path, **options: Any) -> AsyncGenerator[Live]:
    """One that works on ``path`` until the block ends."""
    scheduler = Scheduler(
        path, domains=domains(Board()), loop_limit=None, shutdown=Stop(), **options
    )
    async with scheduler:
        yield Live(scheduler, scheduler.domain(Work))


async def called(path: Path | None, *arguments: str, env: dict[str, str] | None = None) -> Result:
    """What a command prints and how it ends."""
    place = [] if path is None else ["--db", str(path)]
    call = partial(
        CliRunner().invoke, taskmill, [*place, *arguments], env=env, prog_name="taskmill"
    )
    result = await anyio.to_thread.run_sync(call)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def said(path: Path, *arguments: str) -> str:
    """What a command that succeeds prints, without the blanks at the ends of lines."""
    result = await called(path, *arguments)
    assert result.exit_code == 0, result.output
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


async def document(path: Path, *arguments: str) -> Any:
    """The JSON that a command prints."""
    return json.loads(await said(path, *arguments, "--json"))
