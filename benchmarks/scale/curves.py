"""Which curves there are, and what they are to stay under."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median

import anyio
import attrs

from benchmarks.scale.point import Order, Point, taken
from benchmarks.scale.shape import Shape, fill

Figure = Callable[[Point], float]


@attrs.frozen(kw_only=True)
class Curve:
    """Points at growing sizes of one thing."""

    name: str
    description: str
    sizes: tuple[int, ...]
    shape: Callable[[int, int], Shape]
    """What a store is like, from the size and from how many tasks are drained."""
    is_longer: bool = False
    """Whether a larger store is a smaller one with more tasks in it: then it is not made anew."""


CURVES = (
    Curve(
        name="pending",
        description="tasks that stay pending",
        sizes=(1000, 10_000, 100_000, 1_000_000),
        shape=lambda size, _: Shape(stay=size),
        is_longer=True,
    ),
    Curve(
        name="groups",
        description="groups that share the slots by weight",
        sizes=(1, 10, 100, 1000, 10_000),
        shape=lambda size, n: Shape(stay=n, groups=size),
    ),
    Curve(
        name="types",
        description="task types",
        sizes=(1, 10, 100, 1000),
        shape=lambda size, n: Shape(stay=n, types=size),
    ),
    Curve(
        name="tags",
        description="tags of each task",
        sizes=(0, 1, 2, 5, 10, 20),
        shape=lambda size, n: Shape(stay=n, tags=size),
    ),
)


@attrs.frozen(kw_only=True)
class Goal:
    """What a figure is to stay under: at a size or, compared with that at another, as a ratio."""

    curve: str
    what: str
    figure: Figure
    at: int
    over: int | None = None
    most: float
    unit: str

    def value(self, points: Mapping[int, Point]) -> float | None:
        """What it has come to; None where one of its sizes was not measured."""
        if self.at not in points or (self.over is not None and self.over not in points):
            return None
        value = self.figure(points[self.at])
        return value if self.over is None else value / max(self.figure(points[self.over]), 1e-9)


GOALS = (
    Goal(
        curve="pending",
        what="CPU time of a drained task at 1,000,000 pending, over that at 1,000",
        figure=lambda point: point.drain_cpu_us,
        at=1_000_000,
        over=1000,
        most=1.2,
        unit="x",
    ),
    Goal(
        curve="pending",
        what="memory of the process at 1,000,000 pending",
        figure=lambda point: point.rss_mb,
        at=1_000_000,
        most=400,
        unit="MB",
    ),
    Goal(
        curve="pending",
        what="opening a file with 1,000,000 pending",
        figure=lambda point: point.open_ms / 1e3,
        at=1_000_000,
        most=5,
        unit="s",
    ),
    Goal(
        curve="groups",
        what="CPU time of a drained task with 10,000 groups, over that with 10",
        figure=lambda point: point.drain_cpu_us,
        at=10_000,
        over=10,
        most=3,
        unit="x",
    ),
)


def measure(
    curve: Curve,
    sizes: Sequence[int],
    folder: Path,
    *,
    n: int,
    concurrency: int,
    repeat: int,
    told: Callable[[str], None],
) -> dict[int, Point]:
    """The points at some of the sizes of a curve, ascending: medians of runs in turns."""
    shapes = {size: curve.shape(size, n) for size in sizes}
    fill_all(curve, shapes, folder, n=n, told=told)
    found: dict[int, list[Point]] = {size: [] for size in sizes}
    for turn in range(repeat):
        for size, shape in shapes.items():
            told(f"{curve.name} {size:,}: {turn + 1}/{repeat}")
            path = _copied(folder / f"{size}.db", folder / "point.db")
            order = Order(path=path, shape=shape, n=n, concurrency=concurrency)
            found[size].append(taken(order))
            for left in folder.glob("point.db*"):
                left.unlink()
    for size in sizes:
        (folder / f"{size}.db").unlink()
    return {size: middle(points) for size, points in found.items()}


def _copied(source: Path, path: Path) -> Path:
    """A copy that is on the disk, so that it is not being written while something is measured."""
    with source.open("rb") as whole, path.open("wb") as copy:
        shutil.copyfileobj(whole, copy, 2**20)
        copy.flush()
        os.fsync(copy.fileno())
    return path


def fill_all(
    curve: Curve,
    shapes: Mapping[int, Shape],
    folder: Path,
    *,
    n: int,
    told: Callable[[str], None],
) -> None:
    """Leave a file for each size, ascending, with ``n`` tasks before those that stay."""
    filled: Path | None = None
    held = 0
    for size, shape in shapes.items():
        told(f"{curve.name} {size:,}: filling")
        path = folder / f"{size}.db"
        if filled is not None and curve.is_longer:
            shutil.copyfile(filled, path)
        else:
            held = 0
        anyio.run(fill, path, shape, range(held, n + shape.stay))
        filled, held = path, n + shape.stay


def middle(points: Sequence[Point]) -> Point:
    """The median of each figure; and what was wrong with the first that was not right."""
    values = [attrs.asdict(point) for point in points]
    names = [field.name for field in attrs.fields(Point) if field.name != "problem"]
    problem = next((point.problem for point in points if point.problem is not None), None)
    medians = {name: round(median(value[name] for value in values), 2) for name in names}
    return Point(**medians, problem=problem)
