"""In which order the libraries are measured: in turns, each of which begins with another one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import attrs

from benchmarks.peers.child import Finding
from benchmarks.peers.document import Conditions, Entry, Failure, Sample
from benchmarks.peers.harness import Measure
from benchmarks.peers.libraries import Library
from benchmarks.peers.process import Unavailable

T = TypeVar("T")


class Runs(Protocol):
    """Carries out single runs."""

    def prepare(self, library: Library) -> None:
        """Have ready what a library needs; Unavailable if that cannot be."""
        ...

    def run(self, library: Library, measure: Measure, conditions: Conditions) -> Finding:
        """Do one run; Unavailable if it comes to no end of its own."""
        ...


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """The items in the order of a turn: a b c, then b c a, then c a b."""
    start = turn % max(len(items), 1)
    return [*items[start:], *items[:start]]


def measure(
    libraries: Sequence[Library],
    conditions: Conditions,
    runs: Runs,
    *,
    told: Callable[[str], None],
) -> list[Entry]:
    """Measure what can be; ``told`` hears of each run. What fails never stops the others."""
    taken = {library.name: _prepared(library, runs) for library in libraries}
    ready = [library for library in libraries if taken[library.name].missing is None]
    for turn in range(conditions.repeat):
        for asked in Measure:  # the libraries inside: what is compared is close in time
            for library in rotated(ready, turn):
                entry = taken[library.name]
                if not _is_worthwhile(entry, asked, turn):
                    continue
                told(f"turn {turn + 1}/{conditions.repeat}: {asked} of {library.name}")
                taken[library.name] = _added(entry, library, asked, turn, conditions, runs)
    return list(taken.values())


def _prepared(library: Library, runs: Runs) -> Entry:
    entry = Entry(
        name=library.name,
        store=library.store,
        durability=library.durability,
        promise=library.promise,
    )
    try:
        runs.prepare(library)
    except Unavailable as error:
        return attrs.evolve(entry, missing=str(error))
    return entry


def _is_worthwhile(entry: Entry, asked: Measure, turn: int) -> bool:
    """Whether the measure has neither failed nor turned out not to be offered."""
    failed = any(failure.measure is asked for failure in entry.failures)
    return not failed and (turn == 0 or bool(entry.of(asked)))


def _added(
    entry: Entry,
    library: Library,
    asked: Measure,
    turn: int,
    conditions: Conditions,
    runs: Runs,
) -> Entry:
    """The entry with what one more run gave."""
    try:
        found = runs.run(library, asked, conditions)
    except Unavailable as error:
        failure = Failure(measure=asked, turn=turn, reason=str(error))
        return attrs.evolve(entry, failures=[*entry.failures, failure])
    known = attrs.evolve(entry, version=found.version, settings=found.settings)
    if found.value is None:
        return known
    sample = Sample(
        measure=asked,
        turn=turn,
        n=found.n,
        value=found.value,
        p99=found.p99,
        problem=found.problem,
    )
    return attrs.evolve(known, samples=[*entry.samples, sample])
