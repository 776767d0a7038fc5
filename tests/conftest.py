"""What all tests share."""

from __future__ import annotations

import inspect
import os
from collections.abc import Generator

import pytest

from tests.leaks import left_since, surroundings, without_tasks_left


@pytest.hookimpl(optionalhook=True)  # some runs go without xdist
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a good part of the time the tests wait for the disk."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Generator[None]:
    """Fail a test that leaves a thread, an open file, a child process or a file behind."""
    before = surroundings()
    yield
    if not shares_fixtures(request.node):
        left = left_since(before)
        assert not left, f"the test left behind: {', '.join(left)}"


@pytest.fixture(autouse=True, scope="module")
def nothing_is_left_behind_by_all() -> Generator[None]:
    """Fail a module of tests that share what they use, where anything is left after the last."""
    before = surroundings()
    yield
    left = left_since(before)
    assert not left, f"the module left behind: {', '.join(left)}"


def shares_fixtures(test: pytest.Function) -> bool:
    """Whether a test uses fixtures of ours that outlive it, and so what they hold."""
    used = [definitions[-1] for definitions in test._fixtureinfo.name2fixturedefs.values()]
    return any(
        each.baseid and each.scope != "function" and each.argname != "nothing_is_left_behind_by_all"
        for each in used
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Have every test that is a coroutine function end without tasks of its own."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = without_tasks_left(pyfuncitem.obj)
    return (yield)
