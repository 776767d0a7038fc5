"""How a run ends: with an answer, by a signal, or because it cannot go on."""

from __future__ import annotations

import os
import signal
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias, final

import attrs
from anyio import CancelScope, open_signal_receiver

from taskmill import StoreError, TaskFailed
from taskmill.demo.app import Found, Settings, find_duplicates
from taskmill.demo.beside import beside
from taskmill.demo.catalogue import Catalogue
from taskmill.demo.leftovers import cancel_run
from taskmill.demo.values import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from taskmill.demo.tally import Tally


@attrs.frozen
class Interrupted:
    """A signal ended the run; the next one goes on from there."""

    signal: signal.Signals


@attrs.frozen
class Refused:
    """The run cannot go on, and why."""

    message: str


@attrs.frozen
class Cancelled:
    """What was left of a run was cancelled."""

    tasks: int


Outcome: TypeAlias = Found | Interrupted | Refused | Cancelled


async def attend(
    settings: Settings, tally: Tally, follow: Callable[[], Coroutine[Any, Any, None]]
) -> Outcome:
    """Run the demo, with ``follow`` beside it until it ends.

    The first SIGINT or SIGTERM ends the run in order. A second one ends the process at once,
    which loses nothing either.
    """
    signals = _Signals()
    outcome: Outcome | None = None
    try:
        async with beside(signals.watch):
            with signals.stops:
                outcome = await _followed(settings, tally, follow)
    except* (StoreError, TaskFailed) as errors:
        outcome = Refused(str(_first(errors)))
    except* sqlite3.Error as errors:
        outcome = Refused(f"cannot use {settings.own.catalogue}: {_first(errors)}")
    return outcome or Interrupted(signals.first)


async def give_up(settings: Settings) -> Cancelled | Refused:
    """Cancel what interrupted runs over the directory left: no later one goes on with it."""
    try:
        return Cancelled(await cancel_run(settings.own.database, Run(settings.root)))
    except StoreError as error:
        return Refused(str(error))


async def _followed(
    settings: Settings, tally: Tally, follow: Callable[[], Coroutine[Any, Any, None]]
) -> Found:
    with Catalogue(settings.own.catalogue) as catalogue:
        async with beside(follow):
            return await find_duplicates(settings, catalogue, tally)


@final
class _Signals:
    """What the first signal was, and the scope it cancels."""

    def __init__(self) -> None:
        self.stops = CancelScope()
        self.first = signal.SIGINT

    async def watch(self) -> None:
        """Wait for signals until cancelled."""
        with open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            async for number in received:
                if self.stops.cancel_called:
                    os._exit(128 + number)
                self.first = number
                self.stops.cancel()


def _first(errors: BaseException) -> BaseException:
    match errors:
        case BaseExceptionGroup(exceptions=[BaseException() as first, *_]):
            return _first(first)
        case _:
            return errors
