"""Processes that the checks start and kill: what they say, line by line."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from taskmill.selftest.values import Absent, Broken

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from taskmill.selftest.child import main; main(*sys.argv[2:])"
)
"""The modules of this process, wherever they come from, and not others of the same name."""

_LONGEST_LINE = 4096
_LOG = "child.log"


class Child:
    """A process under way."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log
        if process.stdout is None:
            raise ValueError("a child's lines are read from its standard output")
        self._lines = BufferedByteReceiveStream(process.stdout)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def line(self) -> str:
        """The next line that it says; `Broken` where it ends instead."""
        found = await self._next()
        if found is None:
            await self._process.wait()
            raise Broken(f"a process that was to work ended by itself: {self._last_words()}")
        return found

    async def kill(self) -> list[str]:
        """Kill it as SIGKILL does, and return what it had said besides once it is gone."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        left: list[str] = []
        while (line := await self._next()) is not None:
            left.append(line)
        return left

    async def _next(self) -> str | None:
        try:
            return (await self._lines.receive_until(b"\n", _LONGEST_LINE)).decode()
        except (anyio.EndOfStream, anyio.IncompleteRead):
            return None

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


@asynccontextmanager
async def started(folder: Path, role: str, *arguments: object) -> AsyncGenerator[Child]:
    """A process in ``role`` (see `child`), killed at the end of the block if it lives then."""
    if not sys.executable:
        raise Absent("this program does not know its Python interpreter")
    command = [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), role, *map(str, arguments)]
    log = folder / _LOG
    with log.open("ab") as errors:
        # A session of its own, so that Ctrl-C reaches the one who is to clean up, and it alone.
        process = await anyio.open_process(
            command, stdin=PIPE, stdout=PIPE, stderr=errors, start_new_session=True
        )
    try:
        yield Child(process, log)
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.aclose()
