"""The pytest fixture ``scheduler_factory``; found by pytest where taskmill is installed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest


@pytest.fixture
def scheduler_factory() -> Callable[..., AbstractAsyncContextManager[Any]]:
    """Make open schedulers on a memory store, in virtual time.

    ``async with scheduler_factory(mail_domain()) as scheduler:``
    """
    from taskmill.testing import scheduler_in_memory

    return scheduler_in_memory
