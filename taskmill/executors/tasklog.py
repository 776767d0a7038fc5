"""Log lines that say which task speaks."""

from __future__ import annotations

from collections.abc import MutableMapping
from logging import Logger, LoggerAdapter
from typing import Any


class TaskLog(LoggerAdapter[Logger]):
    """Adds which task speaks to what the caller's ``extra`` says."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(kwargs.get("extra") or {}), **(self.extra or {})}}
