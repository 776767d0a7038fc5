"""What the documents say is true: their programs run and their commands and links exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import taskmill

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BY_NAME = [str(page.relative_to(ROOT)) for page in PAGES]


def blocks(page: Path, language: str) -> list[str]:
    return [text for kind, text in BLOCK.findall(page.read_text()) if kind == language]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=str)
def test_the_python_blocks_of_a_page_run_as_one_program(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text("\n\n".join(blocks(page, "python")))
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout


@pytest.mark.parametrize("page", BY_NAME)
def test_every_block_names_a_language_that_is_checked_here_or_is_a_drawing(page: str) -> None:
    kinds = {kind for kind, _ in BLOCK.findall((ROOT / page).read_text())}
    assert kinds <= {"python", "sh", "console", ""}


@pytest.mark.parametrize("page", BY_NAME)
def test_every_make_target_a_page_names_exists(page: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert (
        set(re.findall(r"`?\bmake ([a-z]+)\b(?=[`\s]*(?:#|`|DEMO|$))", (ROOT / page).read_text()))
        <= targets
    )


@pytest.mark.parametrize("page", BY_NAME)
def test_every_link_between_pages_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / target).exists(), target


def test_every_public_name_has_a_docstring() -> None:
    for name, value in vars(taskmill).items():
        if name[0].isupper() and isinstance(value, type):
            assert value.__doc__, name


def test_importing_taskmill_imports_no_extra_and_configures_no_logging() -> None:
    code = (
        "import sys, logging, taskmill, taskmill.testing; "
        "loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]; "
        "loggers = [each for each in loggers if isinstance(each, logging.Logger)]; "
        "assert not any(each.handlers or each.filters for each in loggers); "
        "ours = [each for each in loggers if each.name.startswith('taskmill')]; "
        "assert ours and not any(each.level or not each.propagate for each in ours); "
        "assert logging.getLogger().level == logging.WARNING; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    extras = {"click", "rich", "psutil", "orjson", "matplotlib", "prometheus_client"}
    assert not {*extras, "opentelemetry"} & set(run.stdout.split())
