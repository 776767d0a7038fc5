"""Peers are measured in turns, what goes wrong is told, and the harness counts every run."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from benchmarks.peers import child, document, plot, postgres, report
from benchmarks.peers.__main__ import main
from benchmarks.peers.child import Finding
from benchmarks.peers.document import Conditions, Document, Entry, Failure, Machine, Sample
from benchmarks.peers.harness import Adapter, Assignment, Ledger, Measure
from benchmarks.peers.libraries import LIBRARIES, Durability, Library, Promise, named
from benchmarks.peers.process import Unavailable, reason_in
from benchmarks.peers.rounds import measure, rotated
from benchmarks.peers.runs import in_process
from benchmarks.peers.servers import Servers, Store
from benchmarks.peers.venvs import CHECKOUT, Environments

N = 20
CONDITIONS = Conditions(n=N, concurrency=4, repeat=2)
OURS, BESIDE, PEER = LIBRARIES[:3]


class Queue(Adapter):
    """A library of a few lines: an asyncio queue, and workers that take from it."""

    distribution = "taskmill"
    has_bulk = True

    def __init__(self, assignment: Assignment, ran: Callable[[int], None]) -> None:
        super().__init__(assignment, ran)
        self.queue: asyncio.Queue[int] = asyncio.Queue()
        self.workers: list[asyncio.Task[None]] = []
        self.closed = False

    async def open(self) -> None:
        pass

    async def submit(self, number: int) -> None:
        self.queue.put_nowait(number)

    async def submit_many(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.queue.put_nowait(number)

    async def start(self) -> None:
        slots = range(self.assignment.concurrency)
        self.workers = [asyncio.create_task(self.work()) for _ in slots]

    async def work(self) -> None:
        while True:
            self.carry_out(await self.queue.get())

    def carry_out(self, number: int) -> None:
        self.ran(number)

    async def stop(self) -> None:
        for worker in self.workers:
            worker.cancel()
        await asyncio.gather(*self.workers, return_exceptions=True)

    async def remaining(self) -> int:
        return self.queue.qsize()

    async def close(self) -> None:
        self.closed = True


class Twice(Queue):
    """Runs a task again."""

    def carry_out(self, number: int) -> None:
        self.ran(number)
        if number == 3:
            self.ran(number)


class Unacknowledged(Queue):
    """Does not note that a task is done."""

    async def remaining(self) -> int:
        return 1


class Serial(Queue):
    """Submits one task a call."""

    has_bulk = False


class Broken(Queue):
    """Cannot be started."""

    async def start(self) -> None:
        raise ConnectionError("the server is away")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "SETTLED", 0.0)


def assignment_of(
    asked: Measure, folder: Path, *, adapter: str = "", variant: str = ""
) -> Assignment:
    return Assignment(
        adapter=adapter,
        variant=variant,
        measure=asked,
        n=N,
        concurrency=4,
        folder=str(folder),
        url="",
    )


def found_with(kind: type[Queue], asked: Measure) -> tuple[Finding, Queue]:
    ledger, assignment = Ledger(), assignment_of(asked, Path())
    adapter = kind(assignment, ledger.ran)
    return asyncio.run(child.measure(adapter, assignment, ledger)), adapter


@pytest.mark.parametrize("asked", Measure)
def test_each_measure_gives_a_figure_and_counts_every_task(asked: Measure) -> None:
    found, adapter = found_with(Queue, asked)
    assert found.value is not None
    assert found.value > 0
    assert (found.n, found.problem) == (N, None)
    assert (found.p99 is not None) is (asked is Measure.LATENCY)
    assert adapter.closed


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Twice, "1 tasks ran more than once, such as task 3"),
        (Unacknowledged, "every task ran, and the store has 1 that are not done"),
    ],
)
@pytest.mark.parametrize("asked", Measure)
def test_a_run_that_is_not_exactly_once_is_found_by_each_measure(
    kind: type[Queue], asked: Measure, problem: str
) -> None:
    assert found_with(kind, asked)[0].problem == problem


def test_a_library_without_a_bulk_call_has_no_figure_for_it() -> None:
    assert found_with(Serial, Measure.BULK)[0].value is None
    assert found_with(Serial, Measure.DRAIN)[0].value is not None


@pytest.mark.parametrize(
    ("runs", "problem"),
    [
        ([0, 1, 2], None),
        ([0, 2], "1 of 3 tasks did not run"),
        ([0, 1, 1, 2], "1 tasks ran more than once, such as task 1"),
        ([0, 1, 2, 7], "1 tasks ran that nobody submitted, such as task 7"),
    ],
)
def test_a_ledger_tells_what_did_not_run_once(runs: list[int], problem: str | None) -> None:
    ledger = Ledger()
    for number in runs:
        ledger.ran(number)
    assert ledger.find_problem(3) == problem


def test_a_ledger_waits_for_what_is_expected_since_the_beginning() -> None:
    ledger = Ledger()
    ledger.ran(0)
    ledger.expect(2)
    assert not ledger.all_ran
    ledger.ran(0)
    assert not ledger.all_ran
    ledger.ran(1)
    assert ledger.all_ran
    ledger.expect(3)
    assert not ledger.all_ran


@pytest.mark.parametrize("variant", ["power", "process"])
@pytest.mark.parametrize("asked", [Measure.DRAIN, Measure.BULK, Measure.LATENCY])
def test_taskmill_is_measured_in_a_process_of_its_own(
    asked: Measure, variant: str, tmp_path: Path
) -> None:
    assignment = assignment_of(asked, tmp_path, adapter="taskmill", variant=variant)
    found = in_process(Path(sys.executable), assignment)
    assert found.value is not None
    assert found.value > 0
    assert (found.n, found.problem) == (N, None)
    assert variant in found.settings


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"No module named .*no_such"):
        in_process(Path(sys.executable), assignment_of(Measure.DRAIN, tmp_path, adapter="no_such"))


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("", "it said nothing"),
        ("one\ntwo\n\n", "two"),
        ("ERROR: no such package\nhint: see above", "ERROR: no such package"),
        (
            "  | OperationalError: locked\n  | (more on this error)\n  +---",
            "OperationalError: locked",
        ),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_the_reason_of_a_failure_is_one_short_line(said: str, reason: str) -> None:
    assert reason_in(said) == reason


def test_each_turn_begins_with_another_library() -> None:
    assert [rotated("abc", turn) for turn in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert rotated([], 1) == []


@attrs.frozen
class Here:
    """Runs in this process, with a queue for each library; one without is not installed."""

    kinds: dict[str, type[Queue]]

    def prepare(self, library: Library) -> None:
        if library.name not in self.kinds:
            raise Unavailable(f"{library.environment} is not here")

    def run(self, library: Library, measure: Measure, conditions: Conditions) -> Finding:
        assert conditions == CONDITIONS
        try:
            return found_with(self.kinds[library.name], measure)[0]
        except ConnectionError as error:
            raise Unavailable(str(error)) from error


def entries_of(
    kinds: dict[str, type[Queue]], told: Callable[[str], None] = lambda _: None
) -> list[Entry]:
    return measure([OURS, BESIDE, PEER], CONDITIONS, Here(kinds), told=told)


def test_the_libraries_take_turns_for_each_measure() -> None:
    told: list[str] = []
    entries = entries_of({OURS.name: Queue, BESIDE.name: Queue, PEER.name: Queue}, told.append)
    drains = [text.partition(": drain of ")[2] for text in told if "drain" in text]
    assert drains == [OURS.name, BESIDE.name, PEER.name, BESIDE.name, PEER.name, OURS.name]
    assert all(len(entry.of(asked)) == 2 for entry in entries for asked in Measure)


def test_what_fails_or_is_missing_does_not_stop_the_others() -> None:
    ours, beside, peer = entries_of({OURS.name: Queue, BESIDE.name: Broken})
    assert len(ours.samples) == 2 * len(Measure)
    assert beside.samples == []
    assert {(f.measure, f.turn, f.reason) for f in beside.failures} == {
        (asked, 0, "the server is away") for asked in Measure
    }
    assert peer.missing == "huey is not here"


def kept_with(entries: Sequence[Entry]) -> Document:
    return Document(
        machine=Machine.here(["PostgreSQL 15.1"]), conditions=CONDITIONS, entries=list(entries)
    )


def entry(name: str, figures: dict[Measure, list[float]], **more: Any) -> Entry:
    made = Entry(
        name=name,
        store=Store.SQLITE,
        durability=Durability.POWER,
        promise=Promise.AT_LEAST_ONCE,
        version="1.2",
        samples=[
            Sample(
                measure=asked,
                turn=turn,
                n=N,
                value=value,
                p99=9.0 if asked is Measure.LATENCY else None,
            )
            for asked, values in figures.items()
            for turn, value in enumerate(values)
        ],
    )
    return attrs.evolve(made, **more)


TAKEN = [
    entry("taskmill", {Measure.DRAIN: [900, 1000, 1200], Measure.LATENCY: [2.0]}),
    entry("slow", {Measure.DRAIN: [100], Measure.LATENCY: [1.0]}),
    entry(
        "partial",
        {},
        failures=[Failure(measure=Measure.BULK, turn=0, reason="it did not end within 60 s")],
    ),
    entry(
        "wrong",
        {Measure.DRAIN: [5000]},
        samples=[
            Sample(measure=Measure.DRAIN, turn=0, n=N, value=5000),
            Sample(measure=Measure.DRAIN, turn=1, n=N, value=5000, problem="2 tasks ran twice"),
        ],
    ),
    entry("absent", {}, missing="it does not install: no such package"),
]


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_shows_medians_ranges_and_ratios() -> None:
    lines = report.table(kept_with(TAKEN)).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("taskmill"))
    rows = [cells_of(line) for line in lines[at : at + 4]]
    assert rows == [
        ["taskmill", "-", "-", "-", "1,000", "-", "2.00 / 9.00"],
        ["900 - 1,200", "2.00 - 2.00"],
        ["slow", "-", "-", "-", "100", "-", "1.00 / 9.00"],
        ["taskmill", "10.0x", "0.5x"],
    ]


def test_the_table_names_what_is_wrong_and_what_is_missing() -> None:
    lines = report.table(kept_with(TAKEN)).splitlines()
    assert "partial: bulk not measured: it did not end within 60 s" in lines
    assert "wrong: drain in turn 2 is WRONG: 2 tasks ran twice" in lines
    assert "absent: not measured: it does not install: no such package" in lines
    by_name = {line.split()[0]: cells_of(line) for line in reversed(lines) if line.strip()}
    assert "WRONG" in by_name["wrong"]
    assert "failed" in by_name["partial"]
    assert "5,000" not in by_name["wrong"]


def test_a_table_without_a_figure_says_why() -> None:
    lines = report.table(kept_with(TAKEN[-1:])).splitlines()
    assert lines[-1].startswith("absent: not measured")
    assert not any("drain" in line for line in lines)


def test_a_document_is_read_as_it_was_written(tmp_path: Path) -> None:
    kept = kept_with([*TAKEN, *entries_of({OURS.name: Queue, BESIDE.name: Broken})])
    document.write(tmp_path / "kept.json", kept)
    assert document.read(tmp_path / "kept.json") == kept
    [first, *_] = json.loads((tmp_path / "kept.json").read_text())["entries"]
    assert first["samples"][0]["measure"] == "drain"


def test_the_picture_is_drawn_with_what_was_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "peers.png"
    plot.draw(kept_with(TAKEN), path)
    drawn = path.read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert len(drawn) < 200_000


def test_bars_are_in_the_order_of_speed_without_wrong_figures() -> None:
    drains = plot.bars_of(TAKEN[::-1], Measure.DRAIN)
    assert [(bar.name, value) for bar, value in drains] == [("taskmill", 1000), ("slow", 100)]
    latencies = plot.bars_of(TAKEN, Measure.LATENCY)
    assert [bar.name for bar, _ in latencies] == ["slow", "taskmill"]


def test_the_list_names_every_library(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for library in LIBRARIES:
        assert library.name in listed
        assert all(package in listed for package in library.packages)


def test_each_library_has_an_adapter_and_a_name_of_its_own() -> None:
    names = [library.name for library in LIBRARIES]
    assert len(set(names)) == len(names)
    adapters = CHECKOUT / "benchmarks" / "peers" / "adapters"
    assert all((adapters / f"{library.adapter}.py").is_file() for library in LIBRARIES)
    for library in LIBRARIES:
        assert all("==" in package for package in library.packages)


def test_a_name_is_that_of_a_library_or_of_its_variants() -> None:
    assert [library.name for library in named("saq-redis")] == ["saq-redis"]
    assert [library.name for library in named("saq")] == ["saq-postgres", "saq-redis"]
    assert named("no-such") == []


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["no-such"], "no library is named no-such"),
        (["-n", "0"], "'0' is no whole number from 1"),
        (["--plot", "peers.jpg"], "must end in .png"),
        (["--json", "no-such-folder/peers.json"], "there is no folder"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_measured(
    wrong: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(wrong)
    assert said in capsys.readouterr().err


def test_without_servers_and_without_space_for_an_environment_the_reasons_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "PACKAGED", tmp_path)
    (tmp_path / "file").touch()
    arguments = ["huey", "pgqueuer", "dramatiq", "-n", "1", "--keep", str(tmp_path / "file")]
    assert main(arguments) == 0
    table = capsys.readouterr().out
    assert "huey: not measured: it does not install: " in table
    assert "pgqueuer: not measured: PostgreSQL is not installed" in table
    assert "dramatiq: not measured: Redis is not installed" in table


def test_an_environment_is_found_again_while_its_packages_are_the_same(tmp_path: Path) -> None:
    folder = tmp_path / f"huey-cpython{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    (folder / "packages.json").write_text(json.dumps(list(PEER.packages)))
    installing: list[str] = []
    assert Environments(tmp_path, installing.append).python_of(PEER) == python
    assert installing == []


@pytest.mark.nightly
def test_a_real_peer_is_installed_and_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    kept = tmp_path / "kept.json"
    arguments = ["huey", "-n", "50", "--repeat", "1", "--keep", str(tmp_path), "--json", str(kept)]
    assert main(arguments) == 0
    [found] = document.read(kept).entries
    assert (found.missing, found.failures, found.problems) == (None, [], [])
    assert {sample.measure for sample in found.samples} == set(Measure) - {Measure.BULK}
    assert "huey" in capsys.readouterr().out


@pytest.mark.nightly
@pytest.mark.parametrize("store", [Store.POSTGRES, Store.REDIS])
def test_a_server_of_ones_own_is_gone_afterwards(store: Store) -> None:
    with Servers() as servers:
        try:
            server = servers.of(store)
        except Unavailable as error:
            pytest.skip(str(error))
        assert server is not None
        assert server.version.startswith(store)
        with server.fresh("one") as one, server.fresh("two") as two:
            assert "127.0.0.1" in one
            assert "127.0.0.1" in two
    prefix = f"taskmill-{store.lower()}-"
    assert not any(process_line.count(prefix) for process_line in command_lines())


def command_lines() -> list[str]:
    """The command lines of all processes, where the system shows them in /proc."""
    lines: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode(errors="replace"))
        except OSError:
            continue
    return lines
