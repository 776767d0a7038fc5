"""Every benchmark runs, counts its tasks, and says so in the shape that the documents have."""

from __future__ import annotations

import json
import lzma
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from benchmarks import document, history, report, squeezing
from benchmarks.__main__ import main
from benchmarks.features import FEATURES
from benchmarks.floors import Floor
from benchmarks.kinds import Bench, Step, steps
from benchmarks.measure import Figures, measure
from benchmarks.scenario import AtLeast, AtMost, OfFloor, Scenario, is_met
from benchmarks.scenarios import SCENARIOS
from benchmarks.setting import Sample, Setting, Unit
from benchmarks.trial import KeptUp, Trial
from benchmarks.work import (
    Ledger,
    ended,
    fill,
    find_problem,
    find_rerun,
    finish,
    scheduler,
)
from examples.archive import Squeeze
from taskmill import Scheduler, TaskRecord, TaskStatus
from taskmill.store.sqlite.store import Durability

N = 20
FLOORS = {floor.name: floor for scenario in SCENARIOS for floor in scenario.floors}
IN_MEMORY = [s for s in SCENARIOS if not s.needs_file and s not in FEATURES]
"""Features are queued and timed as what comes before them."""


def setting_in(
    folder: Path, *, durability: Durability = "process", in_memory: bool = False
) -> Setting:
    return Setting(folder=folder, n=N, concurrency=4, durability=durability, in_memory=in_memory)


def is_a_sample_of_all(sample: Sample) -> bool:
    return sample.n == N and sample.value > 0 and sample.problem is None


def name_of(item: Scenario | Floor) -> str:
    return item.name


def silently(_: str) -> None:
    pass


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_a_scenario_runs_each_task_once_from_a_file(scenario: Scenario, tmp_path: Path) -> None:
    assert is_a_sample_of_all(anyio.run(scenario.measure, setting_in(tmp_path)))


@pytest.mark.parametrize("scenario", IN_MEMORY, ids=name_of)
def test_a_scenario_runs_each_task_once_in_memory(scenario: Scenario, tmp_path: Path) -> None:
    assert is_a_sample_of_all(anyio.run(scenario.measure, setting_in(tmp_path, in_memory=True)))
    assert not (tmp_path / "bench.db").exists()


@pytest.mark.parametrize("floor", FLOORS.values(), ids=name_of)
def test_a_floor_gives_a_figure(floor: Floor, tmp_path: Path) -> None:
    assert is_a_sample_of_all(anyio.run(floor.measure, setting_in(tmp_path, durability="power")))


def test_names_are_unique() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)
    assert all(FLOORS[f.name] is f for scenario in SCENARIOS for f in scenario.floors)


def drained_with(folder: Path, ran: dict[int, int]) -> str | None:
    """What is found wrong after a drain, had the handler been run that much more often."""

    async def drain() -> str | None:
        setting, ledger = setting_in(folder), Ledger()
        await fill(setting)
        async with scheduler(setting, ledger) as opened:
            await finish(opened, N)
            ledger.runs.update(ran)
            return await find_problem(opened, ledger, N)

    return anyio.run(drain)


@pytest.mark.parametrize(
    ("ran", "problem"),
    [
        ({}, None),
        ({3: -1}, "1 of 20 tasks did not run"),
        ({3: 1}, "1 tasks ran more than once, such as task 3"),
        ({N: 1}, "1 tasks ran that nobody submitted"),
    ],
)
def test_a_run_that_is_not_exactly_once_is_found(
    ran: dict[int, int], problem: str | None, tmp_path: Path
) -> None:
    assert drained_with(tmp_path, ran) == problem


@pytest.mark.parametrize(
    ("runs", "problem"),
    [(1, None), (2, "20 of 20 tasks did not run 2 times")],
)
def test_how_often_tasks_are_to_run_is_part_of_a_trial(
    runs: int, problem: str | None, tmp_path: Path
) -> None:
    sample = anyio.run(Trial(runs=runs).measure, setting_in(tmp_path, in_memory=True))
    assert sample.problem == problem


