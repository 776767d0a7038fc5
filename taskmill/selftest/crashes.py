"""Whether what was accepted outlives its process, and whether what it was doing is done again."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from taskmill.model.policies import Stop
from taskmill.model.status import TaskStatus
from taskmill.model.wording import plural
from taskmill.scheduler import Scheduler
from taskmill.selftest.child import MOST
from taskmill.selftest.jobs import no_steps, steps
from taskmill.selftest.ledger import Ledger, Story, read
from taskmill.selftest.place import Place
from taskmill.selftest.processes import started
from taskmill.selftest.values import Absent, Broken, Shown

ROUNDS = 4
DATABASE, LEDGER = "crashes.db", "crashes.ledger"


async def accepted_is_kept(place: Place, *, rounds: int = ROUNDS) -> Shown:
    """Kill processes while they submit; after each kill all is there that they had acknowledged."""
    database, path = place.folder / DATABASE, place.folder / LEDGER
    rng = Random()  # noqa: S311 - when to kill; nothing secret
    accepted: dict[int, int] = {}
    ledger = Ledger(path)
    try:
        for number in range(rounds):
            first, wanted = number * MOST, rng.randrange(10, MOST // 2)
            for task, payload in await _killed(place, first, wanted, ledger):
                accepted[task] = payload
                ledger.accepted(task)
            await _check_all_there(database, accepted)
    finally:
        ledger.close()
    processes = plural(rounds, "process", "processes")
    return Shown(
        figure=f"{plural(len(accepted), 'task')} acknowledged by {processes}, each killed in the "
        "middle of it"
    )


async def interrupted_runs_again(place: Place) -> Shown:
    """Let what the killed processes left run to its end, and read what the handlers wrote down."""
    database, path = place.folder / DATABASE, place.folder / LEDGER
    if not database.exists() or not path.exists():
        raise Absent("the processes that were to be killed have left nothing")
    ledger = Ledger(path)
    try:
        async with Scheduler(database, domains=[steps(ledger)], shutdown=Stop()) as scheduler:
            await scheduler.idle()
            left = await scheduler.count()
            completed = await scheduler.count(status=TaskStatus.COMPLETED)
            ended = [status for status in TaskStatus if status.is_terminal]
            other = await scheduler.count(status=ended) - completed
    finally:
        ledger.close()
    if left or other:
        raise Broken(f"{plural(left, 'task')} did not end, {other:,} ended but did not complete")
    return _judged(read(path))


def _judged(story: Story) -> Shown:
    if story.overlaps:
        raise Broken(f"{plural(len(story.overlaps), 'task')} ran twice at once")
    if story.repeated():
        task, run = story.repeated()[0]
        raise Broken(f"run {run} of task {task} began more than once: its fence came twice")
    if story.lost():
        raise Broken(f"no handler returned from {plural(len(story.lost()), 'task')}")
    if not story.cut_off:
        raise Broken("no run was under way at any kill, so nothing was shown")
    return Shown(
        figure=f"{plural(len(story.cut_off), 'run')} cut off, all of them run again; "
        f"{plural(story.starts.total(), 'run')} in all, each with a token of its own"
    )


async def _killed(place: Place, first: int, wanted: int, ledger: Ledger) -> list[tuple[int, int]]:
    """What a process acknowledged until it was killed: ids and numbers."""
    async with started(
        place.folder, "submit", place.folder / DATABASE, place.folder / LEDGER, first
    ) as child:
        lines: list[str] = []
        while len(lines) <= wanted:  # the first one says that it is open
            lines.append(await child.line())
        lines += await child.kill()
        ledger.killed(child.pid)
    return [(int(task), int(n)) for _, task, n in (line.split() for line in lines[1:])]


async def _check_all_there(database: Path, accepted: dict[int, int]) -> None:
    async with Scheduler(database, domains=[no_steps()], dispatch=False) as looking:
        page = await looking.tasks(status=list(TaskStatus), limit=10_000)
    found: dict[int, int] = {record.id: json.loads(record.payload)["number"] for record in page}
    lost = [task for task in accepted if task not in found]
    if lost:
        raise Broken(
            f"{plural(len(lost), 'task')} of {len(accepted):,} that submit had accepted "
            "are gone after a kill"
        )
    if any(found[task] != number for task, number in accepted.items()):
        raise Broken("a task came back with the payload of another")
