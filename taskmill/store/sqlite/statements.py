"""Every SQL statement, by the verb it is named after: one file each, under sql/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER = Path(__file__).parent

COLUMNS: Final = (
    "id, type, domain, payload, key, label, tags, group_name, status, priority, attempt, run, "
    "max_retries, options, created_at_ms, ready_at_ms, due_at_ms, run_at_ms, started_at_ms, "
    "finished_at_ms, parent, result, reason, preemptions, expires_at_ms, "
    "on_dependency_failure, schedule, scheduled_for_ms, io, stage, memo, stop_cause, fail_fast, "
    "is_follow_up, has_undo, interruptions, unique_for_ms, is_linked"
)
"""What a record is made of: a statement that answers with records writes ``{columns}``."""


def _read(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("--"))
    return text.replace("{columns}", COLUMNS)


SQL: Final = {path.stem: _read(path) for path in sorted((_FOLDER / "sql").glob("*.sql"))}

MIGRATIONS: Final = tuple(
    path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "migrations").glob("*.sql"))
)
"""Migration n brings a file from version n to version n + 1."""
