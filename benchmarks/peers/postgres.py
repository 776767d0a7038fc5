"""A PostgreSQL server of one's own: made, started, and stopped again in a temporary folder.

Its settings are the defaults, so a commit is on the disk before it returns (``fsync`` and
``synchronous_commit`` are on).
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks.peers.process import Unavailable, free_port, output_of, run, running, until

USER = "bench"
PACKAGED = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs, one folder for each version, outside PATH."""


@attrs.frozen
class Postgres:
    """A server that is up."""

    version: str
    _programs: Path
    _port: int
    _password: str

    @contextmanager
    def fresh(self, name: str) -> Generator[str]:
        """Make an empty database, give its URL, and drop it afterwards."""
        where = ["-h", "127.0.0.1", "-p", str(self._port), "-U", USER]
        environment = os.environ | {"PGPASSWORD": self._password}
        run([self._programs / "createdb", *where, name], environment)
        try:
            yield f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{name}"
        finally:
            run([self._programs / "dropdb", *where, "--force", name], environment)


@contextmanager
def postgres(folder: Path) -> Generator[Postgres]:
    """Start a server that keeps its data in a new folder below ``folder``; Unavailable if none can.

    PostgreSQL refuses to run as root: then it runs as the user postgres, or else as nobody.
    """
    programs = _programs()
    prefix = _as_another_user(folder) if os.geteuid() == 0 else []
    password, port = secrets.token_hex(16), free_port()
    secret = folder / "password"
    secret.write_text(password, encoding="utf-8")
    if prefix:
        shutil.chown(secret, _other_user())
    cluster = folder / "cluster"
    make: list[str | Path] = [*prefix, programs / "initdb", "-D", cluster, "-U", USER]
    run([*make, "-A", "scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale"])
    command = [*prefix, programs / "postgres", "-D", cluster, "-h", "127.0.0.1", "-p", str(port)]
    with running([*command, "-k", ""], folder / "postgres.log") as process:
        ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", "127.0.0.1"]
        until(lambda: _succeeds([*ready, "-p", str(port)]), process, folder / "postgres.log")
        yield Postgres(_version(programs), programs, port, password)


def _programs() -> Path:
    """Where all programs of one version are: those on PATH, or else the newest that is packaged."""
    on_path = shutil.which("initdb")
    packaged = sorted(PACKAGED.glob("*/bin/initdb"), key=_number, reverse=True)
    found = [Path(on_path).resolve()] if on_path else []
    for initdb in [*found, *packaged]:
        if (initdb.parent / "createdb").exists():
            return initdb.parent
    raise Unavailable(
        f"PostgreSQL is not installed: no initdb beside createdb on PATH or in {PACKAGED}"
    )


def _number(initdb: Path) -> int:
    name = initdb.parent.parent.name
    return int(name) if name.isdecimal() else 0


def _other_user() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _as_another_user(folder: Path) -> list[str | Path]:
    """What a command begins with to run as a user who is not root, who gets the folder."""
    user = _other_user()
    shutil.chown(folder, user)
    group = str(pwd.getpwnam(user).pw_gid)
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Unavailable("PostgreSQL refuses to run as root, and there is no setpriv on PATH")
    return [setpriv, "--reuid", user, "--regid", group, "--clear-groups"]


def _version(programs: Path) -> str:
    # the third word of: postgres (PostgreSQL) 15.14
    return f"PostgreSQL {output_of([programs / 'postgres', '--version']).split()[2]}"


def _succeeds(command: Sequence[str | Path]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
