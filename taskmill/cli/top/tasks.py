"""The lower part of the live view: a line for each task of the chosen view."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from taskmill.cli.figures import size_text
from taskmill.cli.grid import Cell, Column, grid
from taskmill.cli.listing import error_line, note_of
from taskmill.cli.moments import away, clock, short
from taskmill.cli.printing import status_text
from taskmill.cli.top.estimate import UNKNOWN, Estimate
from taskmill.cli.top.state import Frame, State, View
from taskmill.model.record import TaskRecord

BAR = 10
FULL, EMPTY = "█", "░"
MARK = ">"

_EMPTY_STATES = {
    View.RUNNING: "no task is running",
    View.WAITING: "no task is waiting",
    View.ENDED: "no task has ended",
    View.DEAD: "no task has failed",
}


def tabs(state: State) -> Text:
    """The views, the chosen one marked."""
    line = Text()
    counts = _counts(state.frame)
    for view in View:
        name = f"{view.value}{counts.get(view, '')}"
        chosen = view is state.view
        line.append(f"[{name}]" if chosen else f" {name} ", "bold reverse" if chosen else "dim")
    if state.frame is not None and state.frame.view is state.view and not state.frame.is_all:
        line.append(f"  {len(state.tasks):,} shown", "dim")
    return line


def tasks(state: State, width: int, height: int) -> list[Text]:
    """Exactly the lines that fit ``height``, with the selected task among them."""
    frame = state.frame
    if frame is None or height < 1:
        return []
    if frame.view is not state.view:
        return [Text("...", "dim")]
    if not state.tasks:
        return [Text(_EMPTY_STATES[state.view], "dim")]
    room = max(1, height - 1)
    first = max(0, min(state.index - room // 2, len(state.tasks) - room))
    shown = state.tasks[first : first + room]
    columns, rows = _table(frame, shown)
    marks = [MARK if first + place == state.index else " " for place in range(len(shown))]
    marked = [(mark, *row) for mark, row in zip(marks, rows, strict=True)]
    head, *body = grid((Column(name=" "), *columns), marked, width)
    for place, line in enumerate(body):
        if first + place == state.index:
            line.stylize("reverse")
    return [head, *body] if height > 1 else body


def bar(fraction: float) -> str:
    """A fraction as a bar."""
    filled = max(0, min(BAR, int(fraction * BAR)))
    return FULL * filled + EMPTY * (BAR - filled)


def _counts(frame: Frame | None) -> dict[View, str]:
    if frame is None:
        return {}
    shot = frame.snapshot
    waiting = shot.pending_count + shot.paused_count + shot.blocked_count + shot.waiting_count
    return {View.RUNNING: f" {len(shot.running):,}", View.WAITING: f" {waiting:,}"}


def _table(
    frame: Frame, shown: Sequence[TaskRecord]
) -> tuple[Sequence[Column], list[Sequence[Cell]]]:
    match frame.view:
        case View.RUNNING:
            estimates = [frame.estimates.get(task.id, UNKNOWN) for task in shown]
            running = zip(shown, estimates, strict=True)
            return _RUNNING, [_running(task, estimate, frame.at) for task, estimate in running]
        case View.WAITING:
            return _WAITING, [_waiting(task, frame.at) for task in shown]
        case View.ENDED | View.DEAD:
            return _ENDED, [_ended(task, frame.at) for task in shown]


_RUNNING = (
    Column(name="id", justify="right"),
    Column(name="type", gives_way=True),
    Column(name="progress", from_width=56),
    Column(name="elapsed", justify="right"),
    Column(name="left", justify="right", from_width=48),
    Column(name="rate", justify="right", from_width=80, is_needed=False),
    Column(name="try", justify="right", from_width=72),
    Column(name="where", from_width=100),
    Column(name="group", from_width=110, most=20, is_needed=False),
    Column(name="label", from_width=64, gives_way=True, is_needed=False),
    Column(name="message", from_width=64, gives_way=True, is_needed=False),
)
_WAITING = (
    Column(name="id", justify="right"),
    Column(name="type", gives_way=True),
    Column(name="status"),
    Column(name="pri", justify="right", from_width=56),
    Column(name="group", from_width=100, most=20, is_needed=False),
    Column(name="", from_width=48),
    Column(name="label", from_width=64, gives_way=True, is_needed=False),
)
_ENDED = (
    Column(name="id", justify="right"),
    Column(name="type", gives_way=True),
    Column(name="status"),
    Column(name="ended", from_width=48),
    Column(name="took", justify="right", from_width=64),
    Column(name="label", from_width=90, gives_way=True, most=40, is_needed=False),
    Column(name="why", from_width=56, gives_way=True),
)


def _running(task: TaskRecord, estimate: Estimate, now: datetime) -> Sequence[Cell]:
    elapsed = 0.0 if task.started_at is None else max((now - task.started_at).total_seconds(), 0)
    fraction, left = estimate.fraction, estimate.left
    made = "" if fraction is None else f"{bar(fraction)} {fraction:4.0%}"
    return (
        str(task.id),
        task.type,
        Text("stopping", "yellow") if task.ends_as is not None else Text(made, "green"),
        clock(elapsed),
        "" if left is None else clock(left.total_seconds()),
        "" if not estimate.rate else f"{size_text(estimate.rate)}/s",
        str(task.attempt),
        task.executor or "",
        task.group or "",
        _label(task),
        estimate.message or "",
    )


def _waiting(task: TaskRecord, now: datetime) -> Sequence[Cell]:
    return (
        str(task.id),
        task.type,
        status_text(task.status),
        str(task.effective_priority),
        task.group or "",
        note_of(task, now),
        _label(task),
    )


def _ended(task: TaskRecord, now: datetime) -> Sequence[Cell]:
    return (
        str(task.id),
        task.type,
        status_text(task.status),
        "" if task.finished_at is None else away(task.finished_at, now),
        "" if task.duration is None else short(max(task.duration.total_seconds(), 0)),
        _label(task),
        "" if task.reason is None else error_line(task),
    )


def _label(task: TaskRecord) -> str:
    return "" if task.label == task.type else task.label
