"""What a run of the benchmarks leaves as JSON, to be read again."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from pathlib import Path

import attrs
import cattrs

from benchmarks.measure import Figures, median
from benchmarks.setting import Setting


@attrs.frozen(kw_only=True)
class Machine:
    """Where the figures were taken."""

    python: str
    sqlite: str
    cpus: int
    platform: str


@attrs.frozen(kw_only=True)
class Conditions:
    """What was asked for."""

    n: int
    concurrency: int
    repeat: int
    durability: str
    memory: bool
    uvloop: bool = False


@attrs.frozen(kw_only=True)
class FloorResult:
    """The median of a floor, measured in the same turns as its scenario."""

    name: str
    unit: str
    value: float
    cpu_us: float | None = None
    """As that of a `Result`."""


@attrs.frozen(kw_only=True)
class Result:
    """The figures of one scenario."""

    name: str
    n: int
    runs: int
    unit: str
    median: float
    min: float
    max: float
    p99: float | None
    """The median of the runs' 99th percentiles; None for a rate."""
    floor: FloorResult
    ratio: float
    """The median over that of ``floor``."""
    other_floors: list[FloorResult]
    cpu_us: float | None = None
    """The median CPU time of a task, of all threads, in microseconds; None: it was not taken."""
    exactly_once: bool
    problem: str | None


@attrs.frozen(kw_only=True)
class Document:
    """One run of the benchmarks."""

    machine: Machine
    conditions: Conditions
    results: list[Result]


def document(taken: Sequence[Figures], setting: Setting, *, repeat: int) -> Document:
    """What is kept of the figures."""
    return Document(
        machine=this_machine(),
        conditions=Conditions(
            n=setting.n,
            concurrency=setting.concurrency,
            repeat=repeat,
            durability=setting.durability,
            memory=setting.in_memory,
            uvloop=setting.uvloop,
        ),
        results=[_result(figures) for figures in taken],
    )


def this_machine() -> Machine:
    """Where figures are taken now."""
    return Machine(
        python=platform.python_version(),
        sqlite=sqlite3.sqlite_version,
        cpus=os.cpu_count() or 1,
        platform=platform.platform(),
    )


def write(path: Path, kept: Document) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(cattrs.unstructure(kept), indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Document:
    """Read a document that `write` wrote."""
    return cattrs.structure(json.loads(path.read_text(encoding="utf-8")), Document)


def _result(figures: Figures) -> Result:
    values = [sample.value for sample in figures.samples]
    floor, *others = [
        FloorResult(
            name=floor.name,
            unit=floor.unit,
            value=round(median(samples), 4),
            cpu_us=_median_of([sample.cpu_us for sample in samples]),
        )
        for floor, samples in figures.floors
    ]
    return Result(
        name=figures.scenario.name,
        n=figures.samples[0].n,
        runs=len(values),
        unit=figures.scenario.unit,
        median=round(median(figures.samples), 4),
        min=round(min(values), 4),
        max=round(max(values), 4),
        p99=_median_of([sample.p99 for sample in figures.samples]),
        floor=floor,
        ratio=round(figures.ratio, 4),
        other_floors=others,
        cpu_us=_median_of([sample.cpu_us for sample in figures.samples]),
        exactly_once=figures.problem is None,
        problem=figures.problem,
    )


def _median_of(values: Sequence[float | None]) -> float | None:
    """The median of those that were taken."""
    taken = [value for value in values if value is not None]
    return round(statistics.median(taken), 4) if taken else None
