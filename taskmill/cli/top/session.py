"""The loop of the live view: frames come, keys are pressed, the picture is drawn."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import assert_never

import anyio
import attrs
from anyio.abc import TaskGroup

from taskmill.cli.database import database
from taskmill.cli.top.keyboard import keys_of
from taskmill.cli.top.picture import picture
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
from taskmill.cli.top.screen import Screen
from taskmill.cli.top.sight import sight
from taskmill.cli.top.state import Frame, State, Story, View, seen
from taskmill.client.client import Client
from taskmill.model.errors import TaskmillError
from taskmill.model.pauses import PauseScope

AGAIN = 1.0
"""Seconds before a database that could not be read is opened again."""


class Session:
    """One live view; it alone has the state, and draws whenever that changes."""

    def __init__(self, path: Path, screen: Screen, interval: float, view: View) -> None:
        self._path = path
        self._screen = screen
        self._interval = interval
        self._state = State(view=view)
        self._client: Client | None = None
        self._hurry = anyio.Event()
        self._exit_code = 0
        self._trouble = ""
        """What went wrong last; it is told until there is a frame again."""

    async def run(self) -> int:
        """Show the view until it is left; return the exit code."""
        with self._screen.entered():
            self._draw()
            async with anyio.create_task_group() as group:
                group.start_soon(self._listen, group)
                group.start_soon(self._watch)
                group.start_soon(self._type, group)
        return self._exit_code

    def _become(self, state: State) -> None:
        self._state = state
        self._draw()

    def _tell(self, text: str) -> None:
        self._become(attrs.evolve(self._state, said=text))

    def _draw(self) -> None:
        self._screen.draw(picture(self._state, *self._screen.size()))

    # --- what comes in ---

    async def _watch(self) -> None:
        """Read frame after frame; a database that cannot be read is opened again."""
        while True:
            try:
                async with database(self._path) as client:
                    self._client = client
                    while True:
                        await self._look(client)
            except TaskmillError as error:
                self._trouble = str(error)
                self._tell(self._trouble)
            finally:
                self._client = None
            await anyio.sleep(AGAIN)

    async def _look(self, client: Client) -> None:
        self._hurry = anyio.Event()
        frame: Frame = await sight(client, self._path, self._state.view)
        if self._state.said == self._trouble:
            self._state = attrs.evolve(self._state, said="")
        self._become(seen(self._state, frame))
        with anyio.move_on_after(self._interval):
            await self._hurry.wait()

    async def _type(self, group: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(self._screen.keys)
            data = os.read(self._screen.keys, 1024)
            if not data:  # the terminal is gone
                self._leave(group, 128 + signal.SIGHUP)
                return
            for key in keys_of(data):
                state, action = press(self._state, key)
                self._become(state)
                if isinstance(action, Quit):
                    self._leave(group, 0)
                    return
                if action is not None:
                    group.start_soon(self._act, action)

    async def _listen(self, group: TaskGroup) -> None:
        with anyio.open_signal_receiver(
            signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP, signal.SIGWINCH
        ) as signals:
            async for number in signals:
                match number:
                    case signal.SIGWINCH:
                        self._draw()
                    case signal.SIGTSTP:
                        self._screen.leave()
                        os.kill(os.getpid(), signal.SIGSTOP)
                        self._screen.enter()
                        self._draw()
                    case _:
                        self._leave(group, 128 + number)
                        return

    def _leave(self, group: TaskGroup, exit_code: int) -> None:
        self._exit_code = exit_code
        group.cancel_scope.cancel()

    # --- what is done ---

    async def _act(self, action: Action) -> None:
        if isinstance(action, Refresh):
            self._hurry.set()
            return
        try:
            said = await self._done(self._client, action)
        except TaskmillError as error:
            said = str(error)
        if said:
            self._tell(said)
        self._hurry.set()

    async def _done(self, client: Client | None, action: Action) -> str:
        """Do it, and say what came of it."""
        if client is None:
            return "the database is not open; nothing was done"
        match action:
            case Quit() | Refresh():
                return ""
            case Cancel(task=task):
                was_active = await client.control.cancel(task, domain=None)
                return f"task {task} {'is cancelled' if was_active else 'had ended already'}"
            case Retry(task=task):
                await client.control.retry(task, domain=None)
                return f"task {task} is pending again"
            case Explain(task=task):
                explanation = await client.queries.explain(task, domain=None)
                title = f"task {task} {explanation.type}"
                story = Story(title, str(explanation))
                self._become(attrs.evolve(self._state, sheet=story, scroll=0))
                return ""
            case Pause(scope=scope, name=name):
                await client.steering.pause(scope, name, interrupt=True, until=None)
                return f"{_title(scope, name)} is paused"
            case Resume(scope=scope, name=name):
                await client.steering.resume(scope, name)
                return f"{_title(scope, name)} is not paused"
            case _:
                assert_never(action)


def _title(scope: PauseScope, name: str) -> str:
    return f"{scope.value} {name!r}" if name else "the scheduler"
