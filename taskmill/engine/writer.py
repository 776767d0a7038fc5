"""How changes reach the store: one writer, and one transaction for all that gathered meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

import anyio
import attrs

from taskmill.engine.clock import Clock
from taskmill.engine.events.meters import Meters
from taskmill.model.changes import (
    Change,
    Claim,
    ClaimNew,
    Collect,
    Expire,
    Fire,
    Promote,
    Prune,
    Refill,
    Settlement,
    Submit,
)
from taskmill.model.effects import Effect
from taskmill.model.errors import InvalidState, StoreError, StoreInUse

log = logging.getLogger("taskmill.writer")

Receive: TypeAlias = Callable[[Effect | StoreError], None]
"""Gets what came of a change, right after its commit."""

_OURS = (Claim, ClaimNew, Settlement, Promote, Refill, Expire, Fire, Collect, Prune)
"""Changes that nobody outside the engine waits for."""

_AGAIN = (Claim, ClaimNew, Promote, Refill, Expire, Fire, Collect, Prune)
"""Changes that are proposed again where the database refused them."""

_QUIET = frozenset({Submit, Claim, ClaimNew, Settlement})
"""Changes whose effects say themselves, by `Writer.wake`, where more is to be proposed for them."""

BATCH = 1000
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0

LAST_TRIES = 10.0
"""For how many seconds a scheduler that ends tries to write what is left, while writing fails."""


class Written(Protocol):
    """Where batches go: the store."""

    async def apply(self, changes: Sequence[Change]) -> list[Effect | StoreError]:
        """Apply ``changes`` in order, in one transaction; durable on return."""
        ...


class Source(Protocol):
    """Who proposes changes when a batch is cut."""

    def propose(self, batch: list[tuple[Change, Receive]]) -> Iterable[tuple[Change, Receive]]:
        """What is to be written behind ``batch`` now; asked again before the next one.

        Who receives what comes of a change in ``batch`` may be exchanged.
        """
        ...

    def is_news(self, change: Change) -> bool:
        """Whether a change that is to be written is a reason to propose some."""
        ...


@attrs.define
class Writer:
    """Applies changes in the order they came, a batch at a time.

    The claims that fill free slots are proposed when a batch is cut, so they travel with the
    settlements that freed the slots; where nothing has changed, nothing is proposed. While the
    store fails as a whole, callers get its StoreError, nothing new is proposed, and settlements
    are kept until writing works again.
    """

    store: Written
    clock: Clock
    source: Source
    meters: Meters
    on_idle: Callable[[], None]
    _waiting: deque[tuple[Change, Receive]] = attrs.field(factory=deque[tuple[Change, Receive]])
    _news: asyncio.Future[None] | None = None
    """What is waited for while there is nothing to do."""
    _has_changed: bool = True
    """Whether there may be something to propose."""
    _closing: bool = False
    _in_hand: list[tuple[Change, Receive]] = attrs.field(factory=list[tuple[Change, Receive]])
    """The batch that is being written."""
    _has_ended: bool = False
    _closed_at: float = 0
    lost: StoreError | None = None
    """Why outcomes that were left at the end could not be written; None if they were."""
    _pause: float = 0
    """Seconds until the next try while writing fails; zero while it works."""
    _refused: str | None = None
    """What the database last said of what it refused alone and is asked again."""

    def send(self, change: Change, receive: Receive) -> None:
        """Have ``change`` written; ``receive`` is called after its commit.

        A settlement that comes after the end is left to the recovery of the next opening.
        """
        if self._has_ended:
            if isinstance(change, Settlement):
                return
            raise InvalidState("the scheduler has shut down; nothing is accepted any more")
        self._waiting.append((change, receive))
        self._has_changed = self._has_changed or self.source.is_news(change)
        self._ring()

    async def apply(self, change: Change, note: Callable[[Effect], None]) -> Effect:
        """Write ``change`` and return its effect; StoreError if the store could not.

        ``note`` gets the effect first, in the order of the commits. A caller that is cancelled
        leaves the change to be written all the same.
        """
        answer: asyncio.Future[Effect] = asyncio.get_running_loop().create_future()

        def receive(effect: Effect | StoreError) -> None:
            is_awaited = not answer.done()
            if not isinstance(effect, StoreError):
                note(effect)
                if is_awaited:
                    answer.set_result(effect)
            elif is_awaited:
                answer.set_exception(effect)

        self.send(change, receive)
        return await answer

    def wake(self) -> None:
        """Look again at what is to be written: something has changed."""
        self._has_changed = True
        self._ring()

    def close(self) -> None:
        """End once everything sent has been written, or could not be for `LAST_TRIES`."""
        self._closing = True
        self._closed_at = self.clock.monotonic()
        self._ring()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being written or waits to be."""
        return not self._in_hand and not self._waiting

    async def run(self) -> None:
        """Write until closed. Who still waits when that fails is told, and does not hang."""
        try:
            await self._run()
        except BaseException:
            self._has_ended = True
            unknown = StoreError("the scheduler failed; whether this was written is not known")
            for change, receive in (*self._in_hand, *self._waiting):
                if not isinstance(change, _OURS):
                    receive(unknown)
            self._in_hand = []
            self._waiting.clear()
            raise

    async def _run(self) -> None:
        while True:
            batch = self._cut()
            if batch:
                self._in_hand = batch
                await self._write(batch)
                self._in_hand = []
            elif self._closing:
                self._has_ended = True
                return
            else:
                self.on_idle()
                if not (self._waiting or self._has_changed or self._closing):
                    await self._next_news()

    def _ring(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def _next_news(self) -> None:
        """Wait until something is sent or has changed, from now on."""
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _cut(self) -> list[tuple[Change, Receive]]:
        batch: list[tuple[Change, Receive]] = []
        while self._waiting and len(batch) < BATCH:
            batch.append(self._waiting.popleft())
        if self._has_changed and not (self._pause and batch):
            self._has_changed = False
            batch += [*self.source.propose(batch)]
        return batch

    async def _write(self, batch: list[tuple[Change, Receive]]) -> None:
        began = self.clock.monotonic()
        try:
            with self.clock.hold():
                effects = await self.store.apply([change for change, _ in batch])
        except StoreInUse:
            raise  # another process dispatches: what this one would still write is no longer so
        except StoreError as error:
            self.meters.commit_failed()
            await self._failed(batch, error)
            return
        self.meters.committed(self.clock.monotonic() - began, len(batch))
        refused = None
        for (change, receive), effect in zip(batch, effects, strict=True):
            receive(effect)
            if type(change) not in _QUIET:
                self._has_changed = True
            if isinstance(effect, StoreError):
                self.meters.change_refused()
                if isinstance(change, _AGAIN):
                    refused = effect
        if refused is not None:
            await self._back_off(refused)
        elif self._pause:
            if self._refused is None:
                log.warning("writing works again")
            self._pause, self._refused = 0, None

    async def _back_off(self, refused: StoreError) -> None:
        """A claim, or what is due, was refused alone: it is proposed again later."""
        if self._refused != str(refused):
            self._refused = str(refused)
            log.error("%s; it will be tried again", refused)
        await self._rest()

    async def _failed(self, batch: list[tuple[Change, Receive]], error: StoreError) -> None:
        """Tell the callers, keep the settlements, and wait a little or for the next caller."""
        if not self._pause:
            log.error("writing failed, nothing new starts until it works again: %s", error)
        self._has_changed = True
        came_meanwhile = len(self._waiting)
        for change, receive in reversed(batch):
            if isinstance(change, Settlement):
                self._waiting.appendleft((change, receive))
        for change, receive in batch:
            if not isinstance(change, Settlement):
                receive(error)
        if self._closing and self.clock.monotonic() - self._closed_at >= LAST_TRIES:
            self._give_up(error)
        elif came_meanwhile:
            self._lengthen_pause()
        else:
            await self._rest()

    async def _rest(self) -> None:
        """Pause, longer each time, or until something is sent or has changed."""
        self._lengthen_pause()
        with anyio.move_on_after(self._pause):
            await self._next_news()

    def _lengthen_pause(self) -> None:
        self._pause = min(2 * self._pause or _FIRST_PAUSE, _LONGEST_PAUSE)

    def _give_up(self, error: StoreError) -> None:
        number = len(self._waiting)
        self._waiting.clear()
        self.lost = StoreError(
            f"outcomes that could not be written within {LAST_TRIES:.0f} s of the end: {number}; "
            f"their tasks run again at the next opening ({error})"
        )
        log.error("%s", self.lost)
