"""What all tests share."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from tests.leaks import left_since, surroundings, without_tasks_left


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, an open file, a child process or a file behind."""
    before = surroundings()
    yield
    left = left_since(before)
    assert not left, f"the test left behind: {', '.join(left)}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    """Have every test that is a coroutine function end without tasks of its own."""
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        pyfuncitem.obj = without_tasks_left(pyfuncitem.obj)
    return (yield)
