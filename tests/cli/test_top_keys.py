"""The keys of the live view: from bytes to names, and from names to states and actions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill.cli.top.keyboard import keys_of
from taskmill.cli.top.press import (
    Action,
    Cancel,
    Explain,
    Pause,
    Quit,
    Refresh,
    Resume,
    Retry,
    press,
)
from taskmill.cli.top.state import Asking, Help, State, Story, View, seen
from taskmill.model.pauses import PauseScope
from tests.cli.frames import frame_of, some_tasks

pytestmark = pytest.mark.anyio

KEYS = [
    "up",
    "down",
    "j",
    "k",
    "page-up",
    "page-down",
    "g",
    "G",
    "home",
    "end",
    "tab",
    "back-tab",
    "1",
    "2",
    "3",
    "4",
    "p",
    "P",
    "c",
    "r",
    "e",
    "enter",
    "y",
    "n",
    "q",
    "?",
    "escape",
    "x",
]


def pressed(state: State, *keys: str) -> tuple[State, list[Action]]:
    """The state after some keys, and all that they asked for."""
    actions: list[Action] = []
    for key in keys:
        state, action = press(state, key)
        actions += [action] if action is not None else []
    return state, actions


@asynccontextmanager
async def looking(view: View = View.RUNNING) -> AsyncGenerator[State]:
    """A view of three running, some waiting and some dead tasks."""
    async with some_tasks() as app:
        yield seen(State(view=view), await frame_of(app, view))


def test_bytes_are_keys_by_name() -> None:
    assert keys_of(b"jk\x1b[A\x1b[B\x1bOA\x1b[5~\x1b[1;5C") == [
        "j",
        "k",
        "up",
        "down",
        "up",
        "page-up",
    ]
    assert keys_of(b"\t\r\x1b[Z \x1b") == ["tab", "enter", "back-tab", "page-down", "escape"]
    assert keys_of("é\x00\x7f".encode()) == ["é"]
    assert keys_of(b"\xff") == ["\N{REPLACEMENT CHARACTER}"]


@given(st.binary())
def test_whatever_a_terminal_sends_there_is_no_error(data: bytes) -> None:
    assert all(isinstance(key, str) for key in keys_of(data))


async def test_arrows_select_a_task_and_stay_in_the_list() -> None:
    async with looking() as state:
        ids = [task.id for task in state.tasks]
        assert state.task is not None
        assert state.task.id == ids[0]
        assert pressed(state, "up")[0].index == 0
        moved = pressed(state, "down", "j")[0]
        assert (moved.index, moved.selected) == (2, ids[2])
        assert pressed(moved, "down", "G")[0].index == len(ids) - 1
        assert pressed(moved, "g")[0].index == 0


async def test_the_selected_task_stays_selected_while_the_list_moves() -> None:
    async with looking() as state:
        state = pressed(state, "down")[0]
        assert state.frame is not None
        chosen = state.task
        moved = attrs.evolve(state.frame, tasks=tuple(reversed(state.tasks)))
        assert seen(state, moved).task == chosen
        gone = attrs.evolve(state.frame, tasks=(state.tasks[0],))
        assert seen(state, gone).task == state.tasks[0]
        empty = attrs.evolve(state.frame, tasks=())
        assert seen(state, empty).task is None


async def test_tab_goes_round_the_views_and_reads_anew() -> None:
    async with looking() as state:
        seen_views: list[View] = []
        for _ in View:
            state, actions = pressed(state, "tab")
            seen_views.append(state.view)
            assert actions == [Refresh()]
        assert seen_views == [View.WAITING, View.ENDED, View.DEAD, View.RUNNING]
        assert pressed(state, "back-tab")[0].view is View.DEAD
        assert pressed(state, "3")[0].view is View.ENDED
        assert pressed(state, "3")[0].task is None  # what was listed is of another view


async def test_cancel_asks_first_and_names_the_task_it_asked_about() -> None:
    async with looking() as state:
        asked, actions = pressed(state, "down", "c")
        assert actions == []
        assert asked.asking == Asking(state.tasks[1])
        assert asked.frame is not None
        shifted = seen(asked, attrs.evolve(asked.frame, tasks=tuple(reversed(asked.tasks))))
        assert pressed(shifted, "x", "y")[1] == [Cancel(state.tasks[1].id)]
        for no in ("n", "escape", "q", "enter"):
            left, actions = pressed(asked, no)
            assert (left.asking, actions, left.said) == (None, [], "nothing was cancelled")


async def test_retry_is_for_tasks_that_ended_and_cancel_for_those_that_have_not() -> None:
    async with looking(View.DEAD) as state:
        assert state.task is not None
        assert pressed(state, "r")[1] == [Retry(state.task.id)]
        left, actions = pressed(state, "c")
        assert (actions, left.asking) == ([], None)
        assert "has ended already" in left.said
    async with looking() as state:
        left, actions = pressed(state, "r")
        assert actions == []
        assert "has not ended" in left.said


async def test_p_pauses_and_resumes_the_scheduler_or_the_domain_of_the_selected_task() -> None:
    async with looking() as state:
        assert state.frame is not None
        assert pressed(state, "p")[1] == [Pause(PauseScope.SCHEDULER, "")]
        assert pressed(state, "P")[1] == [Pause(PauseScope.DOMAIN, "work")]
        snapshot = state.frame.snapshot
        domain = attrs.evolve(snapshot.domains["work"], is_paused=True)
        paused = attrs.evolve(snapshot, is_paused=True, domains={"work": domain})
        held = attrs.evolve(state, frame=attrs.evolve(state.frame, snapshot=paused))
        assert pressed(held, "p")[1] == [Resume(PauseScope.SCHEDULER, "")]
        assert pressed(held, "P")[1] == [Resume(PauseScope.DOMAIN, "work")]


async def test_help_and_explanations_open_above_the_list_and_close() -> None:
    async with looking() as state:
        assert state.task is not None
        assert pressed(state, "e")[1] == pressed(state, "enter")[1] == [Explain(state.task.id)]
        helped, _ = pressed(state, "?", "down", "down")
        assert (helped.sheet, helped.scroll) == (Help.KEYS, 2)
        told = attrs.evolve(state, sheet=Story("task 1", "it waits"))
        for key in ("q", "escape", "?"):
            closed, actions = pressed(told, key)
            assert (closed.sheet, actions) == (None, [])
        assert pressed(state, "q")[1] == [Quit()]


def test_without_a_frame_keys_do_no_harm() -> None:
    for key in KEYS:
        state, action = press(State(), key)
        assert action in (None, Quit(), Refresh())
        assert state.asking is None


@given(st.lists(st.sampled_from(KEYS)), st.integers(0, 3))
def test_the_selection_is_always_in_the_list(
    three_running: State, keys: list[str], count: int
) -> None:
    assert three_running.frame is not None
    state = seen(State(), attrs.evolve(three_running.frame, tasks=three_running.tasks[:count]))
    for key in keys:
        state, _ = press(state, key)
        assert 0 <= state.index < max(len(state.tasks), 1)
        assert state.scroll >= 0


@pytest.fixture(scope="module")
def three_running() -> State:
    async def make() -> State:
        async with looking() as state:
            return state

    return anyio.run(make)
