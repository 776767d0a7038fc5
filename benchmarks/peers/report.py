"""What is printed: the figures side by side, what they stand on, and what could not be measured."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers.document import Document, Entry
from benchmarks.peers.harness import Measure
from benchmarks.peers.libraries import LIBRARIES, REFERENCE, Durability, Library

_HEADINGS = {
    Measure.SUBMIT: "submit/s",
    Measure.IN_FLIGHT: "submit-50/s",
    Measure.BULK: "bulk/s",
    Measure.DRAIN: "drain/s",
    Measure.TOGETHER: "together/s",
    Measure.LATENCY: "latency ms",
}
_LEGEND = """\
A line each for the median, the least and the most, and how many times as fast taskmill is.
submit: one awaited at a time; submit-50: 50 in flight; bulk: 1,000 a call, where there is one.
drain: what is queued, from the start of the worker to the last run.
together: from the first submit (bulk, or 50 in flight) to the last run.
latency: from a submit to the start of its handler on an idle worker, median / 99th percentile."""

_IN_MEMORY = (
    "Redis keeps tasks in memory and writes a snapshot now and then: what came since the last one "
    "is lost with the server."
)


def table(kept: Document) -> str:
    """The figures of one run of the command."""
    reference = next((entry for entry in kept.entries if entry.name == REFERENCE), None)
    measured = [entry for entry in kept.entries if entry.missing is None]
    parts = [[_conditions(kept)]]
    if measured:
        rows = [["", *_HEADINGS.values()]]
        for entry in measured:
            rows += _rows(entry, reference)
        about = [["", "version", "store", "outlives a", "a crash's task runs", "settings"]]
        about += [_about(entry) for entry in measured]
        parts += [aligned(rows, right=True), [_LEGEND], aligned(about)]
        if any(entry.durability is Durability.SERVER for entry in measured):
            parts.append([_IN_MEMORY])
    parts.append(_beside(kept.entries))
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def libraries_there_are(libraries: Sequence[Library] = LIBRARIES) -> str:
    """Each library, its store, its durability, and what is installed for it."""
    rows = [["name", "store", "outlives a", "tasks at most", "packages"]]
    rows += [
        [
            library.name,
            library.store,
            library.durability,
            f"{library.most:,}",
            " ".join(library.packages) or "this checkout",
        ]
        for library in libraries
    ]
    return "\n".join(aligned(rows))


def aligned(rows: Sequence[Sequence[str]], *, right: bool = False) -> list[str]:
    """Columns as wide as their widest cell, the later ones to the ``right`` if they are figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if right and at > 0 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _conditions(kept: Document) -> str:
    machine, asked = kept.machine, kept.conditions
    software = [f"Python {machine.python}", f"SQLite {machine.sqlite}", *machine.servers]
    fewer = sorted({s.n for e in kept.entries for s in e.samples if s.measure is Measure.DRAIN})
    capped = f" (from {fewer[0]:,} for the slow ones)" if fewer and fewer[0] < asked.n else ""
    turns = "one turn" if asked.repeat == 1 else f"{asked.repeat} turns"
    return (
        f"{', '.join(software)}; {machine.cpus} CPUs, {machine.platform}\n"
        f"{asked.n:,} tasks{capped}, {asked.concurrency} slots, {turns}; every run in "
        "a fresh process on a fresh store"
    )


def _rows(entry: Entry, reference: Entry | None) -> list[list[str]]:
    """The lines of one library."""
    rows = [[entry.name, *(_middle(entry, measure) for measure in Measure)]]
    if any(len(entry.of(measure)) > 1 for measure in Measure):
        rows.append(["", *(_range(entry, measure) for measure in Measure)])
    if reference is not None and entry is not reference:
        ratios = [ratio(reference, entry, measure) for measure in Measure]
        rows.append(["  taskmill", *("" if r is None else f"{r:.1f}x" for r in ratios)])
    return rows


def ratio(reference: Entry, entry: Entry, measure: Measure) -> float | None:
    """How many times as fast the reference is; None where one of the two has no figure."""
    ours, theirs = reference.median(measure), entry.median(measure)
    if ours is None or theirs is None:
        return None
    better, worse = (ours, theirs) if measure.more_is_better else (theirs, ours)
    return better / max(worse, 1e-9)


def _middle(entry: Entry, measure: Measure) -> str:
    if any(failure.measure is measure for failure in entry.failures):
        return "failed"
    samples = entry.of(measure)
    if not samples:
        return "-"
    median = entry.median(measure)
    if median is None:
        return "WRONG"
    late = sorted(sample.p99 for sample in samples if sample.p99 is not None)
    return number(median, measure) + (f" / {late[len(late) // 2]:.2f}" if late else "")


def _range(entry: Entry, measure: Measure) -> str:
    values = [sample.value for sample in entry.of(measure)]
    if entry.median(measure) is None:
        return ""
    return f"{number(min(values), measure)} - {number(max(values), measure)}"


def number(value: float, measure: Measure) -> str:
    """A figure as people read it."""
    return f"{value:,.0f}" if measure.more_is_better else f"{value:.2f}"


def _about(entry: Entry) -> list[str]:
    return [
        entry.name,
        entry.version,
        entry.store,
        entry.durability,
        entry.promise,
        entry.settings,
    ]


def _beside(entries: Sequence[Entry]) -> list[str]:
    """What was wrong and what could not be measured, a line each."""
    lines: list[str] = []
    for entry in entries:
        lines += [f"{entry.name}: {problem}" for problem in entry.problems]
        lines += [f"{entry.name}: {f.measure} not measured: {f.reason}" for f in entry.failures]
        if entry.missing is not None:
            lines.append(f"{entry.name}: not measured: {entry.missing}")
    return lines
