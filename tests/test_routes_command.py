"""``taskmill routes``, run as a program on an application of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from taskmill import TaskmillError
from taskmill.cli.loading import load_scheduler

APP = """
from taskmill import Context, Domain, DomainKey, ProcessExecutor, Route, Routing, Scheduler, Task

class Ml(DomainKey, name="ml"): ...
class Train(Task[Ml], name="train"): ...
class Predict(Task[Ml], name="predict"): ...

@Train.handler
def train(task: Train, ctx: Context[Ml]) -> None: ...
@Predict.handler
async def predict(task: Predict, ctx: Context[Ml]) -> None: ...

scheduler = Scheduler(
    ":memory:",
    domains=[Domain(Ml, handlers=[train, predict])],
    executors={"gpu": ProcessExecutor(2, fallback="thread")},
    routing=Routing(rules=[Route("train*", "gpu")]),
)

def made():
    return scheduler

def broken():
    return Scheduler(":memory:", domains=[], routing=Routing("gone"))

def failing():
    raise KeyError("x")

nothing = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "routes_app.py").write_text(APP, encoding="utf-8")
    (tmp_path / "faulty.py").write_text("1 / 0\n", encoding="utf-8")
    (tmp_path / "lacking.py").write_text("import not_installed_at_all\n", encoding="utf-8")
    return tmp_path


def routes(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "taskmill", "routes", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_prints_type_executor_and_what_decided(folder: Path) -> None:
    shown = routes(folder, "routes_app:scheduler")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert [line.rstrip().split(maxsplit=2) for line in shown.stdout.splitlines()] == [
        ["type", "executor", "by                               fallback"],
        ["ml::predict", "inline", "its handler, which is async def  waits"],
        ["ml::train", "gpu", "rule 1, 'train*'                 thread"],
    ]


def test_a_function_that_makes_the_scheduler_will_do_and_scripts_get_json(folder: Path) -> None:
    shown = routes(folder, "routes_app:made", "--json")
    assert json.loads(shown.stdout)[1] == {
        "type": "ml::train",
        "executor": "gpu",
        "by": "rule 1, 'train*'",
        "fallback": "thread",
    }


def test_it_explains_one_type(folder: Path) -> None:
    shown = routes(folder, "routes_app:scheduler", "--explain", "ml::train")
    assert shown.stdout.splitlines() == [
        "ml::train runs on 'gpu', by rule 1, 'train*'.",
        "1. 'train*' -> 'gpu': match",
    ]


def test_an_error_is_a_line_without_a_traceback(folder: Path) -> None:
    shown = routes(folder, "routes_app:broken")
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.startswith("taskmill: the default of the routing names the executor 'gone'")
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("routes_app", "a scheduler is named as MODULE:NAME"),
        ("routes_app:gone", "'routes_app' has no 'gone'"),
        ("routes_app:nothing", "is 3, neither a Scheduler nor a function that makes one"),
        ("routes_app:Ml", "Ml is an identity"),
        ("routes_app:failing", "'routes_app:failing' raised KeyError"),
        ("gone:scheduler", "there is no module 'gone' here or among what is installed"),
        ("faulty:scheduler", "importing 'faulty' failed: ZeroDivisionError"),
        ("lacking:scheduler", "importing 'lacking' failed: No module named 'not_installed_at_all'"),
    ],
)
def test_what_names_no_scheduler_is_refused_with_the_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reference: str, text: str
) -> None:
    monkeypatch.syspath_prepend(folder)
    for name in ("routes_app", "faulty", "lacking"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(TaskmillError) as raised:
        load_scheduler(reference)
    assert text in str(raised.value)
