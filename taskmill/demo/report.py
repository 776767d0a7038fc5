"""Where the answer goes: one task writes it as JSON for programs and as a table for people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from taskmill import Context, Domain, DomainKey, Task
from taskmill.demo.catalogue import Catalogue
from taskmill.demo.paths import as_text, printable, unfinished
from taskmill.demo.tally import Stage, Tally
from taskmill.demo.values import Counts, DuplicateGroup, Problem, Run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@attrs.frozen(kw_only=True)
class ReportConfig:
    """The two files that are written."""

    json: Path
    table: Path


@attrs.frozen(kw_only=True)
class Answer:
    """All of a run's answer."""

    root: bytes
    counts: Counts
    groups: Sequence[DuplicateGroup]
    """Biggest waste first."""
    problems: Sequence[Problem]

    @property
    def wasted(self) -> int:
        """The bytes in copies that need not be there."""
        return sum(group.wasted for group in self.groups)


class Reporting(DomainKey, name="report"):
    """Writing answers."""


class WriteReport(Task[Reporting, list[str]], name="write"):
    """Write a run's answer; the result is the paths written."""

    run: int


def report_domain(config: ReportConfig) -> Domain[Reporting]:
    """The domain. It needs `Catalogue`, `Run` and `Tally` as state of the scheduler."""
    return Domain(Reporting, handlers=[write_report], state=[config])


@WriteReport.handler
async def write_report(task: WriteReport, ctx: Context[Reporting]) -> list[str]:
    """Write both files, each whole or not at all."""
    run, config = Run(ctx.state(Run).root, task.run), ctx.state(ReportConfig)
    ctx.state(Tally).enter(Stage.REPORT)
    answer = await ctx.run_in_thread(answer_of, run, ctx.state(Catalogue))
    await ctx.run_in_thread(_write, config.json, [as_json(answer)])
    await ctx.run_in_thread(_write, config.table, as_table(answer))
    ctx.state(Tally).ended(Stage.REPORT)
    return [printable(bytes(path)) for path in (config.json, config.table)]


def answer_of(run: Run, catalogue: Catalogue) -> Answer:
    """What the catalogue knows of ``run``."""
    return Answer(
        root=run.root,
        counts=catalogue.counts(run),
        groups=catalogue.duplicates(run),
        problems=catalogue.problems(run),
    )


def as_json(answer: Answer) -> str:
    r"""The answer as one JSON object, in ASCII; bytes of names that are not UTF-8 read ``\xNN``."""
    document = {
        "root": as_text(answer.root),
        "totals": {
            **attrs.asdict(answer.counts),
            "duplicate_groups": len(answer.groups),
            "wasted_bytes": answer.wasted,
            "errors": len(answer.problems),
        },
        "duplicates": [
            {
                "sha256": group.sha256,
                "size": group.size,
                "wasted": group.wasted,
                "files": sorted(as_text(path) for path in group.paths),
            }
            for group in answer.groups
        ],
        "errors": [{"path": as_text(p), "problem": problem} for p, problem in answer.problems],
    }
    return json.dumps(document, indent=2)


def as_table(answer: Answer) -> Iterator[str]:
    """The answer as lines for people: a line for each group, its files below it."""
    yield f"Duplicate files below {printable(answer.root)}"
    yield f"{'wasted':>15}  {'size':>15}  files"
    for group in answer.groups:
        yield f"{group.wasted:>15,}  {group.size:>15,}  {len(group.paths):,}"
        yield from (f"{'':>32}  {printable(path)}" for path in group.paths)
    yield f"{answer.wasted:>15,}  bytes wasted in {len(answer.groups):,} groups"
    if answer.problems:
        yield f"Not read: {len(answer.problems):,}"
        yield from (f"{printable(path)}: {problem}" for path, problem in answer.problems)


def _write(path: Path, lines: Sequence[str] | Iterator[str]) -> None:
    with unfinished(path).open("w", encoding="utf-8") as file:
        file.writelines(line + "\n" for line in lines)
    unfinished(path).replace(path)