def test_what_goes_wrong_beside_a_trial_is_found(tmp_path: Path) -> None:
    async def kept_up() -> str:
        return "a reader missed 3 events"

    @asynccontextmanager
    async def beside(_: Scheduler, __: int) -> AsyncGenerator[KeptUp]:
        yield kept_up

    sample = anyio.run(Trial(beside=beside).measure, setting_in(tmp_path, in_memory=True))
    assert sample.problem == "a reader missed 3 events"


def test_a_store_may_have_fewer_tasks_where_they_are_pruned(tmp_path: Path) -> None:
    async def prune() -> list[str | None]:
        setting, ledger = setting_in(tmp_path, in_memory=True), Ledger()
        async with scheduler(setting, ledger) as opened:
            await opened.submit_many(steps(N))
            await finish(opened, N)
            await opened.delete(ids=await opened.ids(status=TaskStatus.COMPLETED, types=[Step]))
            return [
                await find_problem(opened, ledger, N, least_kept=least) for least in (0, 1, None)
            ]

    problem = "20 tasks ran, and the store has 0 as completed"
    assert anyio.run(prune) == [None, problem, problem]


def test_a_scenario_may_have_fewer_tasks_and_its_own_slots(tmp_path: Path) -> None:
    scenario = attrs.evolve(SCENARIOS[0], most_n=7, concurrency=1)
    own = scenario.setting(setting_in(tmp_path))
    assert (own.n, own.concurrency) == (7, 1)
    assert attrs.evolve(scenario, most_n=N + 1).setting(setting_in(tmp_path)).n == N


def test_a_store_that_disagrees_is_found(tmp_path: Path) -> None:
    async def open_without_running() -> str | None:
        setting, ledger = setting_in(tmp_path), Ledger()
        ledger.runs.update(range(N))
        async with scheduler(setting, ledger) as opened:
            return await find_problem(opened, ledger, N)

    expected = "20 tasks ran, and the store has 0 as completed"
    assert anyio.run(open_without_running) == expected


async def _ended_steps(setting: Setting) -> list[TaskRecord]:
    await fill(setting)
    async with scheduler(setting, Ledger()) as opened:
        await finish(opened, N)
        return await ended(opened, Bench)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({}, None),
        ({"run": 2}, "task {} was completed by run 2"),
        ({"status": TaskStatus.FAILED}, "task {} was failed by run 1"),
    ],
)
def test_a_task_that_another_process_ran_twice_is_found(
    change: dict[str, Any], problem: str | None, tmp_path: Path
) -> None:
    first, *others = anyio.run(_ended_steps, setting_in(tmp_path))
    records = [attrs.evolve(first, **change), *others]
    assert find_rerun(records, N) == (problem and problem.format(first.id))
    assert find_rerun(others, N) == "19 of 20 tasks have ended"


def test_a_file_that_was_squeezed_badly_is_found(tmp_path: Path) -> None:
    task = Squeeze(source=tmp_path / "a", target=tmp_path / "a.xz")
    task.source.write_bytes(b"a")
    assert squeezing.is_squeezed(task) is False
    task.target.write_bytes(lzma.compress(b"b"))
    assert squeezing.is_squeezed(task) is False
    task.target.write_bytes(lzma.compress(b"a"))
    assert squeezing.is_squeezed(task) is True


def test_the_ratio_is_that_of_runs_in_the_same_turn() -> None:
    floor = SCENARIOS[0].floors[0]
    fast_then_slow = [Sample(n=N, value=value) for value in (80, 40, 9)]
    its_floor = [Sample(n=N, value=value) for value in (100, 50, 10)]
    assert Figures(SCENARIOS[0], fast_then_slow, [(floor, its_floor)]).ratio == pytest.approx(0.8)


