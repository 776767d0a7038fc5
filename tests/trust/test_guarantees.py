"""Every promise of docs/guarantees.md has its limit beside it, and tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
PROMISES = {
    title: text.split("\n## ")[0]
    for title, text in re.findall(r"^### (.+)\n((?:(?!^### ).*\n?)*)", PAGE, re.MULTILINE)
}
NUMBERED = {*(f"S{n}" for n in range(1, 12)), *(f"L{n}" for n in range(1, 7))}


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests of a file, which is read and not run."""
    module = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(each.name for each in module.body if isinstance(each, functions))


def test_every_invariant_is_promised_once() -> None:
    numbers = [title.partition(":")[0] for title in PROMISES if re.match(r"[SL]\d+:", title)]
    assert sorted(numbers) == sorted(NUMBERED)


@pytest.mark.parametrize("title", PROMISES)
def test_a_promise_has_its_limit_and_tests_that_exist(title: str) -> None:
    text = PROMISES[title]
    assert text.count("*Not promised:*") == 1
    tests = re.findall(r"^- `(tests/\S+)::(test_\w+)`$", text, re.MULTILINE)
    assert tests
    assert len(set(tests)) == len(tests) == text.count("\n- ")
    for path, name in tests:
        assert (ROOT / path).is_file(), path
        assert name in names_in(path), f"{path}::{name}"
