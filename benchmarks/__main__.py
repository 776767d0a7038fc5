"""The command line of the benchmarks."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import document, history, report
from benchmarks.measure import measure
from benchmarks.scenario import Scenario
from benchmarks.scenarios import SCENARIOS
from benchmarks.setting import Setting


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, list, compare or show a trend; return 1 where a task did not run exactly once."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.list:
        print(report.scenarios_there_are(SCENARIOS))
        return 0
    if asked.compare:
        old, new = asked.compare
        print(report.comparison(document.read(old), document.read(new)))
        return 0
    if asked.trend is not None:
        print(history.trend(asked.trend))
        return 0
    chosen = {scenario.name: scenario for name in asked.names for scenario in _named(name)}
    unknown = [name for name in asked.names if not _named(name)]
    if unknown:
        parser.error(f"no scenario is named {', '.join(unknown)}; --list shows those there are")
    scenarios = list(chosen.values()) or SCENARIOS
    return _measure(asked, [s for s in scenarios if not (asked.memory and s.needs_file)])


def _named(name: str) -> list[Scenario]:
    """The scenarios of a name, or of a pattern such as ``drain*``."""
    return [scenario for scenario in SCENARIOS if fnmatchcase(scenario.name, name)]


def _measure(asked: Namespace, scenarios: Sequence[Scenario]) -> int:
    with TemporaryDirectory(prefix="taskmill-", dir=asked.dir) as folder:
        setting = Setting(
            folder=Path(folder),
            n=asked.n,
            concurrency=asked.concurrency,
            durability=asked.durability,
            in_memory=asked.memory,
            uvloop=asked.uvloop,
        )
        taken = measure(scenarios, setting, repeat=asked.repeat, told=tell)
    tell("")
    kept = document.document(taken, setting, repeat=asked.repeat)
    print(report.results(kept, scenarios))
    if asked.json is not None:
        document.write(asked.json, kept)
    if asked.history is not None:
        history.keep(asked.history, kept)
    wrong = [result for result in kept.results if not result.exactly_once]
    for result in wrong:
        print(f"{result.name} is WRONG: {result.problem}", file=sys.stderr)
    return 1 if wrong else 0


def tell(progress: str) -> None:
    """Show how far it is, where somebody looks on."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{progress}", end="", file=sys.stderr, flush=True)


def _parser() -> ArgumentParser:
    parser = ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("names", nargs="*", help="scenarios, or patterns as 'drain*'; all unless named")
    add("-n", type=positive, default=5000, help="tasks in a run (default: %(default)s)")
    add("--concurrency", type=positive, default=16, help="slots (default: %(default)s)")
    add("--repeat", type=positive, default=3, help="runs of each (default: %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the results there as well")
    add("--history", type=Path, metavar="FOLDER", help="write them there, named by the time")
    add("--durability", choices=("power", "process"), default="power")
    add("--memory", action="store_true", help="a database in memory in place of a file")
    add("--uvloop", action="store_true", help="uvloop's event loop in place of asyncio's")
    add("--dir", type=Path, help="where databases are made (default: the system's place)")
    add("--list", action="store_true", help="show the scenarios and floors there are")
    add("--compare", nargs=2, type=Path, metavar=("OLD", "NEW"), help="compare two JSON files")
    add("--trend", type=Path, metavar="FOLDER", help="show the medians of the runs in a history")
    return parser


def positive(text: str) -> int:
    """A whole number from 1, as an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


if __name__ == "__main__":
    logging.basicConfig(level=logging.ERROR)  # that runs were recovered is what is measured
    sys.exit(main())
