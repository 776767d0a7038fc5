"""What a key does: from a state to the next one, and to what has to be done besides."""

from __future__ import annotations

from typing import TypeAlias

import attrs

from taskmill.cli.top.state import Asking, Help, State, View, at_place
from taskmill.model.pauses import PauseScope
from taskmill.model.record import TaskId

PAGE = 10
"""Tasks, or lines, that page-up and page-down move by."""


@attrs.frozen
class Quit:
    """Leave the view."""


@attrs.frozen
class Refresh:
    """Read another frame now."""


@attrs.frozen
class Cancel:
    """Cancel a task."""

    task: TaskId


@attrs.frozen
class Retry:
    """Make a task pending again."""

    task: TaskId


@attrs.frozen
class Explain:
    """Say why a task is not running, or what happened to it."""

    task: TaskId


@attrs.frozen
class Pause:
    """Pause the scheduler or a domain."""

    scope: PauseScope
    name: str


@attrs.frozen
class Resume:
    """End such a pause."""

    scope: PauseScope
    name: str


Action: TypeAlias = Quit | Refresh | Cancel | Retry | Explain | Pause | Resume

_STEPS = {
    "up": -1,
    "k": -1,
    "down": 1,
    "j": 1,
    "page-up": -PAGE,
    "page-down": PAGE,
    "home": -1_000_000,
    "g": -1_000_000,
    "end": 1_000_000,
    "G": 1_000_000,
}
_TURNS = {"tab": 1, "right": 1, "l": 1, "back-tab": -1, "left": -1, "h": -1}


def press(state: State, key: str) -> tuple[State, Action | None]:
    """The state after a key, and the action that it asks for."""
    if state.asking is not None:
        return _answered(state, state.asking, key)
    if state.sheet is not None:
        return _turned(state, key)
    state = attrs.evolve(state, said="")
    if key in _STEPS:
        return at_place(state, state.index + _STEPS[key]), None
    if key in _TURNS:
        views = list(View)
        return _viewing(state, views[(views.index(state.view) + _TURNS[key]) % len(views)])
    match key:
        case "q":
            return state, Quit()
        case "?":
            return attrs.evolve(state, sheet=Help.KEYS, scroll=0), None
        case "1" | "2" | "3" | "4":
            return _viewing(state, list(View)[int(key) - 1])
        case "p":
            return state, _pausing(state)
        case "P" | "c" | "r" | "e" | "enter":
            return _about_task(state, key)
        case _:
            return state, None


def _viewing(state: State, view: View) -> tuple[State, Action | None]:
    if view is state.view:
        return state, None
    return attrs.evolve(state, view=view, selected=None, index=0), Refresh()


def _pausing(state: State) -> Action | None:
    if state.frame is None:
        return None
    kind = Resume if state.frame.snapshot.is_paused else Pause
    return kind(PauseScope.SCHEDULER, "")


def _about_task(state: State, key: str) -> tuple[State, Action | None]:
    task, frame = state.task, state.frame
    if task is None or frame is None:
        return attrs.evolve(state, said="no task is selected"), None
    match key:
        case "P":
            domain = frame.snapshot.domains.get(task.domain)
            kind = Resume if domain is not None and domain.is_paused else Pause
            return state, kind(PauseScope.DOMAIN, task.domain)
        case "c" if task.status.is_terminal:
            return attrs.evolve(state, said=f"task {task.id} has ended already"), None
        case "c":
            return attrs.evolve(state, asking=Asking(task)), None
        case "r" if not task.status.is_terminal:
            text = f"task {task.id} has not ended; r is for the views of ended and dead tasks"
            return attrs.evolve(state, said=text), None
        case "r":
            return state, Retry(task.id)
        case _:
            return state, Explain(task.id)


def _answered(state: State, asking: Asking, key: str) -> tuple[State, Action | None]:
    closed = attrs.evolve(state, asking=None)
    if key in ("y", "Y"):
        return closed, Cancel(asking.task.id)
    if key in ("n", "N", "escape", "q", "enter"):
        return attrs.evolve(closed, said="nothing was cancelled"), None
    return state, None


def _turned(state: State, key: str) -> tuple[State, Action | None]:
    """A key while a sheet is open: scroll it, or close it."""
    if key in _STEPS:
        return attrs.evolve(state, scroll=max(0, state.scroll + _STEPS[key])), None
    if key in ("q", "escape", "enter", "e", "?"):
        return attrs.evolve(state, sheet=None, scroll=0), None
    return state, None
