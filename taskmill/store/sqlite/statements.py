"""Every SQL statement, by the verb it is named after: one file each, under sql/."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FOLDER = Path(__file__).parent


def _read(path: Path) -> str:
    lines = path.read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("--"))


SQL: Final = {path.stem: _read(path) for path in sorted((_FOLDER / "sql").glob("*.sql"))}

MIGRATIONS: Final = tuple(
    path.read_text(encoding="utf-8") for path in sorted((_FOLDER / "migrations").glob("*.sql"))
)
"""Migration n brings a file from version n to version n + 1."""
