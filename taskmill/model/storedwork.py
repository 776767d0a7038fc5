"""What is kept of work that has yet to run, as far as code must be able to read it."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from taskmill.model.record import TaskId
from taskmill.model.secret import redacted_repr
from taskmill.model.stages import Stage


@attrs.frozen(kw_only=True)
class StoredTask:
    """A task that has not ended."""

    id: TaskId
    type: str
    payload: str = attrs.field(repr=redacted_repr)
    memo: str | None = attrs.field(default=None, repr=redacted_repr)
    """What its handler returned for its ``finalize``, or as its result while children run."""
    stage: Stage = Stage.EXECUTE


@attrs.frozen(kw_only=True)
class StoredSchedule:
    """A schedule that has not ended, with the task that it makes."""

    domain: str
    name: str
    type: str
    payload: str = attrs.field(repr=redacted_repr)
    is_declared: bool = False


StoredWork: TypeAlias = StoredTask | StoredSchedule
