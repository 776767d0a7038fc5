"""Types are a feature: what is right is accepted and what is wrong refused, by both checkers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ACCEPTED = "tests/typing/accepted.py"
REJECTED = sorted(
    str(path.relative_to(ROOT)) for path in (ROOT / "tests/typing/rejected").glob("*.py")
)


def mypy(*files: str) -> set[tuple[str, int]]:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            "--hide-error-context",
            *files,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(r"^(\S+?):(\d+): error:", run.stdout, re.MULTILINE)
    return {(file, int(line)) for file, line in found}


def pyright(*files: str) -> set[tuple[str, int]]:
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    run = subprocess.run(
        [*command, "-p", "tests/typing/pyrightconfig.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    report = json.loads(run.stdout)
    assert report["summary"]["filesAnalyzed"] == len(files)
    return {
        (str(Path(found["file"]).relative_to(ROOT)), found["range"]["start"]["line"] + 1)
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    }


Checker = Callable[..., set[tuple[str, int]]]


@pytest.mark.parametrize("check", [mypy, pyright])
def test_the_right_program_is_accepted_and_exactly_the_marked_lines_are_refused(
    check: Checker,
) -> None:
    marked = {
        (file, number)
        for file in REJECTED
        for number, line in enumerate((ROOT / file).read_text().splitlines(), 1)
        if "# E:" in line
    }
    assert len(marked) > 25
    assert check(ACCEPTED, *REJECTED) == marked
