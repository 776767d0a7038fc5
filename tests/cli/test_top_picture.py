"""The picture of the live view: all of it fits, whatever the size, and says what there is."""

from __future__ import annotations

from datetime import timedelta

import anyio
import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskmill import TaskStatus
from taskmill.cli.top.estimate import Estimate
from taskmill.cli.top.picture import picture
from taskmill.cli.top.press import press
from taskmill.cli.top.screen import rendered
from taskmill.cli.top.state import Asking, Help, Rates, State, Story, View, seen
from taskmill.model.record import TaskId
from tests.cli.frames import frame_of, some_tasks

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def states() -> dict[View, State]:
    """Each view of the same scheduler."""

    async def make() -> dict[View, State]:
        async with some_tasks() as app:
            return {view: seen(State(view=view), await frame_of(app, view)) for view in View}

    return anyio.run(make)


def text_of(state: State, width: int = 100, height: int = 30) -> str:
    return picture(state, width, height).plain


def test_a_frame_shows_the_scheduler_its_domains_groups_and_tasks(
    states: dict[View, State],
) -> None:
    shown = [line.rstrip() for line in text_of(states[View.RUNNING]).splitlines()]
    assert shown[0].startswith("taskmill  app.db  process 1 on host for 5 s")
    assert shown[1] == "slots 3/3  pending 3  blocked 1"
    assert shown[2].split() == [
        "domain",
        "running",
        "pending",
        "paused",
        "blocked",
        "waiting",
        "done",
    ]
    assert shown[3].split() == ["work", "3", "3", "0", "1", "0"]
    assert any(line.split()[:3] == ["ftp", "1/1", "1"] for line in shown)
    assert "[running 3] waiting 4  ended  dead" in shown
    assert shown[-1].startswith("q quit")
    [selected] = [line for line in shown if line.startswith(">")]
    assert selected.split()[2:4] == ["work::nap", "1:00"]


def test_each_view_lists_its_tasks(states: dict[View, State]) -> None:
    assert "blocked" in text_of(states[View.WAITING])
    assert "completed" not in text_of(states[View.ENDED])
    assert "told to" in text_of(states[View.DEAD])
    assert "r retry" in text_of(states[View.DEAD])


def test_without_tasks_it_says_so_in_words(states: dict[View, State]) -> None:
    said = []
    for state in states.values():
        assert state.frame is not None
        said.append(text_of(seen(state, attrs.evolve(state.frame, tasks=()))))
    for text, words in zip(
        said,
        ("no task is running", "no task is waiting", "no task has ended", "no task has failed"),
        strict=True,
    ):
        assert words in text
    assert "reading the database" in text_of(State())


def test_a_database_without_dispatcher_is_shown_as_stored(states: dict[View, State]) -> None:
    state = states[View.RUNNING]
    assert state.frame is not None
    stored = attrs.evolve(state.frame, is_live=False, holder=None)
    shown = text_of(seen(state, stored))
    assert "nobody dispatches; as stored" in shown
    assert "slots 3  " in shown
    assert "started/s" not in shown


def test_pauses_and_pressure_stand_out(states: dict[View, State]) -> None:
    state = states[View.RUNNING]
    assert state.frame is not None
    snapshot = state.frame.snapshot
    held = attrs.evolve(
        snapshot,
        is_paused=True,
        pressure=0.8,
        pressures={"memory": 0.8, "cpu": 0.1},
        domains={"work": attrs.evolve(snapshot.domains["work"], is_paused=True)},
    )
    shown = text_of(attrs.evolve(state, frame=attrs.evolve(state.frame, snapshot=held)))
    for words in ("PAUSED", "pressure 80% memory", "work (paused)"):
        assert words in shown


