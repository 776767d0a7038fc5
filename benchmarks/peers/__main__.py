"""The command line of the peers: taskmill and other task libraries under one workload."""

from __future__ import annotations

import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from benchmarks.peers import document, plot, report
from benchmarks.peers.document import Conditions, Document, Machine
from benchmarks.peers.libraries import LIBRARIES, Library, named
from benchmarks.peers.rounds import measure
from benchmarks.peers.runs import OwnProcesses
from benchmarks.peers.servers import Servers
from benchmarks.peers.venvs import Environments, cache


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure or list; return 1 where a task did not run exactly once, 130 after Ctrl-C."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.list:
        print(report.libraries_there_are())
        return 0
    unknown = [name for name in asked.names if not named(name)]
    if unknown:
        parser.error(f"no library is named {', '.join(unknown)}; --list shows those there are")
    obstacle = None if asked.plot is None else plot.find_obstacle(asked.plot)
    if obstacle is not None:
        parser.error(obstacle)
    for path in (asked.json, asked.plot):
        if path is not None and not path.absolute().parent.is_dir():
            parser.error(f"{path} cannot be written: there is no folder {path.absolute().parent}")
    conditions = Conditions(n=asked.n, concurrency=asked.concurrency, repeat=asked.repeat)
    try:
        with _ended_in_order():
            kept = _measure(_chosen(asked.names), conditions, asked.keep)
    except KeyboardInterrupt:
        _tell("")
        print("stopped; nothing was kept but the virtual environments", file=sys.stderr)
        return 130
    _tell("")
    print(report.table(kept))
    if asked.json is not None:
        document.write(asked.json, kept)
    if asked.plot is not None:
        plot.draw(kept, asked.plot)
    return 1 if any(entry.problems for entry in kept.entries) else 0


def _chosen(names: Sequence[str]) -> list[Library]:
    """The libraries of those names, or all, in the order of the catalogue."""
    wanted = {library.name for name in names for library in named(name)}
    return [library for library in LIBRARIES if not names or library.name in wanted]


def _measure(libraries: Sequence[Library], conditions: Conditions, keep: Path) -> Document:
    with Servers() as servers:
        runs = OwnProcesses(Environments(keep, _tell), servers)
        entries = measure(libraries, conditions, runs, told=_tell)
        return Document(
            machine=Machine.here(servers.versions), conditions=conditions, entries=entries
        )


@contextmanager
def _ended_in_order() -> Generator[None]:
    """Let SIGTERM and SIGHUP end the process as Ctrl-C does: what was started is stopped."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(progress: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m benchmarks.peers", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", help="libraries to measure; all of them unless named")
    add("-n", type=_positive, default=5000, help="tasks in a run (default: %(default)s)")
    add("--concurrency", type=_positive, default=16, help="slots (default: %(default)s)")
    add("--repeat", type=_positive, default=3, help="turns (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write every sample there as well")
    add("--plot", type=Path, metavar="FILE.png", help="draw a picture as well (extra: plot)")
    add(
        "--keep",
        type=Path,
        metavar="FOLDER",
        default=cache(),
        help="where the virtual environments are made and found again (default: %(default)s)",
    )
    add("--list", action="store_true", help="show the libraries there are")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
