"""The documents of earlier runs, in a folder: one a run, named by the UTC time of its end."""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.document import Document, read, write
from benchmarks.report import aligned, figure

SHOWN = 8
"""Of how many runs, the latest ones, the trend is shown."""


def keep(folder: Path, kept: Document) -> Path:
    """Write a document into the folder, which is made where it is missing; return where."""
    folder.mkdir(parents=True, exist_ok=True)
    now_ns = time.time_ns()
    second = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now_ns // 1_000_000_000))
    path = folder / f"{second}.{now_ns // 1000 % 1_000_000:06}Z.json"
    write(path, kept)
    return path


def trend(folder: Path) -> str:
    """The median of each scenario in the latest runs, the last run last."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        return f"no run has left a document in {folder}; --history {folder} has it do so"
    runs = [read(path) for path in paths[-SHOWN:]]
    found = [{result.name: result for result in run.results} for run in runs]
    names = dict.fromkeys(name for results in found for name in results)
    rows = [("scenario", *(_day(path) for path in paths[-SHOWN:]))]
    for name in names:
        medians = [results.get(name) for results in found]
        cells = ["-" if each is None else figure(each.median, each.unit) for each in medians]
        rows.append((name, *cells))
    lines = aligned(rows)
    if any(
        (run.machine, run.conditions) != (runs[-1].machine, runs[-1].conditions) for run in runs
    ):
        lines += ["", "Not all of them were asked for the same, or taken on the same machine."]
    return "\n".join(lines)


def _day(path: Path) -> str:
    """The month, the day and the time in a file's name; the name itself where it has none."""
    try:
        return time.strftime("%m-%d %H:%M", time.strptime(path.stem[:15], "%Y%m%dT%H%M%S"))
    except ValueError:
        return path.stem
