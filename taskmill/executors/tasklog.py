"""Log lines that say which task speaks."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from logging import Logger, LoggerAdapter
from typing import Any

from taskmill.model.record import TaskRecord


class TaskLog(LoggerAdapter[Logger]):
    """Adds which task speaks to what the caller's ``extra`` says."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}


def task_log(record: TaskRecord) -> TaskLog:
    """The logger of one run, under the name of the task's type."""
    return TaskLog(
        logging.getLogger(f"taskmill.task.{record.type.replace('::', '.')}"),
        about(record),
    )


def about(record: TaskRecord) -> dict[str, object]:
    """The ``extra`` of a log line about a task."""
    return {"task_id": record.id, "task_type": record.type, "attempt": record.attempt}
