"""What the live view knows: the last frame, what is selected, what is open above it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime
from typing import TypeAlias

import attrs

from taskmill.cli.top.estimate import Estimate
from taskmill.model.record import TaskId, TaskRecord
from taskmill.model.snapshot import SchedulerSnapshot
from taskmill.model.status import TaskStatus

SAMPLES = 10
"""Over how many frames rates are taken."""


class View(enum.Enum):
    """Which tasks are listed."""

    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"
    DEAD = "dead"


STATUSES = {
    View.WAITING: frozenset(
        {TaskStatus.PENDING, TaskStatus.PAUSED, TaskStatus.BLOCKED, TaskStatus.WAITING}
    ),
    View.DEAD: frozenset({TaskStatus.DEAD, TaskStatus.FAILED}),
}


@attrs.frozen(kw_only=True)
class Frame:
    """What was read of the database at one moment."""

    at: datetime
    name: str
    """Of the file."""
    snapshot: SchedulerSnapshot
    is_live: bool
    """Whether a dispatcher said this; otherwise it is as stored."""
    holder: str | None
    """Who dispatches, in words."""
    opening: object
    """Equal for frames of one opening by one dispatcher."""
    view: View
    tasks: tuple[TaskRecord, ...]
    """The tasks of that view, in the order in which they are listed."""
    is_all: bool
    """Whether there are no others in that view."""
    estimates: Mapping[TaskId, Estimate]
    """Of the tasks that run."""


@attrs.frozen
class Sample:
    """How many runs had started and ended since the scheduler opened, at one moment."""

    at: datetime
    started: int
    ended: int


@attrs.frozen
class Rates:
    """Runs a second."""

    started: float
    ended: float


@attrs.frozen
class Asking:
    """Whether to cancel a task."""

    task: TaskRecord


@attrs.frozen
class Story:
    """A text over the list: the explanation of a task."""

    title: str
    text: str


class Help(enum.Enum):
    """The keys, over the list."""

    KEYS = "keys"


Sheet: TypeAlias = Story | Help


@attrs.frozen(kw_only=True)
class State:
    """All that a picture is made of, but for its size."""

    view: View = View.RUNNING
    selected: TaskId | None = None
    """None until somebody has moved: the first one then, whichever that is."""
    index: int = 0
    """Where the selected task is, or was, in the list."""
    frame: Frame | None = None
    samples: tuple[Sample, ...] = ()
    asking: Asking | None = None
    sheet: Sheet | None = None
    scroll: int = 0
    """Lines of the sheet above the first one shown."""
    said: str = ""
    """What came of the last action, or what went wrong."""

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """What is listed; nothing until there is a frame of this view."""
        return self.frame.tasks if self.frame and self.frame.view is self.view else ()

    @property
    def task(self) -> TaskRecord | None:
        """The selected one."""
        return self.tasks[self.index] if 0 <= self.index < len(self.tasks) else None

    @property
    def rates(self) -> Rates | None:
        """Over the last frames; None while there are too few of one opening."""
        if len(self.samples) < 2:
            return None
        first, last = self.samples[0], self.samples[-1]
        seconds = (last.at - first.at).total_seconds()
        if seconds <= 0:
            return None
        started, ended = last.started - first.started, last.ended - first.ended
        return Rates(started / seconds, ended / seconds)


def seen(state: State, frame: Frame) -> State:
    """The state once a frame has been read; the selected task stays selected while it is listed."""
    is_same = state.frame is not None and state.frame.opening == frame.opening
    samples = (*(state.samples if is_same else ()), sample_of(frame))[-SAMPLES:]
    state = attrs.evolve(state, frame=frame, samples=samples if frame.is_live else ())
    if frame.view is not state.view:
        return state
    if state.selected is None:
        return state
    places = {task.id: place for place, task in enumerate(frame.tasks)}
    return at_place(state, places.get(state.selected, state.index))


def at_place(state: State, index: int) -> State:
    """The state with another task selected: the nearest to a place in the list."""
    index = max(0, min(index, len(state.tasks) - 1))
    selected = state.tasks[index].id if state.tasks else state.selected
    return attrs.evolve(state, index=index, selected=selected)


def sample_of(frame: Frame) -> Sample:
    """How far the counters of a frame are."""
    ended = sum(executor.ended for executor in frame.snapshot.executors.values())
    return Sample(frame.at, ended + len(frame.snapshot.running), ended)
