"""The command line of the curves."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import cattrs

from benchmarks.__main__ import positive, tell
from benchmarks.document import this_machine
from benchmarks.report import aligned
from benchmarks.scale.curves import CURVES, GOALS, Curve, Goal, measure
from benchmarks.scale.picture import draw
from benchmarks.scale.point import Point

HEADS = ("open", "memory", "drain CPU", "real", "submit CPU", "real")
Found = Mapping[str, Mapping[int, Point]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure curves; return 1 where a task that was to run did not run exactly once."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    known = {curve.name: curve for curve in CURVES}
    unknown = [name for name in asked.names if name not in known]
    if unknown:
        parser.error(f"no curve is named {', '.join(unknown)}; there are {', '.join(known)}")
    if asked.plot is not None and find_spec("matplotlib") is None:
        parser.error("a picture needs the extra \"plot\": pip install 'taskmill[plot]'")
    found: dict[str, dict[int, Point]] = {}
    curves = [known[name] for name in asked.names] or list(CURVES)
    try:
        for curve in curves:
            found[curve.name] = _points(curve, asked)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    tell("")
    print(table(curves, found, asked.n, asked.concurrency, asked.repeat))
    if asked.json is not None:
        _write(asked.json, found, asked)
    if asked.plot is not None:
        draw(found, asked.plot)
    wrong = [point.problem for points in found.values() for point in points.values()]
    for problem in filter(None, wrong):
        print(f"WRONG: {problem}", file=sys.stderr)
    return 1 if any(wrong) else 0


def _points(curve: Curve, asked: Namespace) -> dict[int, Point]:
    sizes = [size for size in curve.sizes if size <= asked.most] or [curve.sizes[0]]
    with TemporaryDirectory(prefix="taskmill-", dir=asked.dir) as folder:
        return measure(
            curve,
            sizes,
            Path(folder),
            n=asked.n,
            concurrency=asked.concurrency,
            repeat=asked.repeat,
            told=tell,
        )


def table(curves: Sequence[Curve], found: Found, n: int, concurrency: int, repeat: int) -> str:
    """The points of each curve, and the goals that they are measured by."""
    lines = [
        f"Of each store the first {n:,} tasks are drained, with {concurrency} slots, and as many",
        f"are submitted while no slot is free. Medians of {repeat} runs, each in a process of its",
        "own; microseconds for each task, CPU time of all threads.",
    ]
    for curve in curves:
        points = found[curve.name].items()
        rows = [(f"{size:,}", *_cells(point)) for size, point in points]
        lines += ["", f"{curve.description}:", *aligned([(curve.name, *HEADS), *rows])]
    goals = [_line(goal, found[goal.curve]) for goal in GOALS if goal.curve in found]
    met = [row for row in goals if row is not None]
    return "\n".join([*lines, "", *aligned([("goal", "", "", ""), *met])] if met else lines)


def _cells(point: Point) -> tuple[str, ...]:
    return (
        f"{point.open_ms:,.0f} ms",
        f"{point.rss_mb:,.0f} MB",
        f"{point.drain_cpu_us:.1f} us",
        f"{point.drain_us:.1f} us",
        f"{point.submit_cpu_us:.1f} us",
        f"{point.submit_us:.1f} us",
    )


def _line(goal: Goal, points: Mapping[int, Point]) -> tuple[str, ...] | None:
    value = goal.value(points)
    if value is None:
        return None
    verdict = "met" if value <= goal.most else "missed"
    return goal.what, f"{value:.2f} {goal.unit}", f"<= {goal.most:g} {goal.unit}", verdict


def _write(path: Path, found: Found, asked: Namespace) -> None:
    kept = {
        "machine": cattrs.unstructure(this_machine()),
        "conditions": {"n": asked.n, "concurrency": asked.concurrency, "repeat": asked.repeat},
        "curves": {
            name: [{"size": size, **cattrs.unstructure(point)} for size, point in points.items()]
            for name, points in found.items()
        },
    }
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m benchmarks.scale", description=__doc__)
    add = parser.add_argument
    names = ", ".join(curve.name for curve in CURVES)
    add("names", nargs="*", help=f"curves to measure, of {names}; all of them unless named")
    add("-n", type=positive, default=20_000, help="tasks that are drained (default: %(default)s)")
    add("--most", type=positive, default=10**9, help="leave out the sizes above this")
    add("--concurrency", type=positive, default=16, help="slots (default: %(default)s)")
    add("--repeat", type=positive, default=3, help="runs of each (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the points there as well")
    add("--plot", type=Path, metavar="FILE", help="draw them there, as .png or .svg")
    add("--dir", type=Path, help="where databases are made (default: the system's place)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
