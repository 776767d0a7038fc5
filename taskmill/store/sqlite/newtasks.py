"""How a task that is yet to be submitted is kept as text."""

from __future__ import annotations

import json
from typing import Any

import attrs

from taskmill.model.changes import NewTask
from taskmill.model.choices import OnDependencyFailure, OnDuplicate


def task_json(task: NewTask) -> str:
    """The task as JSON."""
    fields = attrs.asdict(task, recurse=False)
    return json.dumps(
        fields | {"identity": task.identity.hex(), "tags": dict(task.tags)}, ensure_ascii=False
    )


def task_of(text: str) -> NewTask:
    """The task that `task_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields["identity"] = bytes.fromhex(fields["identity"])
    fields["depends_on"] = tuple(fields["depends_on"])
    fields["on_duplicate"] = OnDuplicate(fields["on_duplicate"])
    fields["on_dependency_failure"] = OnDependencyFailure(fields["on_dependency_failure"])
    return NewTask(**fields)
