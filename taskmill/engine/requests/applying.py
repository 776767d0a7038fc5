"""Where what somebody asks for is carried out: a port that both kinds of opening fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from taskmill.define.task import Task
from taskmill.model.changes import Request
from taskmill.model.effects import Effect


class Applying(Protocol):
    """Where requests are carried out: in this process, or in the one that dispatches."""

    async def apply(self, request: Request, tasks: Sequence[Task[Any, Any]] = ()) -> Effect:
        """Carry out ``request`` and return its effect; StoreError if the store could not.

        ``tasks`` are those of a submit. A caller that is cancelled leaves the request to be
        carried out all the same.
        """
        ...
