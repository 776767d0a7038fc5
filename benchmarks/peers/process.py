"""Starting programs, waiting until they are up, and ending them whatever happens."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter, sleep

STARTUP = 30.0
GRACE = 10.0
"""Seconds that a process has to end once it is told to."""


class Unavailable(Exception):
    """What is needed is not there or does not work; the message says why, in one line."""


def run(command: Sequence[str | Path], environment: Mapping[str, str] | None = None) -> None:
    """Run a program to its end; Unavailable says what it complained of."""
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, cwd="/"
    )
    if done.returncode != 0:
        raise Unavailable(f"{Path(command[0]).name}: {reason_in(done.stderr or done.stdout)}")


def output_of(command: Sequence[str | Path]) -> str:
    """What a program prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path = Path("/"),
) -> Generator[subprocess.Popen[bytes]]:
    """Have a program run beside this one until the block ends; what it says goes to ``log``.

    It has a session of its own: Ctrl-C reaches this process alone, which then ends the other.
    """
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, and kill it and all it has started if it does not.

    SIGINT is what PostgreSQL takes for a stop that does not wait for its clients.
    """
    process.send_signal(signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def until(is_up: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server is up; Unavailable where it ends before, or never comes up."""
    given_up = perf_counter() + STARTUP
    while not is_up():
        if process.poll() is not None or perf_counter() > given_up:
            raise Unavailable(f"the server did not start: {reason_in(log.read_text())}")
        sleep(0.05)


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port: int = asked.getsockname()[1]
        return port


def reason_in(said: str) -> str:
    """The line that says most about a failure: the last that names an error, or the last."""
    # the groups of exceptions in a traceback have a margin drawn beside them
    lines = [line.strip(" |+-") for line in said.splitlines() if line.strip(" |+-")]
    telling = [line for line in lines if re.search("(?i)(error|exception|fatal):", line)]
    reason = (telling or lines or ["it said nothing"])[-1]
    return reason if len(reason) <= 200 else f"{reason[:199]}…"
