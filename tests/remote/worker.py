"""A worker that knows nothing of taskmill: lines of JSON over a socket, one thread for each task.

``python worker.py``: prints the port it listens on, and serves one connection at a time.
"""

from __future__ import annotations

import json
import socket
import threading
from typing import Any


class Worker:
    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._stops: dict[int, threading.Event] = {}

    def serve(self) -> None:
        for line in self._link.makefile("r", encoding="utf-8"):
            order = json.loads(line)
            if order.get("stop"):
                self._stops[order["id"]].set()
                continue
            self._stops[order["id"]] = threading.Event()
            threading.Thread(target=self._run, args=(order,), daemon=True).start()

    def _say(self, **said: Any) -> None:
        with self._lock:
            self._link.sendall(json.dumps(said).encode() + b"\n")

    def _run(self, order: dict[str, Any]) -> None:
        task, payload = order["id"], json.loads(order["payload"])
        match payload["how"]:
            case "add":
                self._say(id=task, result=json.dumps(payload["a"] + payload["b"]))
            case "raise":
                self._say(id=task, error={"type": "far.Trouble", "message": "no luck"})
            case "nonsense":
                self._say(id=task, result='"text"')
            case "wait":
                self._say(id=task, progress=0.5)
                self._stops[task].wait()
                self._say(id=task, error={"type": "far.Stopped", "message": "was told to"})
            case _:
                raise ValueError(payload)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            link, _ = server.accept()
            with link:
                Worker(link).serve()


if __name__ == "__main__":
    main()
