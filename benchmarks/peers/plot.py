"""The figures as a picture: who drains how fast, and beside it the submits and the latency."""

from __future__ import annotations

# matplotlib's own stubs leave **kwargs without a type
# pyright: reportUnknownMemberType=false
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers.document import Document, Entry
from benchmarks.peers.harness import Measure
from benchmarks.peers.libraries import TASKMILL, Durability
from benchmarks.peers.report import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DURABLE, LESS = "#0072B2", "#E69F00"
"""Okabe and Ito's: they differ for colour-blind people too."""
PALE = {DURABLE: "#8FC1E0", LESS: "#F5D48F"}
"""Of the peers, so that taskmill stands out in either colour."""
FEW = 6
"""Room for so many bars, also where there are fewer."""
TITLES = {
    Measure.DRAIN: "Drain: tasks/s from the start of a worker to the last run",
    Measure.SUBMIT: "Submit, one at a time: tasks/s",
    Measure.IN_FLIGHT: "Submit, 50 in flight: tasks/s",
    Measure.BULK: "Submit, 1,000 a call: tasks/s",
    Measure.LATENCY: "Latency, idle: ms (less is better)",
}


def find_obstacle(path: Path) -> str | None:
    """Why no picture could be drawn there; None where one could."""
    if find_spec("matplotlib") is None:
        return "drawing needs the extra \"plot\": pip install 'taskmill[plot]'"
    if path.suffix.lower() != ".png":
        return f"the picture's name must end in .png, not {path.name!r}"
    return None


def draw(kept: Document, path: Path) -> None:
    """Write the picture of a document as PNG; needs the extra ``plot``."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=(13, 7.2), dpi=100, facecolor="white")
    figure.set_layout_engine("constrained", rect=(0.005, 0.06, 0.99, 0.84), wspace=0.03)
    grid = figure.add_gridspec(2, 4)
    _bars(figure.add_subplot(grid[:, :2]), kept.entries, Measure.DRAIN)
    small = [Measure.SUBMIT, Measure.IN_FLIGHT, Measure.BULK, Measure.LATENCY]
    for at, measure in enumerate(small):
        _bars(figure.add_subplot(grid[at // 2, 2 + at % 2]), kept.entries, measure, small=True)
    figure.text(0.012, 0.95, "Tasks that do nothing, by Python task libraries", fontsize=15)
    figure.text(0.012, 0.918, _conditions(kept), fontsize=9, color="#555555")
    figure.legend(
        handles=[
            Patch(color=DURABLE, label="taskmill, outlives a power cut"),
            Patch(color=PALE[DURABLE], label="peer, outlives a power cut"),
            Patch(color=LESS, label="taskmill, outlives a killed process"),
            Patch(color=PALE[LESS], label="peer, in the memory of a server"),
        ],
        loc="lower left",
        bbox_to_anchor=(0.005, 0.005),
        ncols=4,
        frameon=False,
        fontsize=10,
    )
    figure.savefig(path)


def _conditions(kept: Document) -> str:
    asked, machine = kept.conditions, kept.machine
    software = [f"Python {machine.python}", f"SQLite {machine.sqlite}", *machine.servers]
    turns = f"median of {asked.repeat} runs" if asked.repeat > 1 else "one run"
    range_shown = ", with the least and the most" if asked.repeat > 1 else ""
    return (
        f"producer and worker in one process, {asked.concurrency} slots, up to {asked.n:,} tasks, "
        f"{turns}{range_shown}; {', '.join(software)}; {machine.cpus} CPUs"
    )


def bars_of(entries: Sequence[Entry], measure: Measure) -> list[tuple[Entry, float]]:
    """The libraries that have a figure, the fastest first."""
    medians = [(entry, entry.median(measure)) for entry in entries]
    found = [(entry, median) for entry, median in medians if median is not None]
    return sorted(found, key=lambda bar: bar[1], reverse=measure.more_is_better)


def _bars(axes: Axes, entries: Sequence[Entry], measure: Measure, *, small: bool = False) -> None:
    size = 7.5 if small else 10
    found = bars_of(entries, measure)
    axes.set_title(TITLES[measure], loc="left", fontsize=size + 1.5)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.xaxis.set_visible(False)
    if not found:
        axes.yaxis.set_visible(False)
        axes.text(0.5, 0.5, "nothing was measured", ha="center", transform=axes.transAxes)
        return
    places = range(len(found))
    values = [median for _, median in found]
    axes.barh(places, values, color=[_colour(entry) for entry, _ in found], height=0.72)
    axes.set_yticks(places, labels=[entry.name for entry, _ in found], fontsize=size)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(max(len(found), FEW) - 0.4, -0.6)  # the fastest on top, no bar very thick
    for place, (entry, median) in enumerate(found):
        samples = [sample.value for sample in entry.of(measure)]
        if len(samples) > 1:
            axes.plot([min(samples), max(samples)], [place, place], color="#333333", linewidth=1)
        end = max(median, *samples)
        axes.text(end, place, f"  {number(median, measure)}", va="center", fontsize=size)
    longest = max(max(s.value for s in entry.of(measure)) for entry, _ in found)
    axes.set_xlim(0, longest * (1.25 if small else 1.12))  # room for the figure beside the bar
    for label, (entry, _) in zip(axes.get_yticklabels(), found, strict=True):
        if _is_ours(entry):
            label.set_fontweight("bold")


def _is_ours(entry: Entry) -> bool:
    return entry.name.split("-")[0] == TASKMILL


def _colour(entry: Entry) -> str:
    strong = DURABLE if entry.durability is Durability.POWER else LESS
    return strong if _is_ours(entry) else PALE[strong]