def test_a_wrong_run_of_a_floor_is_one_of_its_scenario() -> None:
    right = Sample(n=N, value=1)
    wrong = attrs.evolve(right, problem="1 of 20 tasks did not run")
    scenario = SCENARIOS[0]
    figures = Figures(scenario, [right], [(scenario.floors[0], [right, wrong])])
    assert figures.problem == wrong.problem


def test_a_wrong_run_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def find_fault(_: Scheduler, __: Ledger, ___: int) -> str:
        return "1 of 20 tasks did not run"

    monkeypatch.setattr("benchmarks.life.find_problem", find_fault)
    kept = tmp_path / "kept.json"
    assert main(["drain", *arguments(tmp_path, kept)]) == 1
    [result] = json.loads(kept.read_text())["results"]
    assert result["exactly_once"] is False
    assert result["problem"] == "1 of 20 tasks did not run"
    assert "drain is WRONG: 1 of 20 tasks did not run" in capsys.readouterr().err


def arguments(folder: Path, kept: Path) -> Sequence[str]:
    return ["-n", str(N), "--repeat", "2", "--dir", str(folder), "--json", str(kept)]


def test_the_json_has_the_documented_shape(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.json"
    assert main(["latency", "drain-64", *arguments(tmp_path, kept)]) == 0
    found: dict[str, Any] = json.loads(kept.read_text())
    assert found.keys() == {"machine", "conditions", "results"}
    assert found["machine"].keys() == {"python", "sqlite", "cpus", "platform"}
    assert found["conditions"] == {
        "n": N,
        "concurrency": 16,
        "repeat": 2,
        "durability": "power",
        "memory": False,
        "uvloop": False,
    }
    latency, drain = found["results"]
    assert latency.keys() == {field.name for field in attrs.fields(document.Result)}
    assert latency["floor"].keys() == {"name", "unit", "value", "cpu_us"}
    assert (latency["unit"], drain["unit"]) == ("ms", "1/s")
    assert latency["p99"] >= latency["median"]
    assert drain["p99"] is None
    assert drain["cpu_us"] > 0
    assert latency["cpu_us"] is None
    for result in (latency, drain):
        assert result["exactly_once"] is True
        assert (result["n"], result["runs"]) == (N, 2)
        assert 0 < result["min"] <= result["median"] <= result["max"]
        assert result["ratio"] > 0
    table = capsys.readouterr().out
    assert "claim and settle" in table
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    setting = setting_in(tmp_path)
    taken = measure(SCENARIOS[:1], setting, repeat=1, told=silently)
    kept = document.document(taken, setting, repeat=1)
    document.write(tmp_path / "kept.json", kept)
    assert document.read(tmp_path / "kept.json") == kept


def result(name: str, median: float, unit: Unit, ratio: float) -> document.Result:
    return document.Result(
        name=name,
        n=N,
        runs=1,
        unit=unit,
        median=median,
        min=median,
        max=median,
        p99=None,
        floor=document.FloorResult(name="floor", unit=unit, value=median / ratio),
        ratio=ratio,
        other_floors=[],
        exactly_once=True,
        problem=None,
    )


def kept_with(*results: document.Result, n: int = N) -> document.Document:
    return document.Document(
        machine=document.Machine(python="3.11.0", sqlite="3.40.0", cpus=2, platform="Linux"),
        conditions=document.Conditions(
            n=n, concurrency=4, repeat=1, durability="power", memory=False
        ),
        results=list(results),
    )


def test_a_comparison_says_how_many_times_faster_the_new_figures_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    document.write(
        old,
        kept_with(result("drain", 1000, Unit.RATE, 0.1), result("latency", 2.0, Unit.MS, 4.0)),
    )
    document.write(
        new,
        kept_with(
            result("drain", 3000, Unit.RATE, 0.2),
            result("latency", 0.5, Unit.MS, 2.0),
            result("open", 1.0, Unit.MS, 1.0),
        ),
    )
    assert main(["--compare", str(old), str(new)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["scenario", "old", "new", "faster", "by", "floors"],
        ["drain", "1,000", "1/s", "3,000", "1/s", "3.00", "2.00"],
        ["latency", "2.00", "ms", "0.50", "ms", "4.00", "2.00"],
    ]


def test_a_comparison_of_unlike_runs_says_so() -> None:
    one = result("drain", 1000, Unit.RATE, 0.1)
    assert "differ" in report.comparison(kept_with(one), kept_with(one, n=7))
    assert "differ" not in report.comparison(kept_with(one), kept_with(one))


def test_a_trend_shows_each_run_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    history.keep(kept, kept_with(result("drain", 1000, Unit.RATE, 0.1)))
    history.keep(
        kept, kept_with(result("drain", 900, Unit.RATE, 0.1), result("open", 2, Unit.MS, 1))
    )
    assert main(["--trend", str(kept)]) == 0
    _, drain, opening = capsys.readouterr().out.splitlines()
    assert drain.split() == ["drain", "1,000", "1/s", "900", "1/s"]
    assert opening.split() == ["open", "-", "2.00", "ms"]
    history.keep(kept, kept_with(n=7))
    assert "Not all of them were asked for the same" in history.trend(kept)


def test_a_run_leaves_its_document_in_the_history(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for _ in range(2):
        assert main(["duplicates", "-n", "3", "--repeat", "1", "--history", str(kept)]) == 0
    assert [len(document.read(path).results) for path in kept.iterdir()] == [1, 1]


def test_a_history_without_runs_says_how_to_begin_one(tmp_path: Path) -> None:
    assert "--history" in history.trend(tmp_path / "none")


def test_a_target_is_met_from_its_own_side() -> None:
    assert is_met(AtLeast(100), 100, 0)
    assert not is_met(AtLeast(100), 99, 0)
    assert is_met(AtMost(5), 5, 0)
    assert not is_met(AtMost(5), 6, 0)
    assert is_met(OfFloor(0.9), 0, 0.9)
    assert not is_met(OfFloor(0.9), 0, 0.8)


def test_the_cpu_time_of_a_task_is_compared_with_that_of_the_floor() -> None:
    one = result("retry", 1000, Unit.RATE, 0.5)
    floor = attrs.evolve(one.floor, cpu_us=80.0)
    measured = attrs.evolve(one, name="retry", cpu_us=120.0, floor=floor)
    alone = attrs.evolve(measured, floor=one.floor)
    assert notes(measured) == "retry: CPU 120.0 us a task, 1.50 x that of floor"
    assert notes(alone) == "retry: CPU 120.0 us a task"


def notes(of: document.Result) -> str:
    return report.results(kept_with(of), SCENARIOS).splitlines()[-1]


def test_a_target_is_shown_only_under_its_conditions() -> None:
    few = result("open", 1.0, Unit.MS, 1.0)
    many = attrs.evolve(few, n=1_000_000)
    assert "met" not in report.results(kept_with(few), SCENARIOS)
    assert "met" in report.results(kept_with(many), SCENARIOS)


def test_the_list_names_every_scenario_and_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for scenario in SCENARIOS:
        assert scenario.description in listed
    for floor in FLOORS.values():
        assert floor.description in listed


def test_a_pattern_names_scenarios(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    options = ["-n", "3", "--repeat", "1", "--memory", "--json", str(kept)]
    assert main(["event*", "duplicates", "events-1", *options]) == 0
    names = [result.name for result in document.read(kept).results]
    assert names == ["events-1", "events-10", "duplicates"]


@pytest.mark.parametrize(
    "wrong", [["no-such"], ["drain", "no-such*"], ["-n", "0"], ["--repeat", "x"]]
)
def test_what_cannot_be_measured_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
