"""``taskmill doctor`` and ``taskmill backup``: whether a database is in order, and a copy of it."""

from __future__ import annotations

from pathlib import Path

import anyio
import click
from rich.table import Table
from rich.text import Text

from taskmill.cli.database import check_is_database, database_of
from taskmill.cli.documents import as_document, dumped
from taskmill.cli.ending import FAILED
from taskmill.cli.harmless import one_line
from taskmill.cli.parts import db_option, json_option
from taskmill.cli.printing import trimmed
from taskmill.model.wording import plural
from taskmill.store.sqlite.backup import back_up
from taskmill.store.sqlite.doctor import examine, is_in_order
from taskmill.store.sqlite.findings import Finding, Severity
from taskmill.store.sqlite.surroundings import megabytes

_COLOURS = {Severity.OK: "green", Severity.WARNING: "yellow", Severity.PROBLEM: "bold red"}


@click.command()
@json_option("one JSON object: is_in_order, and findings with what to do about each")
@db_option()
@click.pass_context
def doctor(context: click.Context, /, *, as_json: bool) -> None:
    """Examine the database file, and say what to do.

    Nothing is changed, and its dispatcher is not disturbed.

    Looked at are its pages and indexes, its schema version, who dispatches and whether that
    process lives, the write-ahead log, permissions, filesystem and free space, and rows that
    nothing will move. The exit code is 1 where there is a problem; warnings leave it 0.
    """
    path = database_of(context)
    findings = anyio.run(examine, path.resolve())
    if as_json:
        document = {"path": str(path), "is_in_order": is_in_order(findings), "findings": findings}
        click.echo(dumped(as_document(document)))
    else:
        _print(findings)
    if not is_in_order(findings):
        raise click.exceptions.Exit(FAILED)


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path))
@json_option("one JSON object: path and size in bytes")
@db_option()
@click.pass_context
def backup(context: click.Context, /, *, destination: Path, as_json: bool) -> None:
    """Copy the database to a new file, while it is in use.

    The copy is the database as of one commit, checked page by page, readable by its owner alone.
    Nothing is overwritten.
    """
    path = database_of(context)
    check_is_database(path)
    size = anyio.run(back_up, path.resolve(), destination.absolute())
    if as_json:
        click.echo(dumped({"path": str(destination), "size": size}))
    else:
        click.echo(
            f"copied to {one_line(str(destination))}: {megabytes(size)}, every page is sound"
        )


def _print(findings: list[Finding]) -> None:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        severity = Text(finding.severity.value, _COLOURS[finding.severity])
        table.add_row(severity, Text(one_line(f"{finding.subject}: {finding.sentence}")))
        if finding.advice is not None:
            table.add_row("", Text(one_line(finding.advice), "italic"))
    bad = [f.severity for f in findings if f.severity is not Severity.OK]
    problems, warnings = bad.count(Severity.PROBLEM), bad.count(Severity.WARNING)
    in_all = f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}"
    with trimmed() as out:
        out.print(table)
        out.print(Text(in_all if bad else "all in order"))
