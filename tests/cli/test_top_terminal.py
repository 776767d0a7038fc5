"""The live view in a real terminal: keys, sizes, signals, and how it leaves the terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from rich.text import Text

from taskmill import TaskId, TaskStatus
from taskmill.cli.top.screen import Screen
from tests.cli.live import Live, live
from tests.cli.terminal import Terminal, resize, terminal
from tests.engine.app import Fail, Nap

pytestmark = pytest.mark.anyio

T = TypeVar("T")

LONG = 1000
LEFT = "\x1b[?25h\x1b[?1049l"
"""The cursor is back, and the other screen is left."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "app.db"


@asynccontextmanager
async def working(path: Path) -> AsyncGenerator[Live]:
    """Two tasks run, one waits, one has failed."""
    async with live(path, max_concurrency=2) as app:
        bad = await app.work.submit(Fail(permanent=True))
        await app.work.wait(bad.id)
        for name in ("one", "two", "three"):
            await app.work.submit(Nap(name=name, seconds=LONG), label=f"nap {name}")
        yield app


async def until(window: Terminal, text: str) -> str:
    """Wait for a text on the screen without blocking the scheduler."""
    return await anyio.to_thread.run_sync(window.until, text)


async def ended(window: Terminal) -> int:
    return await anyio.to_thread.run_sync(window.ended)


async def test_keys_go_through_the_views_and_leave_the_terminal_as_it_was(path: Path) -> None:
    async with working(path):
        with terminal(path, "top") as window:
            before = window.modes()
            shown = await until(window, "nap two")
            assert f"process {os.getpid()} on " in shown
            assert "[running 2]" in shown
            window.press("\t")
            assert "pending" in await until(window, "nap three")
            window.press("\x1b[Z?")
            await until(window, "pause or resume the scheduler")
            window.press("q4")
            await until(window, "told to")
            window.press("q")
            assert await ended(window) == 0
            assert window.written.endswith(LEFT)
            assert window.modes() == before


async def test_a_task_is_cancelled_after_a_question_and_explained(path: Path) -> None:
    async with working(path) as app:
        with terminal(path, "top") as window:
            await until(window, "nap two")
            window.press("jc")
            await until(window, "cancel task 3 (work::nap)? y/n")
            window.press("n")
            await until(window, "nothing was cancelled")
            window.press("cy")
            await until(window, "task 3 is cancelled")
            assert (await app.work.wait(TaskId(3))).status is TaskStatus.CANCELLED
            window.press("e")
            assert "(work::nap)" in await until(window, "q close")
            window.press("qp")
            await until(window, "the scheduler is paused")
            assert app.scheduler.is_paused
            await until(window, "PAUSED")
            window.press("p")
            await until(window, "the scheduler is not paused")
            window.press("4")
            await until(window, "told to")
            window.press("r")
            await until(window, "task 1 is pending again")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)]
)
async def test_a_signal_ends_it_with_the_terminal_as_it_was(
    path: Path, number: signal.Signals, code: int
) -> None:
    async with working(path):
        with terminal(path, "top") as window:
            before = window.modes()
            await until(window, "nap two")
            if number is signal.SIGINT:
                window.press("\x03")
            else:
                window.process.send_signal(number)
            assert await ended(window) == code
            assert window.written.endswith(LEFT)
            assert "Traceback" not in window.written
            assert window.modes() == before


async def test_another_size_of_the_window_is_another_picture(path: Path) -> None:
    async with working(path):
        with terminal(path, "top") as window:
            await until(window, "nap two")
            window.resize(40, 10)
            await until(window, "slots 2/2")
            window.press("\t")
            shown = await until(window, "[waiting 1]")
            lines = shown.split("\r\n")
            widest = max(len(line.rstrip("\r")) for line in lines)
            assert widest <= 2 * 40  # the end of one frame and the start of another
            window.resize(120, 40)
            window.press("\t\t\t")
            await until(window, "[running 2]")


