"""The guides hold the code that is in ``examples/``, all of it, and their tests are listed."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from taskmill.model.status import TRANSITIONS
from tests.guides import states, test_several_domains

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(
    ("page", "example"),
    [("reusable-domain.md", "webhooks.py"), ("several-domains.md", "media.py")],
)
def test_a_page_begins_with_the_code_of_its_example(page: str, example: str) -> None:
    source = (ROOT / "examples" / example).read_text()
    docstring = ast.parse(source).body[0]
    code = lines("\n".join(source.splitlines()[docstring.end_lineno :]))
    shown = lines("\n".join(BLOCK.findall((ROOT / "docs" / page).read_text())))
    assert shown[: len(code)] == code


def test_the_table_of_patterns_names_every_test() -> None:
    named = re.findall(r"\b(test_\w+) \|$", test_several_domains.__doc__ or "", re.MULTILINE)
    assert named == [name for name in vars(test_several_domains) if name.startswith("test_")]


def test_the_page_about_the_life_of_a_task_draws_the_moves_that_are_legal() -> None:
    assert states.table() in (ROOT / "docs/lifecycle.md").read_text()


def test_every_move_that_is_described_is_legal() -> None:
    legal = {(before, after) for before, to in TRANSITIONS.items() for after in to}
    assert set(states.WHEN) == legal
