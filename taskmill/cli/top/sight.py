"""What the live view reads of a database for one frame."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from taskmill.cli.moments import short
from taskmill.cli.top.estimate import estimates_of
from taskmill.cli.top.state import STATUSES, Frame, View
from taskmill.client.client import Client
from taskmill.engine.clock import SystemClock
from taskmill.model.effects import Holder
from taskmill.model.record import TaskRecord
from taskmill.model.selection import Selection
from taskmill.model.status import TERMINAL, TaskStatus

ENDED = 100
"""How many of the tasks that have ended are listed."""
WAITING = 500
"""How many of those that wait, by id; they are listed as they are likely to start."""


async def sight(client: Client, path: Path, view: View) -> Frame:
    """How things are now, with the tasks of one view."""
    snapshot = await client.snapshots.of_all()
    holder = await client.holder()
    now = SystemClock().now()
    tasks, is_all = await _tasks(client, view, snapshot.running)
    return Frame(
        at=now,
        name=path.name,
        snapshot=snapshot,
        is_live=snapshot.is_live,
        holder=None if holder is None else words(holder, now),
        opening=None if holder is None else (holder.pid, holder.host, holder.epoch),
        view=view,
        tasks=tasks,
        is_all=is_all,
        estimates=estimates_of(snapshot, now),
    )


def words(holder: Holder, now: datetime) -> str:
    """Who dispatches."""
    length = short(max((now - holder.since).total_seconds(), 0))
    return f"process {holder.pid} on {holder.host} for {length}"


async def _tasks(
    client: Client, view: View, running: tuple[TaskRecord, ...]
) -> tuple[tuple[TaskRecord, ...], bool]:
    if view is View.RUNNING:
        return tuple(
            sorted(running, key=lambda task: (task.started_at or task.created_at, task.id))
        ), True
    selection = Selection(statuses=STATUSES.get(view, TERMINAL))
    if view is View.WAITING:
        page = await client.queries.page(selection, limit=WAITING, after=None)
        return tuple(sorted(page, key=turn_of)), page.next is None
    page = await client.queries.ended_page(selection, limit=ENDED, after=None)
    return tuple(page), page.next is None


def turn_of(task: TaskRecord) -> tuple[bool, float, int, datetime, int]:
    """What waits for its turn alone first, then what waits for a time, then for another task."""
    waits = task.status not in (TaskStatus.PENDING, TaskStatus.PAUSED)
    due = 0.0 if task.due_at is None else task.due_at.timestamp()
    return waits, due, task.effective_priority, task.ready_at, task.id
