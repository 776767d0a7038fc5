"""Whether what a crash left, and what became of it, is what was promised."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from taskmill import Scheduler, TaskId, TaskRecord, TaskStatus
from tests.trust.ledger import Entry, ended_parts
from tests.trust.victim import Tidy

ENDS = {
    "load::step": {"completed", "superseded", "dependency_failed"},
    "load::hopeless": {"failed"},
    "load::tidy": {"cancelled"},
}
"""How the tasks of a type may end; all others complete."""


async def ended_records(scheduler: Scheduler) -> dict[TaskId, TaskRecord]:
    """Every task there is, once all have ended; what waits to be cancelled is."""
    for schedule in await scheduler.schedules():
        await scheduler.cancel_schedule(schedule.name)
    await scheduler.resume_group("narrow")
    await scheduler.resume()
    await scheduler.cancel_where(types=[Tidy])
    while active := await scheduler.ids():
        for task in active:
            await scheduler.wait(task)
    records: dict[TaskId, TaskRecord] = {}
    after = None
    while True:
        page = await scheduler.tasks(status=list(TaskStatus), limit=1000, after=after)
        records.update({record.id: record for record in page})
        after = page.next
        if after is None:
            return records


def check_records(
    found: list[Entry],
    records: dict[TaskId, TaskRecord],
    ends: Mapping[str, Collection[str]] = ENDS,
) -> None:
    """Assert that what was accepted was done, and that what is on record was done."""
    accepted = {entry.task for entry in found if entry.word == "accept"}
    told = {entry.task for entry in found if entry.word == "told"}
    parts = ended_parts(found)
    runs = {entry.task: entry.run for entry in found if entry.word == "start"}
    children = Counter(record.parent for record in records.values())
    assert accepted <= records.keys()
    assert told <= accepted
    for task, record in records.items():
        status = record.status.value
        assert status in ends.get(record.type, {"completed"}), record
        assert runs.get(task, 0) <= record.run, f"a run that is not on record: {record}"
        assert task not in told or record.status is TaskStatus.CANCELLED, record
        if record.status is TaskStatus.COMPLETED:
            assert parts[task], f"completed without having run: {record}"
            assert runs[task] == record.run, f"completed by a run that did not begin: {record}"
            assert json.loads(record.result or "null") == wanted(record), record
        if record.type == "load::parent":
            assert parts[task][-1] == "finalize"
            assert children[task] >= 3, "a killed attempt may have had some of its own"


def wanted(record: TaskRecord) -> Any:
    """The result of a task that completed."""
    payload = json.loads(record.payload)
    match record.type:
        case "load::crunch":
            return sum(range(payload["number"]))
        case "load::order":
            return payload["number"]
        case "load::beat":
            return None
        case _:
            return payload["name"]


def check_order(found: list[Entry], records: dict[TaskId, TaskRecord]) -> None:
    """Assert that nothing began before what it depends on, and no time came twice."""
    last_end = {entry.task: at for at, entry in enumerate(found) if entry.word in ("end", "broken")}
    begun: dict[int, int] = {}
    for at, entry in enumerate(found):
        if entry.word == "start" and entry.part != "finalize":
            begun.setdefault(entry.task, at)
    for task, record in records.items():
        for other in record.depends_on:
            if task in begun and other in last_end:
                assert begun[task] > last_end[other], f"{task} began before {other} had ended"
    beats = [record.scheduled_for for record in records.values() if record.schedule == "beat"]
    assert len(beats) == len(set(beats))


def check_file(path: Path, found: list[Entry], records: dict[TaskId, TaskRecord]) -> None:
    """Assert that the file is whole, and that orders and their tasks are there together."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        made = {number for (number,) in db.execute("SELECT number FROM orders")}
    tasks = {json.loads(r.payload)["number"] for r in records.values() if r.type == "load::order"}
    assert made == tasks
    assert {int(entry.values[1]) for entry in found if entry.word == "ordered"} <= made
