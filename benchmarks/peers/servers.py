"""Which stores there are, and the servers behind them: one of each, started when first needed."""

from __future__ import annotations

import enum
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol


class Store(enum.StrEnum):
    """Where tasks are kept."""

    SQLITE = "SQLite"
    POSTGRES = "PostgreSQL"
    REDIS = "Redis"
