"""What a run of the peers leaves as JSON: every sample, and under what conditions it was taken."""

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

from benchmarks.peers.harness import Measure
from benchmarks.peers.libraries import Durability, Promise
from benchmarks.peers.servers import Store


@attrs.frozen(kw_only=True)
class Machine:
    """Where the figures were taken."""

    python: str
    sqlite: str
    servers: list[str]
    """The names and versions of the servers that were up."""
    cpus: int
    platform: str

    @classmethod
    def here(cls, servers: Sequence[str]) -> Machine:
        """This one."""
        return cls(
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            servers=list(servers),
            cpus=os.cpu_count() or 1,
            platform=platform.platform(),
        )


@attrs.frozen(kw_only=True)
class Conditions:
    """What was asked for."""

    n: int
    concurrency: int
    repeat: int


@attrs.frozen(kw_only=True)
class Sample:
    """One run."""

    measure: Measure
    turn: int
    n: int
    value: float
    """Tasks a second, or the median in milliseconds."""
    p99: float | None = None
    problem: str | None = None
    """What is wrong with the run; None where every task ran exactly once and is done."""


@attrs.frozen(kw_only=True)
class Failure:
    """A run that gave no figure, after which the measure was not tried again."""

    measure: Measure
    turn: int
    reason: str


@attrs.frozen(kw_only=True)
class Entry:
    """What is known of one library."""

    name: str
    store: Store
    durability: Durability
    promise: Promise
    version: str = ""
    settings: str = ""
    missing: str | None = None
    """Why nothing was measured."""
    samples: list[Sample] = attrs.field(factory=list[Sample])
    failures: list[Failure] = attrs.field(factory=list[Failure])

    def of(self, measure: Measure) -> list[Sample]:
        """The samples of a measure; none where the library has no such call."""
        return [sample for sample in self.samples if sample.measure is measure]

    def median(self, measure: Measure) -> float | None:
        """The figure in the middle; None without samples, and where one of them is wrong."""
        samples = self.of(measure)
        if not samples or any(sample.problem is not None for sample in samples):
            return None
        return statistics.median(sample.value for sample in samples)

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line for each run that was not right."""
        return [
            f"{s.measure} in turn {s.turn + 1} is WRONG: {s.problem}"
            for s in self.samples
            if s.problem is not None
        ]


@attrs.frozen(kw_only=True)
class Document:
    """One run of the command."""

    machine: Machine
    conditions: Conditions
    entries: list[Entry]


def write(path: Path, kept: Document) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(cattrs.unstructure(kept), indent=2) + "\n", encoding="utf-8")


def read(path: Path) -> Document:
    """Read a document that `write` wrote."""
    return cattrs.structure(json.loads(path.read_text(encoding="utf-8")), Document)
