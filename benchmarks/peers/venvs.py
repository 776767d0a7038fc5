"""The virtual environments of the libraries: made once, and anew when packages change."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.peers.libraries import Library
from benchmarks.peers.process import Unavailable, run

CHECKOUT = Path(__file__).resolve().parents[2]
_MARK = "packages.json"
"""Written last into an environment: one without it was left half made."""


def cache() -> Path:
    """Where environments are kept unless somebody says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "taskmill" / "peers"


class Environments:
    """The environments in one folder; each is tried once."""

    def __init__(self, folder: Path, told: Callable[[str], None]) -> None:
        self._folder = folder.resolve()
        self._told = told
        self._found: dict[str, Path | Unavailable] = {}

    def python_of(self, library: Library) -> Path:
        """The interpreter that has the library; Unavailable, each time, if it does not install."""
        name = library.environment
        if name not in self._found:
            self._found[name] = self._made(name, library.packages)
        found = self._found[name]
        if isinstance(found, Unavailable):
            raise Unavailable(*found.args)
        return found

    def _made(self, name: str, packages: Sequence[str]) -> Path | Unavailable:
        version = "".join(platform.python_version_tuple()[:2])
        folder = self._folder / f"{name}-{sys.implementation.name}{version}"
        wanted = list(packages) or ["--editable", str(CHECKOUT)]
        if _contents_of(folder) == wanted:
            return _python_in(folder)
        self._told(f"installing {name}")
        try:
            _make(folder, wanted)
        except (Unavailable, OSError) as error:
            return Unavailable(f"it does not install: {error}")
        return _python_in(folder)


def _contents_of(folder: Path) -> list[str] | None:
    """What was installed there; None where there is no whole environment."""
    try:
        found: list[str] = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if _python_in(folder).exists() else None


def _make(folder: Path, wanted: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "venv", folder])
    pip: list[str | Path] = [_python_in(folder), "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", *wanted])
    (folder / _MARK).write_text(json.dumps(list(wanted)), encoding="utf-8")


def _python_in(folder: Path) -> Path:
    return folder / "bin" / "python"
