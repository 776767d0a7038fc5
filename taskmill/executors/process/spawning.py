"""How a worker process is started: a fresh interpreter that finds modules where this one does."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from multiprocessing import spawn
from pathlib import Path

from taskmill.executors.process.guard import IGNORED

_BOOT = (
    "import pickle, socket, sys; s = socket.socket(fileno={}); "
    "n = int.from_bytes(s.recv(4, socket.MSG_WAITALL), 'big'); "
    "sys.path[:] = pickle.loads(s.recv(n, socket.MSG_WAITALL)); "
    "from taskmill.executors.process.child import main; main(s)"
)

_HERE = Path.cwd()
"""Where the process was when this was imported: the file of the main module may be relative."""


def spawned(theirs: socket.socket) -> subprocess.Popen[bytes]:
    """Start a worker at the other end of ``theirs``, which waits for its first message.

    It leads a process group of its own, so that it can be killed with all that its handlers start.
    The calling thread has to last as long as the worker: Linux takes its end for the parent's.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)  # here, and so in the process
    return subprocess.Popen(  # noqa: S603 - this interpreter, on our own code
        [sys.executable, *_interpreter_flags(), "-c", _BOOT.format(theirs.fileno())],
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        process_group=0,
    )


def preparation() -> dict[str, object]:
    """How a worker imports the main module: what `multiprocessing` would say.

    Its own function for this would settle how the application's own processes are started.
    """
    prepared: dict[str, object] = {
        "name": "taskmill-worker",
        "sys_path": sys.path,
        "sys_argv": sys.argv,
        "dir": str(Path.cwd()),
    }
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    path = getattr(main, "__file__", None)
    if name is not None:
        prepared["init_main_from_name"] = name
    elif path is not None:
        prepared["init_main_from_path"] = str(_HERE / path)
    return prepared


def _interpreter_flags() -> list[str]:
    """The options of this interpreter, such as -O or -X dev, for one more of its kind."""
    [_, *options, _, _, _] = spawn.get_command_line()
    return options
