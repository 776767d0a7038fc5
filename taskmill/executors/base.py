"""What an executor is: a named place where handlers run, with room for so many."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import attrs


@attrs.frozen(kw_only=True)
class Work:
    """One call of a handler."""

    call: Callable[..., Any]
    arguments: tuple[object, ...]
    """The task and the context; for a ``finalize``, what the handler returned between them."""
    hold: Callable[[], AbstractContextManager[object]]
    """To be entered while the call is outside the event loop."""


class Executor(Protocol):
    """Runs handlers; a cancelled `run` returns once the handler has really stopped."""

    @property
    def capacity(self) -> int | None:
        """How many handlers may run here at once; None for as many as the scheduler allows."""
        ...

    async def run(self, work: Work) -> object:
        """Call the handler and return what it returns, or raise what it raises."""
        ...
