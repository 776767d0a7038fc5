"""What a simulation says: the figures, the tables, the picture and the command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import attrs
import psutil
import pytest

from taskmill.model.errors import ConfigurationError
from taskmill.model.sharing import GroupPolicy
from taskmill.simulation import picture as drawing
from taskmill.simulation.outcome import Outcome
from taskmill.simulation.simulate import simulate
from taskmill.simulation.steps import Steps
from taskmill.simulation.table import print_outcome
from taskmill.simulation.words import group_text, priority_text, time_text
from taskmill.simulation.workload import Constant, Stream, Workload
from tests.simulation.mills import backlog, seconds, workload

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "docs/workloads/weights.toml"
COMMAND = [sys.executable, "-m", "taskmill", "simulate"]
PLAIN = {**os.environ, "NO_COLOR": "", "TERM": "dumb", "COLUMNS": "80"}


def run_command(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *args],
        capture_output=True,
        text=True,
        timeout=60,
        env=PLAIN,
        check=False,
        cwd=ROOT,
    )


def finds_nothing(_: str) -> None:
    """As ``find_spec`` where an extra is not installed."""


def two_groups() -> Workload:
    return workload(
        backlog(12, "a"),
        backlog(4, "b", runs=2, priority=64),
        slots=2,
        groups={"a": GroupPolicy(weight=3)},
        until=10,
    )


# --- figures ---


def test_the_figures_of_a_small_simulation_can_be_checked_by_hand() -> None:
    outcome = simulate(workload(backlog(5, "a", runs=3), slots=2, until=8))
    # 0 s: tasks 1 and 2; 3 s: 3 and 4; 6 s: 5; 8 s: the end
    assert (outcome.starts, outcome.ended, outcome.running, outcome.waiting) == (5, 4, 1, 0)
    assert outcome.utilisation == 14 / 16
    waits = outcome.priorities[128]
    assert (waits.started, waits.waiting) == (5, 0)
    assert (waits.mean, waits.p50) == (seconds(2.4), seconds(3))
    assert (waits.p95, waits.most) == (seconds(6), seconds(6))
    group = outcome.groups["a"]
    assert group.slot_time == seconds(14)
    assert list(zip(group.running.times_ns, group.running.values, strict=True)) == [
        (0, 2),
        (3_000_000_000, 2),
        (6_000_000_000, 1),
    ]


def test_tasks_that_never_start_are_counted_with_the_oldest_wait() -> None:
    outcome = simulate(workload(backlog(3, runs=100), backlog(2, at=4), slots=3, until=10))
    waits = outcome.priorities[128]
    assert (waits.started, waits.waiting, waits.longest) == (3, 2, seconds(6))


def test_steps_are_exact_at_every_moment_and_on_average() -> None:
    steps = Steps()
    for change, at in ((1, 2), (2, 4), (-1, 4), (-2, 8)):
        steps.add(change, at)
    assert [steps.at(moment) for moment in range(10)] == [0, 0, 1, 1, 2, 2, 2, 2, 0, 0]
    assert steps.most == 2
    assert steps.total(10) == 10
    assert steps.means(10, 5) == [0, 1, 2, 2, 0]
    assert steps.means(12, 4) == pytest.approx([1 / 3, 5 / 3, 4 / 3, 0])
    assert steps.total(6) == 6


def test_a_document_is_json_and_names_every_group() -> None:
    document = json.loads(json.dumps(simulate(two_groups()).document()))
    a, b = document["groups"]
    assert (a["group"], a["weight"], b["group"], b["weight"]) == ("a", 3, "b", 1)
    assert a["part"] + b["part"] == 1
    assert len(a["slots_over_time"]) == 100
    assert sum(a["slots_over_time"]) / 100 == pytest.approx(a["mean_slots"])
    assert [entry["priority"] for entry in document["priorities"]] == [64, 128]


# --- tables ---


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(outcome: Outcome, stream: io.StringIO | None = None) -> str:
    stream = stream or io.StringIO()
    print_outcome(outcome, stream)
    return stream.getvalue()


def many_groups(count: int, name: str = "group {}") -> Workload:
    names = [name.format(number) for number in range(count)]
    return workload(*(backlog(3, each) for each in names), until=5)


def test_the_tables_fit_into_80_columns_without_escape_codes() -> None:
    text = shown(simulate(many_groups(50, "a long name of a group, number {} of many")))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert "30 more" in text


def test_a_terminal_gets_the_same_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    outcome = simulate(two_groups())
    drawn, plain = shown(outcome, Terminal()), shown(outcome)
    assert "Slots per group" in drawn
    assert all(word in drawn for word in plain.split())


def test_without_rich_a_terminal_gets_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("taskmill.simulation.table.find_spec", finds_nothing)
    outcome = simulate(two_groups())
    assert shown(outcome, Terminal()) == shown(outcome)


def test_an_empty_simulation_can_be_shown() -> None:
    late = attrs.evolve(backlog(1), when=Stream(rate=1e-9, until=seconds(1)))
    outcome = simulate(workload(late))
    assert outcome.starts == 0
    assert "0 tasks ended" in shown(outcome)


def test_names_and_figures_are_short_words() -> None:
    assert group_text(None) == "(no group)"
    assert group_text("two\nlines") == "two\\nlines"
    assert group_text("x" * 30) == "x" * 23 + "…"
    assert [priority_text(priority) for priority in (0, 5, 128)] == [
        "0 REALTIME",
        "5",
        "128 NORMAL",
    ]
    lengths = (0, 0.0123, 0.9999, 12.34, 119, 600, 7200, 1e7)
    assert [time_text(timedelta(seconds=length)) for length in lengths] == [
        "0 s",
        "12.3 ms",
        "1 s",
        "12.3 s",
        "119 s",
        "10 min",
        "2.0 h",
        "2,777.8 h",
    ]


# --- the picture ---


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_picture_is_written(tmp_path: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / f"picture{suffix}"
    drawing.draw(simulate(two_groups()), path)
    assert 2_000 < path.stat().st_size < 60_000


@pytest.mark.parametrize("name", ["_hidden {}", "$x_{} ^ 2$", "\u6f22\u5b57 {}", "[red]{}"])
def test_names_of_any_kind_can_be_drawn(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "names.svg"
    drawing.draw(simulate(many_groups(12, name)), path)
    assert path.stat().st_size


def test_many_changes_are_drawn_as_averages_with_the_same_area() -> None:
    given = workload(
        attrs.evolve(backlog(1, "a"), when=Stream(rate=50), runs=Constant(seconds(0.05))), until=60
    )
    outcome = simulate(given)
    running = outcome.groups["a"].running
    assert len(running.times_ns) > drawing.STEPS
    times, [values] = drawing.sampled([running], outcome.length_ns)
    assert len(times) == drawing.STEPS + 1
    assert sum(values[:-1]) / drawing.STEPS == pytest.approx(outcome.mean_slots("a"))


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "find_spec", finds_nothing)
    with pytest.raises(ConfigurationError, match=r"pip install 'taskmill\[plot\]'"):
        drawing.check_picture(tmp_path / "picture.png")


@pytest.mark.parametrize(
    ("name", "message"), [("picture.gif", "must end in .png"), ("no/picture.png", "no directory")]
)
def test_a_place_where_no_picture_can_be_is_refused(
    tmp_path: Path, name: str, message: str
) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigurationError, match=message):
        drawing.check_picture(tmp_path / name)


# --- the command ---


def test_the_command_prints_tables_and_draws_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "out.png"
    done = run_command(WEIGHTS, "--picture", picture)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("10 min simulated, 8 slots")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_command_prints_json_and_takes_a_seed() -> None:
    first, again, other = (run_command(WEIGHTS, "--json", "--seed", n) for n in ("1", "1", "2"))
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout)["seed"] == 1
    assert first.stdout == again.stdout
    assert first.stdout != other.stdout


def test_what_is_wrong_is_a_message_and_exit_code_2(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("max_concurrency = 0")
    for args, message in (
        ([wrong], "max_concurrency must be a whole number"),
        ([tmp_path / "nothing.toml"], "No such file"),
        ([tmp_path], "Is a directory"),
        ([WEIGHTS, "--picture", tmp_path / "x.gif"], ""),
        ([WEIGHTS, "--seed", "-1"], "seed"),
        ([], "WORKLOAD.toml"),
    ):
        done = run_command(*args)
        assert (done.returncode, done.stdout) == (2, "")
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_command_cleanly(tmp_path: Path) -> None:
    endless = tmp_path / "endless.toml"
    endless.write_text(
        'max_concurrency = 1\nduration = "100 d"\n[domains.d]\n[types.t]\ndomain = "d"\n'
        '[[arrivals]]\ntype = "t"\nclients = 1\nruns = 0.001\n'
    )
    with subprocess.Popen(
        [*COMMAND, endless], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        while psutil.Process(process.pid).cpu_times().user < 2:  # its imports take less
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert errors == "taskmill: stopped by SIGINT; nothing was written\n"


# --- the page ---


def test_the_page_shows_the_example_files_as_they_are() -> None:
    page = (ROOT / "docs/simulate.md").read_text()
    for path in (ROOT / "docs/workloads").glob("*.toml"):
        assert path.name in page
    assert f"```\n{WEIGHTS.read_text()}```" in page


def test_the_pictures_of_the_page_are_small() -> None:
    pictures = list((ROOT / "docs/pictures").glob("*.png"))
    assert pictures
    assert all(path.stat().st_size < 60_000 for path in pictures)
