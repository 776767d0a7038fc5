"""How a command ends: its exit code, and one line about what went wrong."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click

from taskmill.cli.harmless import one_line
from taskmill.model.errors import ConfigurationError, TaskmillError

FAILED, USAGE, INTERRUPTED, CLOSED = 1, 2, 130, 141
"""Exit codes; the last is that of a program that is killed for writing to a closed pipe."""


class Told(click.ClickException):
    """Something that went wrong, told in one line."""

    exit_code = FAILED

    def show(self, file: Any = None) -> None:
        """Write the line to standard error."""
        click.echo(f"taskmill: {one_line(self.format_message())}", file=file, err=file is None)


class ToldOfUse(Told):
    """Something wrong with what was asked for."""

    exit_code = USAGE


class Commands(click.Group):
    """Commands that end in order: no traceback for what a user or a database does.

    ``places`` says where each of them is, as ``module:name``; it is imported when asked for.
    """

    def __init__(self, *args: Any, places: Mapping[str, str], **more: Any) -> None:
        super().__init__(*args, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - as click has it
        """All names, in the order in which they are listed."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """The command of that name, if there is one."""
        if cmd_name not in self._places:
            return None
        module, _, name = self._places[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it raises becomes a line and an exit code."""
        with _ended():
            return super().invoke(ctx)


@contextmanager
def _ended() -> Generator[None]:
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        yield
        sys.stdout.flush()
    except TaskmillError as error:
        kind = ToldOfUse if isinstance(error, ConfigurationError) else Told
        raise kind(str(error)) from error
    except (KeyboardInterrupt, click.Abort) as error:
        raise click.exceptions.Exit(INTERRUPTED) from error
    except BrokenPipeError as error:
        _be_silent()
        raise click.exceptions.Exit(CLOSED) from error


def _be_silent() -> None:
    """Nobody reads on: what is still in a buffer goes nowhere, without a complaint at the exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass  # a stream of a test has no descriptor
    finally:
        os.close(nowhere)


def confirm(question: str, *, is_sure: bool) -> bool:
    """Whether a person says yes; without a terminal to ask at, a usage error."""
    if is_sure:
        return True
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} There is nobody to ask here: say --yes.")
    click.echo(f"{question} [y/N] ", err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
    return answer.strip().lower() in ("y", "yes")
