"""The options that many commands have: which database, which tasks, JSON, yes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
from click.core import ParameterSource

from taskmill.cli.database import Place
from taskmill.cli.moments import parse_iso, parse_length, parse_moment
from taskmill.engine.clock import SystemClock

F = TypeVar("F", bound=Callable[..., Any])
Decorator: TypeAlias = Callable[[F], F]


def length(_: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    """The callback of an option that is a length of time: 90s, 10m, 7d."""
    try:
        return None if text is None else parse_length(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def past(_: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """The callback of an option that is a moment, or how long ago it was."""
    try:
        return None if text is None else parse_moment(text, SystemClock().now())
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None


def coming(_: click.Context, parameter: click.Parameter, text: str | None) -> datetime | None:
    """The callback of an option that is a moment to come."""
    if text is None:
        return None
    try:
        at = parse_iso(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param=parameter) from None
    if at <= SystemClock().now():
        raise click.BadParameter(f"{text!r} is over; name a moment to come", param=parameter)
    return at


def _note_place(context: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    place = context.ensure_object(Place)
    place.path = path
    source = context.get_parameter_source(parameter.name or "")
    place.is_told = source is ParameterSource.COMMANDLINE


def db_option(**more: Any) -> Decorator[Any]:
    """``--db``, before the command or after it."""
    return click.option(
        "--db",
        metavar="PATH",
        type=click.Path(dir_okay=False, path_type=Path),
        callback=_note_place,
        expose_value=False,
        is_eager=True,
        help="The database file.  [default: the variable TASKMILL_DB]",
        **more,
    )


def json_option(what: str = "one JSON document") -> Decorator[Any]:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def yes_option() -> Decorator[Any]:
    """``--yes``."""
    return click.option("--yes", "-y", is_flag=True, help="Do not ask before it is done.")
