"""The live view as text: a pure function of what is known and of the size of the window."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from taskmill.cli.grid import fitted
from taskmill.cli.harmless import lines, one_line
from taskmill.cli.top.header import header
from taskmill.cli.top.overview import domains, groups
from taskmill.cli.top.state import State, Story, View
from taskmill.cli.top.tasks import tabs, tasks

TASKS = 8
"""Lines that the list of tasks has before domains and groups get any."""
KEYS = """\
up down j k     select a task          page-up page-down g G   further
tab 1 2 3 4     running, waiting, ended, dead
p               pause or resume the scheduler
P               pause or resume the domain of the selected task
c               cancel the selected task, and whatever it has spawned
r               retry it (in the views of ended and dead tasks)
e or enter      explain it: why it is not running, or what happened to it
?               these keys             q   quit, or close what is open"""


def picture(state: State, width: int, height: int) -> Text:
    """Exactly ``height`` lines of exactly ``width`` columns."""
    top = header(state, width)[: max(1, height - 2)]
    room = height - len(top) - 1
    body = _sheet(state, width, room) if state.sheet is not None else _body(state, width, room)
    shown = [*top, *body[:room], *[Text()] * (room - len(body)), _footer(state, width)][:height]
    return Text("\n").join(fitted(line, width) for line in shown)


def _body(state: State, width: int, height: int) -> list[Text]:
    frame = state.frame
    if frame is None:
        return []
    spare = height - 1 - TASKS
    above: list[Text] = []
    for part in (domains, groups):
        found = part(frame, width, min(spare - len(above) - 1, max(2, height // 4)))
        above += [*found, Text()] if found else []
    return [*above, tabs(state), *tasks(state, width, height - len(above) - 1)]


def _sheet(state: State, width: int, height: int) -> list[Text]:
    match state.sheet:
        case Story(title=title, text=text):
            shown = [Text(one_line(title), "bold"), *_wrapped(lines(text), width)]
        case _:
            shown = [Text("keys", "bold"), *_wrapped(KEYS, width)]
    first = max(0, min(state.scroll, len(shown) - height))
    return shown[first : first + height]


def _wrapped(text: str, width: int) -> list[Text]:
    """Lines that fit, broken between words."""
    ruler = Console(width=width)
    return [line for each in text.splitlines() for line in Text(each).wrap(ruler, width)]


def _footer(state: State, width: int) -> Text:
    if state.asking is not None:
        task = state.asking.task
        text = f"cancel task {task.id} ({one_line(task.type)})? y/n"
        return Text(text, "bold reverse")
    if state.said:
        return Text(one_line(state.said), "bold")
    if state.sheet is not None:
        return Text("q close  j k scroll", "dim")
    revive = state.view in (View.ENDED, View.DEAD)
    change = "r retry" if revive else "c cancel"
    return Text(f"q quit  ? help  tab view  {change}  e explain  p pause"[:width], "dim")
