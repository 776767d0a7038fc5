"""``taskmill events``: what happens, as it happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import cast

import anyio
import click
from rich.text import Text

from taskmill.cli.database import database, database_of
from taskmill.cli.ending import Told
from taskmill.cli.harmless import one_line
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import console
from taskmill.engine.clock import SystemClock
from taskmill.model.errors import InvalidState, StoreError

PAUSE = 0.5
"""Seconds between two looks for a dispatcher."""

_COLOURS = {
    "Failed": "red",
    "DeadLettered": "bold red",
    "DependencyFailed": "red",
    "Expired": "red",
    "Completed": "green",
    "Dispatched": "cyan",
    "Cancelled": "yellow",
    "Paused": "yellow",
    "StopOverdue": "bold yellow",
    "LoopBlocked": "bold yellow",
    "Lagged": "bold yellow",
}


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Wait for a dispatcher, and for the next one.")
@click.option("--type", "types", metavar="TYPE", multiple=True, help="Only of this task type.")
@click.option("--event", "names", metavar="NAME", multiple=True, help="Only this kind: Failed.")
@json_option("JSON, one object a line")
@db_option()
@click.pass_context
def events(
    context: click.Context,
    /,
    *,
    follow: bool,
    types: tuple[str, ...],
    names: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what happens as it happens.

    It ends when the dispatcher stops, or by Ctrl-C; with --follow by Ctrl-C alone.

    Events are not kept: what happened before is in the records, which `list` and `show` print.
    """
    path = database_of(context)
    write = _write_json if as_json else _writer()

    def heard(event: Mapping[str, object]) -> None:
        if is_wanted(event, types, names):
            write(event)

    if follow:
        anyio.run(_follow, path, heard)
    elif not anyio.run(_listen, path, heard):
        raise Told(f"{path}: nobody dispatches, so nothing happens; --follow waits for somebody")


def is_wanted(event: Mapping[str, object], types: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Whether an event is of the kinds that are asked for; that some were missed always is."""
    if event.get("event") == "Lagged":
        return True
    return (not types or type_of(event) in types) and (not names or event.get("event") in names)


def type_of(event: Mapping[str, object]) -> object:
    """The task type that an event is about, if it is about one."""
    return _part(event, "header").get("type", event.get("type"))


def line_of(event: Mapping[str, object], now: datetime) -> Text:
    """An event on one line."""
    name = str(event.get("event", ""))
    line = Text(f"{now.astimezone():%H:%M:%S} ")
    line.append(f"{name:12}", _COLOURS.get(name, ""))
    header = _part(event, "header")
    if header:
        line.append(f" {header.get('id')} {one_line(str(header.get('type')))}")
        if header.get("label") != header.get("type"):
            line.append(f" {one_line(str(header.get('label')))}", "dim")
    line.append(one_line(_details(event)))
    return line


def _part(event: Mapping[str, object], name: str) -> Mapping[str, object]:
    """One part of an event that has parts of its own; empty where it has none of that name."""
    part = event.get(name)
    return cast("Mapping[str, object]", part) if isinstance(part, Mapping) else {}  # it is JSON


def _details(event: Mapping[str, object]) -> str:
    """What there is to say beyond the name and the task."""
    said: list[str] = []
    error = _part(event, "error")
    if error:
        said.append(f"{error.get('type')}: {error.get('message')}".removeprefix("builtins."))
    for name, value in event.items():
        if name in ("event", "header", "error", "stack", "result") or value in (None, ""):
            continue
        said.append(f"{name}={value}")
    return "".join(f"  {text}" for text in said)


async def _follow(path: Path, heard: Callable[[Mapping[str, object]], None]) -> None:
    while True:
        try:
            await _listen(path, heard)
        except StoreError as error:  # it may be mended, or come back
            click.echo(f"taskmill: {one_line(str(error))}", err=True)
        await anyio.sleep(PAUSE)


async def _listen(path: Path, heard: Callable[[Mapping[str, object]], None]) -> bool:
    """Hear what happens until the dispatcher stops; False where there is none."""
    async with database(path) as client:
        if await client.holder() is None:
            return False
        try:
            async with client.feed() as feed:
                async for event in feed:
                    heard(event)
        except InvalidState:
            return False  # it has stopped since
    return True


def _write_json(event: Mapping[str, object]) -> None:
    click.echo(json.dumps(event))


def _writer() -> Callable[[Mapping[str, object]], None]:
    out = console()

    def write(event: Mapping[str, object]) -> None:
        out.print(line_of(event, SystemClock().now()), soft_wrap=True)
        out.file.flush()

    return write
