"""The curves as a picture: one small panel for each, the size on a logarithmic axis."""

# pyright: reportUnknownMemberType=false
# matplotlib's own stubs leave **kwargs without a type

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from benchmarks.scale.point import Point

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Line = tuple[str, str, Callable[[Point], float]]
"""Its name, its colour, and what it shows."""

DRAINED: Line = ("drain, CPU", "#0072B2", lambda point: point.drain_cpu_us)
DRAINED_REAL: Line = ("drain, real time", "#9CCBEB", lambda point: point.drain_us)
SUBMITTED: Line = ("submit_many, CPU", "#D55E00", lambda point: point.submit_cpu_us)
GREY = "#767676"


@attrs.frozen(kw_only=True)
class Panel:
    """One small picture."""

    curve: str
    title: str
    size: str
    """What the sizes count."""
    lines: tuple[Line, ...]
    limit: float | None = None
    """What it is to stay under."""


COSTS = (DRAINED, DRAINED_REAL, SUBMITTED)
PANELS = (
    Panel(
        curve="pending", title="cost of a task (µs)", size="tasks that stay pending", lines=COSTS
    ),
    Panel(
        curve="pending",
        title="memory of the process (MB)",
        size="tasks that stay pending",
        lines=(("", "#009E73", lambda point: point.rss_mb),),
        limit=400,
    ),
    Panel(
        curve="pending",
        title="opening the file (s)",
        size="tasks that stay pending",
        lines=(("", "#009E73", lambda point: point.open_ms / 1e3),),
        limit=5,
    ),
    Panel(curve="groups", title="cost of a task (µs)", size="groups with weights", lines=COSTS),
    Panel(curve="types", title="cost of a task (µs)", size="task types", lines=COSTS),
    Panel(curve="tags", title="cost of a task (µs)", size="tags of each task", lines=COSTS),
)


def draw(found: Mapping[str, Mapping[int, Point]], target: Path) -> None:
    """Write a picture of the curves that were measured; needs the extra ``plot``."""
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if panel.curve in found]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 3 * columns, 2.6 * rows + 0.3
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
    drawn = figure.subplots(rows, columns, squeeze=False)
    for number, axes in enumerate(drawn.flat):
        if number < len(panels):
            _draw(axes, panels[number], found[panels[number].curve])
        else:
            axes.set_axis_off()
    names = {name: colour for panel in panels for name, colour, _ in panel.lines if name}
    handles = [_handle(colour) for colour in names.values()]
    figure.legend(
        handles, list(names), loc="outside lower center", ncols=3, frameon=False, fontsize=9
    )
    figure.savefig(target, facecolor="white")


def _draw(axes: Axes, panel: Panel, points: Mapping[int, Point]) -> None:
    sizes = sorted(points)
    for _, colour, figure in panel.lines:
        values = [figure(points[size]) for size in sizes]
        axes.plot(sizes, values, color=colour, marker="o", markersize=4, linewidth=1.6)
    if sizes[0] == 0:
        axes.set_xscale("symlog", linthresh=1)
    else:
        axes.set_xscale("log")
    axes.set_xticks(sizes, [_short(size) for size in sizes], minor=False)
    axes.set_xticks([], minor=True)
    if panel.limit is not None:
        axes.axhline(panel.limit, color=GREY, linewidth=1, linestyle="--")
        axes.annotate(
            f"at most {panel.limit:g}",
            (0.03, panel.limit),
            xycoords=("axes fraction", "data"),
            xytext=(0, -3),
            textcoords="offset points",
            va="top",
            color=GREY,
            fontsize=8,
        )
    axes.set_ylim(bottom=0, top=_top(panel, points))
    axes.set_title(panel.title, loc="left", fontsize=10)
    axes.set_xlabel(panel.size, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _top(panel: Panel, points: Mapping[int, Point]) -> float:
    highest = max(figure(point) for _, _, figure in panel.lines for point in points.values())
    return max(highest, panel.limit or 0) * 1.12


def _handle(colour: str) -> Artist:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, marker="o", markersize=4, linewidth=1.6)


def _short(size: int) -> str:
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if size >= unit:
            return f"{size / unit:g}{letter}"
    return str(size)
