"""Whatever a command is given: an exit code that is documented, no traceback, no escape code."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import anyio
import click
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskmill import RetryPolicy, Scheduler
from taskmill.cli.commands import COMMANDS, taskmill
from tests.engine.app import Board, Errand, Fail, Nap, domains
from tests.trust.inputs import HOSTILE

CODES = {0, 1, 2}
"""Done; it failed or was not found; the command line is wrong. Nobody interrupts here."""
ENDLESS = {"follow", "help", "version"}
"""Parameters that would wait for ever, or need no trying."""
WITHOUT = {"run", "demo", "selftest"}
"""These serve, or work for a while, once their arguments are right."""

SLOW = (HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large)
EVIL = "\x1b[2J\x9b31mevil\x07"

WORDS = HOSTILE | st.sampled_from(
    [
        "1",
        "2",
        "3",
        "0",
        "-1",
        "99999999999999999999",
        "1e3",
        "pending",
        "any",
        "work::nap",
        "7d",
        "10m",
        "99999999999d",
        "2031-02-03T04:05",
        "0001-01-01T00:00",
        "9999-12-31T23:59:59",
        "2031-02-30",
        "a=b",
        "=b",
        "a=",
        "nan",
        "inf",
        "scheduler",
        "gone:scheduler",
        "os:path",
        "json:nothing",
        "t3",
        "bash",
        "--",
        "-",
        "--json",
        "@",
    ]
)


@contextmanager
def database() -> Generator[Path]:
    """A folder of its own, with a database in which most things have happened."""
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "app.db"

        async def fill() -> None:
            policy = RetryPolicy.constant(0)
            async with Scheduler(path, domains=domains(Board()), loop_limit=None) as scheduler:
                bad = await scheduler.submit(Fail(name=EVIL), retry=policy, label=EVIL)
                await scheduler.wait(bad.id)
                await scheduler.result(await scheduler.submit(Errand(number=1)))
                await scheduler.pause_group(EVIL)
                await scheduler.submit(
                    Nap(name=EVIL), key=EVIL, label=EVIL, group=EVIL, tags={EVIL: EVIL}
                )

        anyio.run(fill)
        os.chdir(folder)
        try:
            yield path
        finally:
            os.chdir(before)


def commands() -> list[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that lead to it."""
    context = click.Context(taskmill)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in COMMANDS:
        command = taskmill.get_command(context, name)
        assert command is not None
        found.append(((name,), command))
        if isinstance(command, click.Group):
            inner = click.Context(command)
            for below in command.list_commands(inner):
                child = command.get_command(inner, below)
                assert child is not None
                found.append(((name, below), child))
    return [(words, command) for words, command in found if words[0] not in WITHOUT]


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its parameters, each with something."""
    words, command = draw(st.sampled_from(commands()))
    line = [*words]
    for parameter in command.params:
        if parameter.name in ENDLESS or not draw(st.booleans()):
            continue
        if isinstance(parameter, click.Option):
            if parameter.name == "path" or "--db" in parameter.opts:
                continue
            line.append(draw(st.sampled_from(parameter.opts)))
            if parameter.is_flag:
                continue
        line.append(draw(WORDS))
    return [word.replace("\0", "").replace("/", "_") for word in line]


def check(path: Path, line: list[str]) -> None:
    storable = [word.encode("utf-8", "surrogateescape") for word in line if _is_possible(word)]
    arguments = [os.fsdecode(word) for word in storable]
    result = CliRunner().invoke(
        taskmill, ["--db", str(path), *arguments], prog_name="taskmill", input=""
    )
    shown: Any = result.exception
    assert result.exception is None or isinstance(result.exception, SystemExit), repr(shown)
    assert result.exit_code in CODES
    assert "Traceback (most recent call last)" not in result.stderr
    if not any(word in ("bash", "zsh", "fish") for word in arguments):
        for code in ("\x1b", "\x9b", "\x07"):
            assert code not in _without(result.output, arguments)


def _is_possible(word: str) -> bool:
    """Whether a shell can hand it over."""
    try:
        word.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
    return True


def _without(text: str, arguments: list[str]) -> str:
    """Click itself repeats what was typed, which came from this terminal."""
    for word in sorted(arguments, key=len, reverse=True):
        if word:
            text = text.replace(word, "")
    return text


@given(st.lists(command_lines(), min_size=25, max_size=25))
@settings(deadline=None, max_examples=3, suppress_health_check=[*SLOW])
def test_every_command_line_ends_in_order(lines: list[list[str]]) -> None:
    with database() as path:
        for line in lines:
            check(path, line)


@pytest.mark.nightly
@given(st.lists(command_lines(), min_size=25, max_size=25))
@settings(deadline=None, max_examples=60, suppress_health_check=[*SLOW])
def test_the_same_for_many_more(lines: list[list[str]]) -> None:
    with database() as path:
        for line in lines:
            check(path, line)


@pytest.mark.parametrize("words", [words for words, _ in commands()], ids=" ".join)
def test_a_database_full_of_escape_codes_is_shown_without_them(words: tuple[str, ...]) -> None:
    with database() as path:
        for more in ([], ["1"], ["3"], ["--status", "any"], ["--once"], ["1", "--full"]):
            for is_json in (False, True):
                check(path, [*words, *more, *(["--json"] if is_json else [])])


@given(st.lists(HOSTILE | st.text(max_size=10), max_size=4))
@settings(deadline=None, max_examples=50)
def test_words_that_are_no_command_are_a_line_and_code_2_or_less(words: list[str]) -> None:
    line = [word.replace("\0", "") for word in words if _is_possible(word)]
    result = CliRunner().invoke(taskmill, line, prog_name="taskmill", input="")
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code in CODES