async def test_a_dispatcher_that_stops_and_starts_again_is_seen(path: Path) -> None:
    async with working(path):
        window_of = terminal(path, "top")
        window = window_of.__enter__()
        await until(window, "nap two")
    await until(window, "nobody dispatches; as stored")
    async with live(path):
        await until(window, f"process {os.getpid()} on ")
        await until(window, "nap two")
        window.press("q")
        assert await ended(window) == 0
    window_of.__exit__(None, None, None)


async def test_without_colour_there_are_no_colours(path: Path) -> None:
    async with working(path):
        with terminal(path, "top", NO_COLOR="1") as window:
            await until(window, "nap two")
            window.press("q")
            await ended(window)
            assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", window.written)
        with terminal(path, "top") as window:
            await until(window, "nap two")
            assert re.search(r"\x1b\[[0-9;]*3[0-7]m", window.written)


async def test_a_terminal_that_cannot_move_its_cursor_is_refused(path: Path) -> None:
    async with working(path):
        with terminal(path, "top", TERM="dumb") as window:
            assert await ended(window) == 2
            assert "TERM=dumb" in window.written
            assert "\x1b" not in window.written


def test_the_terminal_is_restored_whatever_is_raised() -> None:
    master, slave = pty.openpty()
    resize(slave, 20, 4)
    with os.fdopen(os.dup(slave)) as keys, os.fdopen(os.dup(slave), "w") as out:
        screen = Screen(keys, out)
        with pytest.raises(ZeroDivisionError), screen.entered():  # noqa: PT012 - a block is what is tested
            screen.draw(Text("picture"))
            raise ZeroDivisionError
        written = ""
        while LEFT not in written:
            written += os.read(master, 65_536).decode()
    assert "picture" in written
    assert written.endswith(LEFT)
    os.close(master)
    os.close(slave)


async def test_it_can_be_suspended_and_comes_back(path: Path) -> None:
    async with working(path):
        with terminal(path, "top") as window:
            before = window.modes()
            await until(window, "nap two")
            window.press("\x1a")
            stopped = partial(os.waitid, os.P_PID, window.process.pid, os.WSTOPPED)
            await anyio.to_thread.run_sync(stopped)
            assert window.modes() == before
            window.process.send_signal(signal.SIGCONT)
            await until(window, "nap two")
            assert window.modes() != before
            window.press("q")
            assert await ended(window) == 0
            assert window.written.count(LEFT) == 2


def test_a_terminal_that_has_only_ascii_gets_ascii() -> None:
    master, slave = pty.openpty()
    resize(slave, 20, 4)
    with os.fdopen(os.dup(slave)) as keys, os.fdopen(os.dup(slave), "w", encoding="ascii") as out:
        screen = Screen(keys, out)
        with screen.entered():
            screen.draw(Text("█░… and more"))
            shown = ""
            while "more" not in shown:
                shown += os.read(master, 65_536).decode("ascii")
        os.read(master, 65_536)
    assert "#.~ and more" in shown
    os.close(master)
    os.close(slave)


async def test_a_question_is_asked_in_a_terminal(path: Path) -> None:
    async with live(path) as app:
        for name in "abc":
            await app.work.submit(Nap(name=name), delay=timedelta(hours=1))
        for answer, code, text in (
            ("n", 1, "nothing was changed"),
            ("", 1, "nothing was changed"),
            ("y", 0, "3 tasks cancelled"),
        ):
            with terminal(path, "cancel", "--domain", "work") as window:
                await until(window, "Cancel 3 active tasks? [y/N]")
                window.press(f"{answer}\n")
                assert await ended(window) == code
                assert text in window.written
        await app.work.submit(Nap(name="d"), delay=timedelta(hours=1))
        with terminal(path, "cancel", "--all") as window:
            await until(window, "Cancel 1 active task? [y/N]")
            window.press("\x03")
            assert await ended(window) == 130
            assert "Traceback" not in window.written
        assert await app.work.count() == 1
