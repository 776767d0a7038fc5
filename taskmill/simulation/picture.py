"""What happened, as a picture: slots per group over time, and waiting times per priority."""

# pyright: reportUnknownMemberType=false
# matplotlib's own stubs leave **kwargs without a type

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from taskmill.model.errors import ConfigurationError
from taskmill.simulation.arrivals import nanoseconds
from taskmill.simulation.outcome import Outcome, Waits
from taskmill.simulation.steps import Steps
from taskmill.simulation.words import group_text, priority_text

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
COLOURS: Sequence[str] = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#F0E442",
)
"""Okabe and Ito's: they differ for colour-blind people too."""
GREY = "#9A9A9A"
STEPS = 500
"""More changes than this are drawn as averages over as many equal intervals."""
WAITS = 120
"""Into how many intervals the starts are gathered."""
_TIMES = ((1, "ms", 1e6), (300, "s", 1e9), (18_000, "min", 60e9))


def check_picture(path: Path) -> None:
    """Raise ConfigurationError where no picture could be drawn there."""
    if find_spec("matplotlib") is None:
        raise ConfigurationError(
            "drawing pictures needs the extra \"plot\": pip install 'taskmill[plot]'"
        )
    if path.suffix.lower() not in FORMATS:
        raise ConfigurationError(
            f"the picture's name must end in {', '.join(FORMATS)}, not {path.name!r}"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"the picture cannot be written: {path.parent} is no directory")


def draw(outcome: Outcome, path: str | Path) -> None:
    """Write a picture of ``outcome`` to ``path`` (.png, .svg or .pdf); needs the extra ``plot``."""
    target = Path(path)
    check_picture(target)
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 6), dpi=90, layout="constrained")
    slots, waits = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    unit, size = _unit(outcome.length_ns)
    _draw_slots(slots, outcome, size)
    slots.yaxis.set_major_locator(MaxNLocator(integer=True))
    _draw_waits(waits, outcome, size)
    waits.set_xlabel(f"time ({unit})")
    waits.set_xlim(0, outcome.length_ns / size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a name in another script
        try:
            figure.savefig(target)
        except OSError as error:
            raise ConfigurationError(f"{target}: {error.strerror or error}") from error


def _draw_slots(axes: Axes, outcome: Outcome, size: float) -> None:
    """Stack the slots of the groups; those with the least slot time are one area."""
    by_time = outcome.by_slot_time()
    single = by_time if len(by_time) <= len(COLOURS) else by_time[: len(COLOURS)]
    times, areas = sampled([outcome.groups[name].running for name in by_time], outcome.length_ns)
    names = [
        f"{group_text(name)} (weight {outcome.groups[name].weight}): {outcome.part(name):.0%}"
        for name in single
    ]
    colours = list(COLOURS[: len(single)])
    if len(single) < len(by_time):
        left = areas[len(single) :]
        areas = [*areas[: len(single)], [sum(values) for values in zip(*left, strict=True)]]
        part = sum(outcome.part(name) for name in by_time[len(single) :])
        names.append(f"{len(left):,} more groups: {part:.0%}")
        colours.append(GREY)
    xs = [at / size for at in times]
    drawn = axes.stackplot(xs, *areas, colors=colours, step="post", linewidth=0)
    axes.axhline(outcome.max_concurrency, color="black", linewidth=0.8, linestyle="--")
    axes.set_ylim(0, outcome.max_concurrency * 1.08)
    axes.set_ylabel("slots in use")
    axes.set_title(
        f"Slots per group: {outcome.utilisation:.1%} of {outcome.max_concurrency} used",
        loc="left",
        fontsize="medium",
    )
    _name(axes, drawn, names, title="part of slot time")


def _draw_waits(axes: Axes, outcome: Outcome, size: float) -> None:
    """One line for each priority: the median of those that started in an interval, up to p95."""
    longest = max((nanoseconds(w.most) for w in outcome.priorities.values()), default=0)
    unit, height = _unit(longest)
    lines: list[Artist] = []
    names: list[str] = []
    shown = list(outcome.priorities.items())[: len(COLOURS)]
    for (priority, waits), colour in zip(shown, COLOURS, strict=False):
        times, middle, high = gathered(waits, outcome.length_ns)
        xs = [at / size for at in times]
        axes.fill_between(
            xs,
            [wait / height for wait in middle],
            [wait / height for wait in high],
            color=colour,
            alpha=0.2,
            linewidth=0,
        )
        lines += axes.plot(xs, [wait / height for wait in middle], color=colour, linewidth=1.5)
        still = f", {waits.waiting:,} still waiting" if waits.waiting else ""
        names.append(f"{priority_text(priority)}{still}")
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"waiting time ({unit})")
    axes.set_title("Waiting time of tasks that start then", loc="left", fontsize="medium")
    if lines:
        _name(axes, lines, names, title="priority: median to p95")


def _name(axes: Axes, drawn: Sequence[Artist], names: Sequence[str], *, title: str) -> None:
    """Name what is drawn, beside it, as it is: a $ is no formula, and a leading _ hides nothing."""
    legend = axes.legend(
        drawn,
        ["x"] * len(drawn),
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        frameon=False,
        fontsize="small",
        title=title,
        title_fontsize="small",
        alignment="left",
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)


def sampled(series: Sequence[Steps], end_ns: int) -> tuple[list[float], list[list[float]]]:
    """Times and, for each of ``series``, its values from these on: exact where they are few."""
    moments = sorted({at for steps in series for at in steps.times_ns if at < end_ns})
    if len(moments) <= STEPS:
        return [*moments, end_ns], [
            [float(steps.at(at)) for at in [*moments, end_ns]] for steps in series
        ]
    times = [end_ns * number / STEPS for number in range(STEPS + 1)]
    means = [steps.means(end_ns, STEPS) for steps in series]
    return times, [[*values, values[-1]] for values in means]


def gathered(waits: Waits, end_ns: int) -> tuple[list[float], list[int], list[int]]:
    """Intervals with starts in them: their middles, and the median and p95 of the waits."""
    times: list[float] = []
    middle: list[int] = []
    high: list[int] = []
    first = 0
    for number in range(WAITS):
        last = bisect_right(waits.starts_ns, end_ns * (number + 1) / WAITS)
        if last > first:
            ordered = sorted(waits.waits_ns[first:last])
            times.append(end_ns * (number + 0.5) / WAITS)
            middle.append(ordered[(len(ordered) - 1) // 2])
            high.append(ordered[-(-len(ordered) * 95 // 100) - 1])
        first = last
    return times, middle, high


def _unit(longest_ns: int) -> tuple[str, float]:
    """A unit in which so long a time is a handy number, and its nanoseconds."""
    for limit, unit, size in _TIMES:
        if longest_ns < limit * 1e9:
            return unit, size
    return "h", 3600e9
