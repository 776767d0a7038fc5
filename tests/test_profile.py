"""The profile of a task's life: each sample counts for one stage, and all of them for the whole."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from benchmarks import work
from benchmarks.profile import Profile, dearest, main, table
from benchmarks.sampling import Frame, stacks
from benchmarks.stages import CODE, HANDLER, LOOP, REST, STAGES, place_of


def ours(module: str, function: str) -> Frame:
    return str(CODE / f"{module}.py"), function


OTHER = ("/usr/lib/python3/asyncio/events.py", "_run")
MAIN = (work.__file__, "finish")


@pytest.mark.parametrize(
    ("stack", "place"),
    [
        (
            [ours("store/sqlite/batch", "_claim"), OTHER],
            ("SQL: claim", "store/sqlite/batch:_claim"),
        ),
        ([OTHER, ours("rules/plan", "plan"), MAIN], ("plan", "rules/plan:plan")),
        (
            [ours("model/times", "from_ms"), ours("store/sqlite/rows", "record_of")],
            ("decode row", "model/times:from_ms"),
        ),
        (
            [ours("engine/queue/ready", "take"), ours("rules/plan", "plan")],
            ("plan", "engine/queue/ready:take"),
        ),
        ([(work.__file__, "run"), ours("engine/runs/attempt", "_perform")], (HANDLER, "")),
        ([OTHER, MAIN], (LOOP, "")),
        ([], (LOOP, "")),
        ([ours("model/times", "from_ms"), OTHER], (REST, "model/times:from_ms")),
    ],
)
def test_a_stack_is_in_the_stage_of_its_innermost_named_function(
    stack: list[Frame], place: tuple[str, str]
) -> None:
    assert place_of(stack) == place


@pytest.mark.parametrize("place", [place for places in STAGES.values() for place in places])
def test_what_the_stages_name_is_there(place: str) -> None:
    module, _, function = place.partition(":")
    text = (CODE / f"{module}.py").read_text(encoding="utf-8")
    assert re.search(rf"def {function}\(", text) or not function


def test_no_place_is_in_two_stages() -> None:
    places = [place for named in STAGES.values() for place in named]
    assert len(set(places)) == len(places)


def test_written_stacks_are_read_back(tmp_path: Path) -> None:
    written = tmp_path / "samples"
    written.write_text(
        "Stack (most recent call first):\n"
        '  File "/a b.py", line 7 in inner\n'
        '  File "<frozen x>", line ??? in <lambda>\n'
        "  ...\n"
        "Stack (most recent call first):\n"
        '  File "/c.py", line 1 in only\n'
    )
    assert list(stacks(written)) == [
        [("/a b.py", "inner"), ("<frozen x>", "<lambda>")],
        [("/c.py", "only")],
    ]


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"([\d.]+) us", line)]


def test_the_stages_sum_to_the_whole() -> None:
    places = Counter({("plan", "rules/plan:plan"): 1, (LOOP, ""): 3, (REST, "x:y"): 4})
    samples = Counter({"plan": 1, LOOP: 3, REST: 4})
    profile = Profile([80.0, 100.0, 90.0], [99.0], samples, places, 1)
    head, *stages, whole = table({"memory": profile}).split("\n\n")[0].splitlines()
    assert head.split() == ["stage", "memory", "part", "+-"]
    assert [line.split("  ")[0] for line in stages] == ["plan", LOOP, REST]
    assert sum(numbers(line)[0] for line in stages) == pytest.approx(90, abs=0.1)
    assert whole.split() == ["all", "of", "it", "90.0", "us", "100.0%"]
    assert "8 samples in 3 runs, 1 runs lost to the sampler" in table({"memory": profile})
    assert "rules/plan:plan" in dearest({"memory": profile})


def test_a_life_is_profiled(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["memory", "-n", "400", "--runs", "1", "--functions"]) == 0
    _, *rows, whole = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert sum(numbers(row)[0] for row in rows) == pytest.approx(numbers(whole)[0], abs=2)
    assert "100.0%" in whole


def test_a_place_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        main(["no-such"])
