"""Take away what a promise rests on: tests that are named here must fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest

from tests.processes import ROOT

pytestmark = pytest.mark.nightly

SQL = "store/sqlite/sql"

RUNS = "tests/store/test_conformance_runs.py"
CRASHES = "tests/store/test_crash_points.py"
COMMITS = "tests/trust/test_commits.py"
CHILDREN = "tests/store/test_conformance_children.py"
WRITING = "tests/store/test_sqlite_writing.py"


@attrs.frozen
class Patch:
    """One place in the source, and what is there instead."""

    file: str
    before: str
    after: str

    def apply(self, package: Path) -> None:
        """Change the place; a test fails where the source has moved on."""
        path = package / self.file
        text = path.read_text()
        assert text.count(self.before) == 1, f"{self.file} has not, or not once: {self.before!r}"
        path.write_text(text.replace(self.before, self.after))


@attrs.frozen
class Mutant:
    """The package without one thing, and the tests that notice."""

    patches: Sequence[Patch]
    tests: Sequence[str]


MUTANTS = {
    "compare-and-set on run, runs that return": Mutant(
        [Patch(f"{SQL}/complete.sql", "AND taskmill_tasks.run = ended.run ", "")],
        [f"{RUNS}::test_a_settlement_of_an_older_run_changes_nothing"],
    ),
    "compare-and-set on run, other ends": Mutant(
        [Patch(f"{SQL}/settle.sql", "AND run = :run ", "")],
        [f"{RUNS}::test_a_settlement_of_an_older_run_changes_nothing"],
    ),
    "compare-and-set on run, ends that concern others": Mutant(
        [Patch("rules/ending.py", " or record.run != settlement.run", "")],
        [f"{RUNS}::test_a_settlement_of_an_older_run_changes_nothing"],
    ),
    "the file lock": Mutant(
        [
            Patch(
                "store/sqlite/files.py",
                "fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
                "pass",
            )
        ],
        [
            "tests/engine/test_processes.py::test_a_second_process_is_refused_and_told_who_holds_the_file"
        ],
    ),
    "the commit of stop causes": Mutant(
        [
            Patch(
                f"{SQL}/put.sql",
                "stop_cause = :stop_cause",
                "stop_cause = CASE WHEN :status = 'running' THEN stop_cause ELSE :stop_cause END",
            )
        ],
        [f"{COMMITS}::test_a_stop_that_was_confirmed_holds_after_a_crash"],
    ),
    "the commit of a claim before its start": Mutant(
        [
            Patch(
                "store/sqlite/store.py",
                "        return batch.apply(db, changes, check=",
                "        late = getattr(self, '_late', [])\n"
                "        is_claim = ['Claim' in type(each).__name__ for each in changes]\n"
                "        others = [each for each, late in zip(changes, is_claim) if not late]\n"
                "        known = iter(batch.apply(db, [*late, *others])[len(late) :])\n"
                "        effects = [None if late else next(known) for late in is_claim]\n"
                "        claims = [each for each, late in zip(changes, is_claim) if late]\n"
                "        self._late = [batch._told_by(each, effects) for each in claims]\n"
                "        records = []\n"
                "        db.execute('BEGIN IMMEDIATE')\n"
                "        batch._apply_all(db, self._late, records)\n"
                "        db.execute('ROLLBACK')\n"
                "        return [records.pop(0) if late else effect"
                " for late, effect in zip(is_claim, effects)]\n"
                "        return batch.apply(db, changes, check=",
            )
        ],
        [f"{COMMITS}::test_a_handler_begins_when_its_run_is_on_record"],
    ),
    "the rollback of a failed batch": Mutant(
        [
            Patch(
                "store/sqlite/transactions.py",
                '                db.execute("ROLLBACK")\n        raise',
                '                db.execute("COMMIT")\n        raise',
            )
        ],
        [f"{CRASHES}::test_a_batch_at_which_the_disk_fails_is_not_applied_at_all"],
    ),
    "the rollback of a failed batch before it is redone": Mutant(
        [
            Patch(
                "store/sqlite/batch.py",
                '            db.execute("ROLLBACK")\n            db.execute("BEGIN IMMEDIATE")\n',
                "",
            )
        ],
        [f"{CRASHES}::test_what_is_redone_because_a_change_was_refused_is_done_once"],
    ),
    "the recovery of runs that finalize": Mutant(
        [Patch(f"{SQL}/recover_running.sql", "AND stage < 4", "AND stage < 1")],
        [f"{CHILDREN}::test_a_retry_or_a_crash_of_finalize_finalizes_again"],
    ),
    "the recovery of runs that finalize, as such": Mutant(
        [Patch(f"{SQL}/recover_running.sql", "ELSE stage END", "ELSE 0 END")],
        [f"{CHILDREN}::test_a_retry_or_a_crash_of_finalize_finalizes_again"],
    ),
    "the recovery of parents that wait": Mutant(
        [
            Patch(
                "rules/ending.py",
                "    yield from put(ends, moves)\n    yield from spread(moves, now_ms)\n\n\n"
                "def _recovered",
                "    yield from put(ends, moves)\n\n\ndef _recovered",
            )
        ],
        [
            "tests/life/test_restarts.py::test_an_opening_ends_what_was_to_stop_and_wakes_and_judges_who_waited_for_it"
        ],
    ),
    "BUSY handling, the wait": Mutant(
        [Patch("store/sqlite/connection.py", "timeout=BUSY_SECONDS", "timeout=0")],
        [f"{WRITING}::test_another_writer_that_ends_in_time_is_waited_for"],
    ),
    "BUSY handling, what ended meanwhile": Mutant(
        [
            Patch(
                "engine/writer.py",
                "            if isinstance(change, Settlement):\n"
                "                self._waiting.appendleft",
                "            if False:\n                self._waiting.appendleft",
            )
        ],
        ["tests/trust/test_disks.py::test_a_writer_that_holds_on_delays_and_loses_nothing"],
    ),
    "event order, behind the commit": Mutant(
        [
            Patch(
                "store/sqlite/store.py",
                "        return batch.apply(db, changes, check=",
                "        if db.in_transaction:\n"
                "            db.execute('COMMIT')\n"
                "        db.execute('BEGIN IMMEDIATE')\n"
                "        return [*batch._apply_all(db, changes)]\n"
                "        return batch.apply(db, changes, check=",
            )
        ],
        [f"{COMMITS}::test_an_event_tells_of_what_others_can_read"],
    ),
    "event order, as committed": Mutant(
        [
            Patch(
                "engine/writer.py",
                "in zip(batch, effects, strict=True):",
                "in reversed([*zip(batch, effects, strict=True)]):",
            )
        ],
        [f"{COMMITS}::test_events_of_one_commit_come_in_the_order_of_the_changes"],
    ),
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and its tests, to be changed."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("taskmill", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", folder / "pyproject.toml")
    return folder


def run(copy: Path, tests: Sequence[str]) -> tuple[int, str]:
    """How the tests of the copy end, and what they say; only the copy is imported."""
    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "-x", "--tb=line"]
    command = (
        "import sys, pytest; status = pytest.main(sys.argv[2:]); import taskmill; "
        "sys.exit(status if taskmill.__file__.startswith(sys.argv[1]) else 70)"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, str(copy), *options, *tests],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_named_tests_pass_where_nothing_is_taken_away(copy: Path) -> None:
    status, said = run(copy, sorted({test for each in MUTANTS.values() for test in each.tests}))
    assert status == pytest.ExitCode.OK, said


@pytest.mark.parametrize("name", MUTANTS)
def test_a_promise_is_noticed_to_be_broken_without(copy: Path, name: str) -> None:
    mutant = MUTANTS[name]
    originals = {each.file: (copy / "taskmill" / each.file).read_text() for each in mutant.patches}
    try:
        for patch in mutant.patches:
            patch.apply(copy / "taskmill")
        status, said = run(copy, mutant.tests)
    finally:
        for file, text in originals.items():
            (copy / "taskmill" / file).write_text(text)
    assert status == pytest.ExitCode.TESTS_FAILED, said
    assert " FAILURES " in said
