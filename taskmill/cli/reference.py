"""The page on the command line: written by hand up to a mark, from the commands below it.

``python -m taskmill.cli.reference docs/cli.md`` brings that part up to date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from taskmill.cli.chosen import FILTER_NAMES
from taskmill.cli.commands import taskmill

MARK = "<!-- What follows is written by python -m taskmill.cli.reference docs/cli.md -->"


def brought_up_to_date(page: str) -> str:
    """The page with its second part as the commands are now; ValueError for one without mark."""
    by_hand, mark, _ = page.partition(MARK)
    if not mark:
        raise ValueError(f"the page has no line {MARK!r}")
    return "\n".join([by_hand + MARK, "", *_reference()])


def _reference() -> Iterator[str]:
    context = click.Context(taskmill, info_name="taskmill")
    yield "## Commands"
    yield ""
    yield "| command | what it does |"
    yield "|---|---|"
    for command, inner in _commands(context):
        if inner.parent is context:
            title = inner.command_path
            yield f"| [`{title}`](#{title.replace(' ', '-')}) | {command.get_short_help_str(200)} |"
    yield ""
    yield "### Filters"
    yield ""
    first = taskmill.get_command(context, "list")
    if first is not None:
        yield from _options(first, among=FILTER_NAMES)
    for command, inner in _commands(context):
        yield from _section(command, inner)


def _commands(context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below one, each with its context."""
    group = context.command
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context)
            yield command, inner
            yield from _commands(inner)


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {context.command_path}"
    yield ""
    yield "```console"
    yield " ".join([context.command_path, *_pieces(command, context)])
    yield "```"
    yield ""
    yield from _help(command)
    if {parameter.name for parameter in command.params} >= FILTER_NAMES:
        yield "It takes the [filters](#filters) as well."
        yield ""
        yield from _options(command, without=FILTER_NAMES)
    else:
        yield from _options(command)


def _pieces(command: click.Command, context: click.Context) -> Iterator[str]:
    if any(isinstance(parameter, click.Option) for parameter in command.params):
        yield "[OPTIONS]"
    for parameter in command.params:
        if isinstance(parameter, click.Argument):
            yield parameter.metavar or f"{(parameter.name or '').upper()}"
    if isinstance(context.command, click.Group):
        yield "[COMMAND]"


def _help(command: click.Command) -> Iterator[str]:
    """The help in paragraphs; one that is laid out stays as it is."""
    for paragraph in cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            yield from ("```", *paragraph.splitlines()[1:], "```", "")
        else:
            yield from (paragraph, "")


def _options(
    command: click.Command,
    *,
    among: frozenset[str] | None = None,
    without: frozenset[str] = frozenset(),
) -> Iterator[str]:
    shown = [
        parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        and (among is None or parameter.name in among)
        and parameter.name not in (*without, "db", "version")
    ]
    if not shown:
        return
    yield "| option | |"
    yield "|---|---|"
    yield from map(_row, shown)
    yield ""


def _row(option: click.Option) -> str:
    """Written without click's own words, which are others in each of its versions."""
    value = option.metavar or ""
    if isinstance(option.type, click.Choice) and not value:
        value = "/".join(map(str, option.type.choices))
    names = ", ".join(option.opts)
    default = f" Default: {option.default}." if option.show_default else ""
    return f"| `{f'{names} {value}'.strip()}` | {' '.join((option.help or '').split())}{default} |"


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.write_text(brought_up_to_date(place.read_text(encoding="utf-8")), encoding="utf-8")
