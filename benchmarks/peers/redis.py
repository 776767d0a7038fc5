"""A Redis server of one's own, in a temporary folder, with the settings it has by default.

So it keeps everything in memory and writes a snapshot now and then; what came since the last one
is lost with the server.
"""

from __future__ import annotations

import secrets
import shutil
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import attrs

from benchmarks.peers.process import Unavailable, free_port, output_of, running, until


@attrs.frozen
class Redis:
    """A server that is up."""

    version: str
    _port: int
    _password: str

    @contextmanager
    def fresh(self, name: str) -> Generator[str]:  # noqa: ARG002 - all databases are one's own
        """Forget everything, and give the URL."""
        self._tell("FLUSHALL")
        yield f"redis://:{self._password}@127.0.0.1:{self._port}/0"

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self._tell("PING")
        except OSError:
            return False
        return True

    def _tell(self, command: str) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            connection.sendall(f"AUTH {self._password}\r\n{command}\r\nQUIT\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        if b"-" in (line[:1] for line in answer.splitlines()):
            raise ConnectionError(f"Redis answered {command} with {answer!r}")


@contextmanager
def redis(folder: Path) -> Generator[Redis]:
    """Start a server that keeps its data in ``folder``; Unavailable if none can."""
    program = shutil.which("redis-server")
    if program is None:
        raise Unavailable("Redis is not installed: no redis-server on PATH")
    # it prints: Redis server v=7.0.15 sha=00000000:0 malloc=...
    version = output_of([program, "--version"]).split("v=")[1].split()[0]
    port, password = free_port(), secrets.token_hex(16)
    server = Redis(f"Redis {version}", port, password)
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\nrequirepass {password}\ndir {folder}\n",
        encoding="utf-8",
    )
    with running([program, configuration], folder / "redis.log") as process:
        until(server.is_ready, process, folder / "redis.log")
        yield server