def test_rates_come_from_successive_frames_of_one_opening(states: dict[View, State]) -> None:
    state = states[View.RUNNING]
    frame = state.frame
    assert frame is not None
    executors = frame.snapshot.executors
    more = {name: attrs.evolve(e, ended=e.ended + 10) for name, e in executors.items()}
    later = attrs.evolve(
        frame,
        at=frame.at + timedelta(seconds=2),
        snapshot=attrs.evolve(frame.snapshot, executors=more, running=frame.snapshot.running[:1]),
    )
    assert state.rates is None
    ended = 10 * len(executors) / 2
    assert seen(state, later).rates == Rates(started=ended - 1, ended=ended)
    assert "started/s" in text_of(seen(state, later))
    assert seen(seen(state, later), attrs.evolve(later, opening=2)).rates is None


def test_no_escape_sequence_of_a_label_reaches_the_terminal(states: dict[View, State]) -> None:
    for state in states.values():
        shown = rendered(picture(state, 200, 50), 200, colours=None)
        assert "\x1b" not in shown
        assert r"\x1b[2J" in shown or state.view in (View.ENDED, View.DEAD)


def test_the_selected_task_is_on_the_screen_however_long_the_list(
    states: dict[View, State],
) -> None:
    state = states[View.RUNNING]
    assert state.frame is not None
    many = tuple(attrs.evolve(state.tasks[0], id=TaskId(number)) for number in range(500))
    state = seen(state, attrs.evolve(state.frame, tasks=many, is_all=False))
    for steps in (0, 7, 250, 499):
        at = state
        for _ in range(steps):
            at, _ = press(at, "down")
        [selected] = [line for line in text_of(at).splitlines() if line.startswith(">")]
        assert selected.split()[1] == str(steps)
    assert "500 shown" in text_of(state)


def test_a_question_and_a_message_stand_in_the_last_line(states: dict[View, State]) -> None:
    state = states[View.RUNNING]
    asked = attrs.evolve(state, asking=Asking(state.tasks[0]))
    last = text_of(asked).splitlines()[-1].rstrip()
    assert last == f"cancel task {state.tasks[0].id} (work::nap)? y/n"
    said = attrs.evolve(state, said="no\x1b such task")
    assert text_of(said).splitlines()[-1].rstrip() == r"no\x1b such task"


def test_long_explanations_are_wrapped_and_scroll(states: dict[View, State]) -> None:
    story = Story("task 1", "\n".join(f"line {number} " + "word " * 30 for number in range(50)))
    state = attrs.evolve(states[View.RUNNING], sheet=story)
    assert "line 0" in text_of(state, 60, 20)
    bottom = text_of(attrs.evolve(state, scroll=1_000_000), 60, 20)
    assert "word word" in bottom
    assert "line 0" not in bottom


def test_a_task_says_how_far_it_is_or_that_it_is_to_end(states: dict[View, State]) -> None:
    state = states[View.RUNNING]
    assert state.frame is not None
    ending = attrs.evolve(state.tasks[0], ends_as=TaskStatus.CANCELLED, progress=0.5)
    assert "stopping" in text_of(seen(state, attrs.evolve(state.frame, tasks=(ending,))))
    known = Estimate(fraction=0.5, left=timedelta(seconds=90), message="part 5\x07", rate=2_500_000)
    estimates = {state.tasks[0].id: known}
    shown = text_of(seen(state, attrs.evolve(state.frame, estimates=estimates)), 120)
    for words in ("█████░░░░░  50%", "1:30", "2.5 MB/s", r"part 5\x07"):
        assert words in shown


@given(
    st.sampled_from(list(View)),
    st.integers(20, 200),
    st.integers(4, 70),
    st.sampled_from([None, Help.KEYS, Story("日本語", "語" * 500)]),
    st.text(max_size=100),
    st.booleans(),
)
def test_a_picture_has_exactly_the_size_of_its_window(
    states: dict[View, State],
    view: View,
    width: int,
    height: int,
    sheet: Help | Story | None,
    said: str,
    has_frame: bool,
) -> None:
    state = attrs.evolve(states[view], sheet=sheet, said=said)
    if not has_frame:
        state = attrs.evolve(state, frame=None)
    lines = picture(state, width, height).split("\n", allow_blank=True)
    assert len(lines) == height
    assert {line.cell_len for line in lines} == {width}
