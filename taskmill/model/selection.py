"""Which tasks are meant, in terms a store can look up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from taskmill.model.record import TaskId
from taskmill.model.status import TaskStatus


@attrs.frozen(kw_only=True)
class Selection:
    """All conditions hold of the tasks that are meant; None means any."""

    domain: str | None = None
    types: frozenset[str] | None = None
    statuses: frozenset[TaskStatus]
    ids: frozenset[TaskId] | None = None
    any_group: bool = True
    group: str | None = None
    """Looked at where ``any_group`` is false; None is then the tasks without a group."""
    parent: TaskId | None = None
    key: str | None = None
    tags: Mapping[str, str] = attrs.field(factory=dict[str, str])
    """Tags that a task has, all of them."""
    tag_prefix: str | None = None
    """How the key of some tag of it starts."""
    created_before: datetime | None = None
    created_after: datetime | None = None
