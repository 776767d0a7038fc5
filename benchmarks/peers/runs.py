"""How one run is carried out: a fresh process in the library's environment, on a fresh store."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import ExitStack
from dataclasses import asdict
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.peers.child import Finding
from benchmarks.peers.document import Conditions
from benchmarks.peers.harness import Assignment, Measure
from benchmarks.peers.libraries import Library
from benchmarks.peers.process import Unavailable, reason_in, running
from benchmarks.peers.servers import Servers
from benchmarks.peers.venvs import CHECKOUT, Environments


class OwnProcesses:
    """Runs in processes of their own."""

    def __init__(self, environments: Environments, servers: Servers) -> None:
        self._environments = environments
        self._servers = servers
        self._numbers = count()

    def prepare(self, library: Library) -> None:
        """Start the server and install the library; Unavailable if that cannot be."""
        self._servers.of(library.store)
        self._environments.python_of(library)

    def run(self, library: Library, measure: Measure, conditions: Conditions) -> Finding:
        """Do one run; Unavailable if its process fails or does not end."""
        python, server = self._environments.python_of(library), self._servers.of(library.store)
        with ExitStack() as fresh:
            folder = Path(fresh.enter_context(TemporaryDirectory(prefix="taskmill-peer-")))
            url = ""
            if server is not None:
                url = fresh.enter_context(server.fresh(f"run{next(self._numbers)}"))
            assignment = Assignment(
                adapter=library.adapter,
                variant=library.variant,
                measure=measure,
                n=min(conditions.n, library.most),
                concurrency=conditions.concurrency,
                folder=str(folder),
                url=url,
            )
            return in_process(python, assignment)


def in_process(python: Path, assignment: Assignment) -> Finding:
    """Carry out an assignment with another interpreter, which has the library."""
    folder = Path(assignment.folder)
    result, log = folder / "result.json", folder / "log"
    command: list[str | Path] = [python, "-m", "benchmarks.peers.child"]
    command += [json.dumps(asdict(assignment)), result]
    # the checkout holds the harness, and none of the libraries but taskmill
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    limit = 60 + assignment.n / 50
    with running(command, log, environment=environment, folder=folder) as process:
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"it did not end within {limit:.0f} s") from None
    if status != 0:
        raise Unavailable(reason_in(log.read_text(encoding="utf-8", errors="replace")))
    return Finding(**json.loads(result.read_text(encoding="utf-8")))
