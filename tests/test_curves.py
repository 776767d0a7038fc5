"""The curves of the benchmarks: every point counts its tasks, and is drawn and judged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from benchmarks.scale.__main__ import main, table
from benchmarks.scale.curves import CURVES, GOALS, Goal, fill_all, middle
from benchmarks.scale.picture import PANELS, draw
from benchmarks.scale.point import Order, Point
from benchmarks.scale.point import measure as measure_here
from benchmarks.scale.shape import Shape, fill

N = 20
POINT = Point(open_ms=10, rss_mb=40, drain_cpu_us=50, drain_us=60, submit_cpu_us=20, submit_us=25)
FOUND = {curve.name: dict.fromkeys(curve.sizes, POINT) for curve in CURVES}


def silently(_: str) -> None:
    pass


@pytest.mark.parametrize(
    "shape",
    [
        Shape(stay=N),
        Shape(stay=3),
        Shape(stay=N, groups=7),
        Shape(stay=N, types=5),
        Shape(stay=N, tags=3),
    ],
    ids=str,
)
def test_a_point_drains_the_first_tasks_and_leaves_the_others(shape: Shape, tmp_path: Path) -> None:
    path = tmp_path / "point.db"
    anyio.run(fill, path, shape, range(N + shape.stay))
    point = anyio.run(measure_here, Order(path=path, shape=shape, n=N, concurrency=4))
    assert point.problem is None
    assert all(value > 0 for value in attrs.astuple(point)[:-1])


def test_a_store_that_holds_too_few_tasks_is_found(tmp_path: Path) -> None:
    path, shape = tmp_path / "point.db", Shape(stay=N)
    anyio.run(fill, path, shape, range(N + shape.stay - 1))
    point = anyio.run(measure_here, Order(path=path, shape=shape, n=N, concurrency=4))
    assert point.problem == "39 tasks are active in the end, not 40"


def test_a_longer_store_goes_on_from_the_shorter_one(tmp_path: Path) -> None:
    curve, shapes = CURVES[0], {3: Shape(stay=3), 5: Shape(stay=5)}
    assert curve.is_longer
    fill_all(curve, shapes, tmp_path, n=N, told=silently)
    for size, shape in shapes.items():
        order = Order(path=tmp_path / f"{size}.db", shape=shape, n=N, concurrency=4)
        assert anyio.run(measure_here, order).problem is None


def test_the_command_writes_points_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, plot = tmp_path / "kept.json", tmp_path / "curves.png"
    options = ["-n", str(N), "--most", "1", "--repeat", "1", "--dir", str(tmp_path)]
    assert main(["groups", *options, "--json", str(kept), "--plot", str(plot)]) == 0
    written: dict[str, Any] = json.loads(kept.read_text())
    assert written.keys() == {"machine", "conditions", "curves"}
    [point] = written["curves"]["groups"]
    assert point.keys() == {"size", *attrs.fields_dict(Point)}
    assert "groups that share" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in tmp_path.iterdir()} == {"kept.json", "curves.png"}


def test_the_picture_is_small_enough_for_a_page(tmp_path: Path) -> None:
    draw(FOUND, tmp_path / "curves.png")
    picture = (tmp_path / "curves.png").read_bytes()
    assert int.from_bytes(picture[16:20], "big") == 900
    assert len(picture) < 200_000
    assert {panel.curve for panel in PANELS} == FOUND.keys()


def test_a_goal_is_a_ratio_where_it_names_two_sizes() -> None:
    ratio = Goal(
        curve="pending",
        what="",
        figure=lambda point: point.drain_us,
        at=10,
        over=1,
        most=2,
        unit="x",
    )
    points = {1: POINT, 10: attrs.evolve(POINT, drain_us=90)}
    assert ratio.value(points) == pytest.approx(1.5)
    assert attrs.evolve(ratio, over=None).value(points) == 90
    assert ratio.value({1: POINT}) is None
    assert ratio.value({10: POINT}) is None


def test_the_table_says_which_goals_are_met() -> None:
    at_most = {goal.at for goal in GOALS if goal.curve == "pending"}
    slow = {size: attrs.evolve(POINT, open_ms=6000) for size in at_most}
    found = {**FOUND, "pending": {**FOUND["pending"], **slow}}
    lines = table(CURVES, found, N, 4, 1).splitlines()
    goals = [line for line in lines if line.endswith(("met", "missed"))]
    assert len(goals) == len(GOALS)
    assert [line for line in goals if line.endswith("missed")] == [
        line for line in goals if line.startswith("opening")
    ]


def test_points_are_medians_and_keep_what_went_wrong() -> None:
    runs = [attrs.evolve(POINT, open_ms=value) for value in (3, 1, 2)]
    assert middle(runs).open_ms == 2
    wrong = attrs.evolve(POINT, problem="1 tasks ran more than once")
    assert middle([*runs, wrong]).problem == wrong.problem


def test_a_curve_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["no-such"])
