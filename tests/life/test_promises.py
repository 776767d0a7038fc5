"""Every promise about the life of a task is checked by tests that exist."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.life.promises import PROMISES, SECTIONS

ROOT = Path(__file__).parents[2]


@cache
def names_in(path: str) -> frozenset[str]:
    """The names of the tests of a file, which is read and not run."""
    module = ast.parse((ROOT / path).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [each.name for each in module.body if isinstance(each, functions)]
    return frozenset(name for name in names if name.startswith("test_"))


def test_every_part_of_a_life_has_its_promises() -> None:
    assert tuple(PROMISES) == SECTIONS
    assert all(PROMISES.values())


@pytest.mark.parametrize("section", SECTIONS)
def test_no_promise_is_without_a_test(section: str) -> None:
    assert [promise for promise, tests in PROMISES[section].items() if not tests] == []


@pytest.mark.parametrize("section", SECTIONS)
def test_every_test_that_is_named_exists(section: str) -> None:
    for promise, tests in PROMISES[section].items():
        for test in tests:
            path, _, name = test.partition("::")
            assert (ROOT / path).is_file(), f"{promise}: there is no {path}"
            assert name in names_in(path), f"{promise}: there is no {test}"


def test_no_promise_is_made_twice_and_names_no_test_twice() -> None:
    made = Counter(promise for promises in PROMISES.values() for promise in promises)
    assert [promise for promise, count in made.items() if count > 1] == []
    for promises in PROMISES.values():
        for promise, tests in promises.items():
            assert len(set(tests)) == len(tests), promise


def test_promises_are_not_lost_where_two_have_one_key() -> None:
    """A literal keeps the last of two equal keys; none is written twice."""
    module = ast.parse((ROOT / "tests/life/promises.py").read_text())
    literals = [node for node in ast.walk(module) if isinstance(node, ast.Dict)]
    assert len(literals) == 1 + len(SECTIONS)
    for literal in literals:
        keys = [key.value for key in literal.keys if isinstance(key, ast.Constant)]
        assert len(set(keys)) == len(keys)
