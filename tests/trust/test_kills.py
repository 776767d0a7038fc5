"""A service that is killed again and again: nothing lost, nothing twice at once, nothing undone."""

from __future__ import annotations

import sqlite3
import time
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random

import pytest

from tests.processes import Process, running
from tests.trust.judging import check_file, check_order, check_records, ended_records
from tests.trust.ledger import Ledger, check, entries
from tests.trust.victim import CAPS, service

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("rounds", [5, pytest.param(200, marks=pytest.mark.nightly)])
async def test_killed_at_any_moment_a_service_loses_nothing_and_repeats_nothing(
    tmp_path: Path, rounds: int
) -> None:
    path, log = tmp_path / "app.db", tmp_path / "log"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE orders (number INTEGER)")
    kill_again_and_again(path, log, rounds)
    said = {line.split(maxsplit=1)[1] for line in log.read_text().splitlines()}
    assert said <= {
        "interrupted runs are back in the queue",
        "interrupted run is back in the queue",
    }
    ledger = Ledger(tmp_path / "ledger")
    async with service(str(path), ledger) as scheduler:
        records = await ended_records(scheduler)
    ledger.close()
    found = entries(tmp_path / "ledger")
    assert len({entry.pid for entry in found if entry.word == "boot"}) == rounds + 1
    check(found, CAPS)
    check_records(found, records)
    check_order(found, records)
    assert any(record.schedule == "beat" for record in records.values())
    check_file(path, found, records)


def kill_again_and_again(path: Path, log: Path, rounds: int) -> None:
    """Kill each process some milliseconds after it has opened; the next one stands by."""
    rng = Random(rounds)  # noqa: S311 - when processes die
    ledger = path.with_name("ledger")

    def started(number: int) -> Process:
        arguments = (path, ledger, number)
        process = stack.enter_context(running("tests.trust.victim", *arguments, log=log))
        process.read_until("standing by")
        return process

    with ExitStack() as stack:
        victim = started(0)
        for number in range(1, rounds + 1):
            heir = started(number) if number < rounds else None
            victim.read_until("open")
            time.sleep(rng.uniform(0.005, 0.5))
            victim.kill()
            victim.process.wait()
            if heir is not None:
                victim = heir
